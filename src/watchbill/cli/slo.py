"""SLOs on the terminal: which burn, what is left of their budgets, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.cli.slo_exclusions import approve, budget, end_now, exclude, exclusions, revoke
from watchbill.cli.slo_named import id_of
from watchbill.cli.slo_openslo import export_slos, import_slos, validate_slos
from watchbill.cli.slo_replay import propose_target, replay_slos
from watchbill.cli.slo_report import badge, report, rules
from watchbill.kernel.durations import format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

app = typer.Typer(help="Objectives, their budgets and their burn.")
app.command("replay")(replay_slos)
app.command("propose")(propose_target)
app.command("report")(report)
app.command("badge")(badge)
app.command("rules")(rules)
app.command("import")(import_slos)
app.command("validate")(validate_slos)
app.command("export")(export_slos)
app.command("budget")(budget)
app.command("exclude")(exclude)
app.command("exclusions")(exclusions)
app.command("approve")(approve)
app.command("revoke")(revoke)
app.command("end")(end_now)

_COLOURS = {"firing page": "bold red", "firing ticket": "yellow", "recovering": "cyan", "ok": "green"}
_BAR = 8


@app.command("list")
def list_slos(
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="ok, firing, recovering or unmeasured.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List SLOs, the worst first."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/slos", team=team, service=service, state=state)
    emit(found, json=json, table=_board)


@app.command()
def show(
    slo: Annotated[str, typer.Argument(help="An id, or service/operation/name, of which the end may be left out.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Show one SLO: why it is in its state, its windows, its budget and what it promised before."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/slos/{id_of(client, slo)}")
    emit(found, json=json, table=_page)


def _board(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    table = rows(
        found["slos"],
        ("Service", "service"),
        ("Operation", "operation"),
        ("Objective", _promise),
        ("State", _state),
        ("Burn", lambda item: _burn(item["burn"])),
        ("Budget left", lambda item: _budget(item["budget_remaining"])),
        empty="no SLOs; they come with the operations of a Service manifest",
    )
    note = found.get("observer_note")
    return Group(table, Text(note, style="yellow")) if note else table


def _page(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    item = found["slo"]
    place = f"{item['service']} · {item['operation']} · {_promise(item)}"
    head = Text.assemble((place, "bold"), "\n", _state(item), "  ", item["reason"])
    budget = Text.assemble("\nBudget left  ", _budget(item["budget_remaining"]), f"  {item['bad']} of {item['total']}")
    budget.append(" events failed" if item["threshold_ms"] is None else " events failed or were too slow")
    if item["exhausted_at"] and (item["burn"] or 0) > 0:
        budget.append(f"; at this rate it is gone on {when(item['exhausted_at'])}")
    if item["excluded_seconds"]:
        budget.append(
            f"\n             {_span(item['excluded_seconds'])} are excluded: without that"
            f" {float(item['budget_without'] or 0) * 100:.1f} % would be left"
        )
    for said in found["excluded"]:
        budget.append(f"\n             {said}")
    windows = rows(
        found["windows"],
        ("Alert", "tier"),
        ("Windows", lambda w: f"{_span(w['short_seconds'])} / {_span(w['long_seconds'])}"),
        ("Limit", lambda w: f"{w['factor']:g}×"),
        ("Short", lambda w: _burn(w["short_burn"], hot=w["over_short"])),
        ("Long", lambda w: _burn(w["long_burn"], hot=w["over_long"])),
        empty="not evaluated yet",
    )
    left_out = [
        Text(f"left out: {_span(gone['long_seconds'])} {gone['tier']}: {gone['reason']}", "dim")
        for gone in found["dropped"]
    ]
    history = rows(
        found["history"],
        ("Promised since", lambda h: when(h["at"])),
        ("Target", lambda h: f"{h['target']} %"),
        ("Window", lambda h: _span(h["window_seconds"])),
        ("By", "by"),
    )
    note = [Text(found["observer_note"], "yellow")] if found["observer_note"] else []
    return Group(head, *note, budget, windows, *left_out, history)


def _promise(item: dict[str, Any]) -> str:
    faster = f" under {format_duration(timedelta(milliseconds=item['threshold_ms']))}" if item["threshold_ms"] else ""
    return f"{item['name']} {item['target']} %{faster} over {_span(item['window_seconds'])}"


def _state(item: dict[str, Any]) -> Text:
    from rich.text import Text

    said = " ".join(part for part in (item["state"] or "unmeasured", item["tier"]) if part)
    return Text(said, style=_COLOURS.get(said, "dim"))


def _burn(rate: float | None, *, hot: bool = False) -> Text:
    from rich.text import Text

    return Text("–" if rate is None else f"{rate:.3g}×", style="bold red" if hot else "")


def _budget(remaining: str | float | None) -> Text:
    """A bar and a percent; an overspent budget has an empty bar."""
    from rich.text import Text

    if remaining is None:
        return Text("unknown", style="dim")
    share = float(remaining)
    full = round(min(max(share, 0.0), 1.0) * _BAR)
    style = "red" if share <= 0 else "yellow" if share < 0.25 else "green"
    return Text.assemble(("█" * full, style), ("░" * (_BAR - full), "dim"), (f" {share * 100:.1f} %", style))


def _span(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))
