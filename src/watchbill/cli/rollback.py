"""Undoing a deploy from the terminal, and the one switch of all automation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, busy, emit, rows, when
from watchbill.kernel.errors import Unavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Undo a deploy: start, rehearse, look, cancel; suspects of an incident; the switch.")

Number = Annotated[int, typer.Argument(min=1, help="The rollback's number.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the executor is done.")]
_GOOD = frozenset({"succeeded", "recovered", "verifying", "unverified"})


@app.command()
def start(
    *,
    service: Annotated[str, typer.Argument(help="A service's name.")],
    to: Annotated[
        str | None, typer.Option("--to", help="The version to go back to; the one before by default.")
    ] = None,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where.")] = "production",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Do it for real in calm, to know that it works.")
    ] = False,
    wait: Wait = True,
    json: Json = False,
    home: Home = None,
) -> None:
    """Roll a service back by the executor of its manifest, on a runner of its team."""
    body = {"service": service, "environment": environment, "to": to, "dry_run": dry_run, "rehearse": rehearse}
    with Client.from_environment(home) as client:
        _follow(client, client.post("/api/v1/rollbacks", body), wait=wait, json=json)


@app.command()
def incident(
    *,
    number: Annotated[int, typer.Argument(min=1, help="The incident's number.")],
    change: Annotated[
        str | None, typer.Option("--change", help="The change to undo; the top suspect by default.")
    ] = None,
    wait: Wait = True,
    json: Json = False,
    home: Home = None,
) -> None:
    """Undo the top suspect of an incident: what the button on its page does."""
    with Client.from_environment(home) as client:
        found = client.post(f"/api/v1/incidents/{number}/rollback", {"change_id": change} if change else {})
        _follow(client, found, wait=wait, json=json)


@app.command()
def suspects(
    number: Annotated[int, typer.Argument(min=1, help="The incident's number.")], json: Json = False, home: Home = None
) -> None:
    """Show which changes may have caused an incident, and what speaks for each."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/incidents/{number}/suspects")
    emit(found, json=json, table=_suspects)


@app.command("list")
def list_rollbacks(
    *,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    incident: Annotated[int | None, typer.Option("--incident", min=1, help="An incident's number.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    json: Json = False,
    home: Home = None,
) -> None:
    """List rollbacks, newest first."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/rollbacks", service=service, incident=incident, limit=limit)
    emit(found, json=json, table=_table)


@app.command()
def show(number: Number, json: Json = False, home: Home = None) -> None:
    """Show one rollback with the end of its output."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/rollbacks/{number}")
    emit(found, json=json, table=_detail)


@app.command()
def cancel(
    number: Number,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the timeline.")] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Stop a rollback; one that works is stopped by its runner, which then says how it ended."""
    with Client.from_environment(home) as client:
        found = client.post(f"/api/v1/rollbacks/{number}/cancel", {"why": message})
    emit(found, json=json, table=_detail)


@app.command()
def automation(
    turn: Annotated[str | None, typer.Argument(help="on or off; says how it stands when left out.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for whoever wonders later.")] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Say whether anything may act alone, or switch all of it off (any responder) or on (administrators)."""
    if turn not in (None, "on", "off"):
        raise typer.BadParameter("write on or off")
    with Client.from_environment(home) as client:
        if turn is None:
            found = client.get("/api/v1/automation")
        else:
            body = {"automation": turn == "on", "why": message}
            found = client.request("PUT", "/api/v1/automation", json=body)
    emit(found, json=json)


def _follow(client: Client, found: dict[str, Any], *, wait: bool, json: bool) -> None:
    """Print it when its executor is done; exit code 1 when it did not do what was asked."""
    if wait:
        end = time.monotonic() + 3600
        with busy(f"rollback {found['number']} of {found['service']} …"):
            while found["state"] in ("queued", "running"):
                if time.monotonic() > end:
                    raise Unavailable(f"rollback {found['number']} still goes on", hint="see `watchbill rollback show`")
                time.sleep(0.5)
                found = client.get(f"/api/v1/rollbacks/{found['number']}")
    emit(found, json=json, table=_detail)
    if wait and found["state"] not in _GOOD:
        raise typer.Exit(1)


def _table(items: list[dict[str, Any]]) -> RenderableType:
    return rows(
        items,
        ("#", "number"),
        ("Service", "service"),
        ("From", "version"),
        ("To", "previous_version"),
        ("State", lambda i: i["state"].replace("_", " ")),
        ("How", lambda i: i["mode"].replace("_", " ")),
        ("Incident", "incident"),
        ("Took", lambda i: f"{i['took_seconds']:.0f} s" if i["took_seconds"] is not None else None),
        ("When", lambda i: when(i["created_at"])),
        empty="nothing was rolled back yet",
    )


def _detail(run: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    why = Text(run["end_reason"] or run["reason"])
    return Group(_table([run]), why, *_verification(run), Text(run["output"].rstrip(), style="dim"))


_TONES = {"under": "green", "over": "red", "unknown": "yellow"}


def _verification(run: dict[str, Any]) -> list[RenderableType]:
    """How recovery is judged, and what each objective showed at the last look."""
    from rich.text import Text

    found = run["verification"]
    if not found:
        return []
    lines = [Text(f"Judged by: {found['chosen']}", style="dim")]
    lines += [Text(f"  {each['answer']}: {each['words']}", style=_TONES[each["answer"]]) for each in found["findings"]]
    if found["note"]:
        lines.append(Text(f"  {found['note']}", style="dim"))
    return list(lines)


def _suspects(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    shown = rows(
        found["suspects"],
        ("#", "rank"),
        ("Change", "title"),
        ("Likely", lambda s: f"{s['confidence']:.0%}"),
        ("Why", lambda s: "; ".join(e["text"] for e in s["evidence"])),
        ("May be undone", lambda s: s["action"] if s["action"] != "button" else f"by you: {'; '.join(s['reasons'])}"),
        empty="no change is suspected",
    )
    return Group(shown, Text(found["note"], style="dim")) if found["note"] else shown
