"""``watchbill slo exclude``, ``exclusions``, ``approve``, ``revoke``, ``end`` and ``budget``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.cli.slo_named import id_of
from watchbill.kernel.clock import format_instant, parse_instant
from watchbill.kernel.durations import format_duration, parse_duration
from watchbill.kernel.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

Which = Annotated[str, typer.Argument(help="An id, or service/operation/name, of which the end may be left out.")]
Id = Annotated[str, typer.Argument(help="The exclusion's id, from `watchbill slo exclusions`.")]


def exclude(
    slo: Which,
    *,
    reason: Annotated[str, typer.Option("--reason", help="What is done in this time.")],
    start: Annotated[str, typer.Option("--from", help="RFC 3339, whole minutes; or `now`: the next minute.")] = "now",
    lasts: Annotated[str | None, typer.Option("--for", help="How long, such as 30m.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Instead of --for: until when, RFC 3339.")] = None,
    service: Annotated[bool, typer.Option("--service", help="All SLOs of its service, in its environment.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Leave a span out of an SLO's budget. Announced ahead it holds at once; afterwards two people must sign."""
    begin = _start(start)
    if (lasts is None) == (end is None):
        raise Invalid("say how long: --for or --to", field="--for", hint="--for 30m")
    until = begin + parse_duration(lasts) if lasts is not None else _instant(end or "", "--to")
    body = {
        "start_at": format_instant(begin),
        "end_at": format_instant(until),
        "reason": reason,
        "whole_service": service,
        "dry_run": dry_run,
    }
    with Client.from_environment(home) as client:
        made = client.post(f"/api/v1/slos/{id_of(client, slo)}/exclusions", body)
    emit(made, json=json, table=_declared)


def exclusions(slo: Which, json: Json = False, home: Home = None) -> None:
    """List what is excluded of an SLO, by whom and why, whatever became of it."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/slos/{id_of(client, slo)}/exclusions")
    emit(found, json=json, table=exclusion_table)


def approve(id: Id, json: Json = False, home: Home = None) -> None:
    """Give the second signature. Only a person can: a token is sent to the SLO's page."""
    _act(id, "signature", {}, json=json, home=home)


def revoke(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why its minutes shall count again.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Let the minutes of an exclusion count again; it stays in the history."""
    _act(id, "revocation", {"reason": reason}, json=json, home=home)


def end_now(id: Id, json: Json = False, home: Home = None) -> None:
    """End an exclusion early: from the next minute on everything counts again."""
    _act(id, "end", {}, json=json, home=home)


def budget(slo: Which, json: Json = False, home: Home = None) -> None:
    """Show a budget with and without what is excluded, its policy, and the thresholds that were crossed."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/slos/{id_of(client, slo)}/budget")
    emit(found, json=json, table=_budget)


def _act(id: str, what: str, body: dict[str, Any], *, json: bool, home: Any) -> None:
    with Client.from_environment(home) as client:
        done = client.post(f"/api/v1/slos/exclusions/{id}/{what}", body)
    emit(done, json=json, table=lambda one: exclusion_table([one]))


def _start(text: str) -> datetime:
    if text != "now":
        return _instant(text, "--from")
    return datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _instant(text: str, field: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise Invalid(f"{field}: {error}", field=field, hint="write 2026-03-02T09:00:00Z") from error


def _declared(made: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    one = made["exclusion"]
    what = f"{made['minutes']} minutes of {_count(made['slos'], 'SLO')}: {made['of_allowed']} % of the time that may"
    text = Text(f"{what} be down in one window. {made['bad']} of {made['total']} events failed in them so far.\n")
    if one is None:
        text.append("Nothing was written. ", style="dim")
        text.append("One signature would do." if made["needs_second"] is None else _two(made["needs_second"]))
    elif one["status"] == "waiting":
        text.append(f"{one['id']} waits. {_two(made['needs_second'])}", style="yellow")
    else:
        text.append(f"{one['id']} {one['status']}: from {when(one['start_at'])} until {when(one['until_at'])}.")
    return text


def _two(why: str) -> str:
    return f"Two people must sign, because {why}; they do so on the SLO's page."


def _count(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def said(one: dict[str, Any]) -> str:
    """``12 minutes excluded by Alice: database upgrade``."""
    who = " and ".join(one["signed_by"]) or one["by"]
    return f"{_count(one['minutes'], 'minute')} excluded by {who}: {one['reason']}"


def exclusion_table(found: list[dict[str, Any]]) -> RenderableType:
    """Exclusions as rows."""
    return rows(
        found,
        ("Id", "id"),
        ("From", lambda one: when(one["start_at"])),
        ("Until", lambda one: when(one["until_at"])),
        ("What", said),
        ("Of", lambda one: "the SLO" if one["slo_id"] else f"all in {one['environment']}"),
        ("Status", _status),
        empty="nothing is excluded; announce maintenance with `watchbill slo exclude`",
    )


def _status(one: dict[str, Any]) -> str:
    if one["status"] == "revoked":
        return f"revoked by {one['revoked_by']}: {one['revoke_reason']}"
    return f"waits for a signature: {one['needs_second']}" if one["status"] == "waiting" else str(one["status"])


def _budget(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text(f"Budget left {_percent(found['remaining'])}: {found['bad']} of {found['total']} events failed.")
    if found["excluded_seconds"]:
        length = format_duration(timedelta(seconds=found["excluded_seconds"]))
        head.append(
            f"\n{length} are excluded ({found['excluded_bad']} of {found['excluded_total']} events failed);"
            f" without that {_percent(found['remaining_without'])} would be left."
        )
    rules = rows(
        found["policy"],
        ("At or below", lambda rule: f"{Decimal(rule['remaining']).normalize():f} %"),
        ("Do", lambda rule: ", ".join(rule["do"])),
        ("Now", lambda rule: f"since {when(rule['since_at'])}" if rule["below"] else "–"),
        empty="no error budget policy; write budgetPolicy in the team's or the service's manifest",
    )
    crossed = rows(
        found["crossings"],
        ("When", lambda one: when(one["at"])),
        ("", lambda one: "↓" if one["direction"] == "down" else "↑"),
        ("Threshold", lambda one: _percent(one["threshold"])),
        ("Why", "why"),
        ("Review", lambda one: "due" if one["review_due"] else one["review"] or "–"),
        empty="no threshold was crossed",
    )
    return Group(head, exclusion_table(found["exclusions"]), rules, crossed)


def _percent(share: str | float | None) -> str:
    return "unknown" if share is None else f"{float(share) * 100:.1f} %"
