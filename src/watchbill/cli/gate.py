"""The gate from the terminal and from pipelines: exit 0 go, 1 no-go, 2 unknown."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.errors import Unavailable, WatchbillError

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="May this go out now? Exit 0 go, 1 no-go, 2 unknown.")

EXITS = {"go": 0, "no-go": 1, "unknown": 2}
_TONES = {"go": "bold green", "no-go": "bold red", "unknown": "bold yellow"}
_SIGNS = {"stops": "✗", "unknown": "?", "allows": "✓", "notes": "·"}


@app.command()
def gate(
    service: Annotated[str, typer.Argument(help="The service's name.")],
    *,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where it goes out.")] = "production",
    version: Annotated[str | None, typer.Option("--version", "-v", help="What is about to go out.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="It mends something: fixes always go.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="It goes back: rollbacks always go.")] = False,
    follow_policy: Annotated[
        bool, typer.Option("--follow-policy", help="For unknown, exit 0 where the policy is open and 1 where closed.")
    ] = False,
    when_away: Annotated[
        Literal["open", "closed"],
        typer.Option("--when-away", envvar="WATCHBILL_GATE_WHEN_AWAY", help="The door when Watchbill does not answer."),
    ] = "open",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Replay past deploys instead of asking.")] = False,
    since: Annotated[str, typer.Option("--since", help="With --dry-run: how far back.")] = "30d",
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask whether SERVICE may be deployed now, with the reasons and what would change the answer."""
    path = f"/api/v1/gate/{path_part(service)}"
    try:
        with Client.from_environment(home) as client:
            if dry_run:
                replay = client.get(f"{path}/replay", environment=environment, since=since)
                emit(replay, json=json, table=_replay)
                return
            answer = client.get(
                path,
                environment=environment,
                version=version,
                fix="true" if fix else None,
                rollback="true" if rollback else None,
            )
            _tell_what_was_missed(client)
    except Unavailable as error:
        if dry_run:
            raise
        _away(error, service, environment, version, door="open" if fix or rollback else when_away, json=json)
        return
    emit(answer, json=json, table=_shown)
    code = EXITS[answer["answer"]]
    raise typer.Exit((0 if answer["proceed"] else 1) if follow_policy else code)


def _away(error: Unavailable, service: str, environment: str, version: str | None, *, door: str, json: bool) -> None:
    """Nobody answers: the door decides, and what was decided is told when Watchbill is back."""
    note = {"service": service, "environment": environment, "version": version, "door": door,
            "at": datetime.now(UTC).isoformat()}  # fmt: skip
    kept = _keep(note)
    proceed = door == "open"
    answer = {
        "service": service, "environment": environment, "version": version, "answer": "unknown", "proceed": proceed,
        "summary": f"unknown: Watchbill is away ({error.problem.message}); the door is {door}", "recorded": kept,
    }  # fmt: skip
    if json:
        emit(answer, json=True)
    else:
        sys.stderr.write(f"{answer['summary']}\n")
    raise typer.Exit(0 if proceed else 1)


def _notes() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "watchbill" / "gate-away.jsonl"


def _keep(note: dict[str, Any]) -> bool:
    """Write the note down for later; False (and said) where this machine keeps nothing."""
    try:
        path = _notes()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(note) + b"\n")
    except OSError as error:
        sys.stderr.write(f"this answer is not recorded: {error}\n")
        return False
    return True


def _tell_what_was_missed(client: Client) -> None:
    """Send the notes of answers given while Watchbill was away; those it does not take are dropped, and said."""
    path = _notes()
    try:
        taken = path.with_suffix(".sending")
        path.replace(taken)
        lines = taken.read_bytes().splitlines()
        taken.unlink()
    except OSError:
        return  # nothing was kept, or another command is sending it
    for line in lines[-100:]:
        try:
            note = msgspec.json.decode(line, type=dict[str, Any])
            client.post(f"/api/v1/gate/{path_part(note.pop('service'))}/away", note)
        except (WatchbillError, msgspec.MsgspecError, KeyError) as error:
            sys.stderr.write(f"an answer given while Watchbill was away is not in the ledger: {error}\n")


def _shown(answer: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    text = Text()
    verdict, _, rest = answer["summary"].partition(":")
    text.append(verdict, style=_TONES[answer["answer"]]).append(f":{rest}")
    for reason in answer["reasons"]:
        text.append(f"\n  {_SIGNS[reason['effect']]} {reason['says']}")
        if reason.get("until_at"):
            text.append(f" (until {when(reason['until_at'])})", style="dim")
        if reason.get("change"):
            text.append(f"\n    {reason['change']}", style="dim")
    return text


def _replay(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    table = rows(
        found["deploys"],
        ("Started", lambda d: when(d["started_at"])),
        ("Version", "version"),
        ("Gate", lambda d: Text(d["answer"], style=_TONES[d["answer"]])),
        ("Why", lambda d: d["summary"].partition(": ")[2]),
        ("Avoided", lambda d: ", ".join(f"#{number}" for number in d["avoided"])),
        empty="no deploys in this time; record them with `watchbill deploy start|finish`",
    )
    avoided = ", ".join(f"#{number}" for number in found["avoided"]) or "none"
    said = f"{found['stopped']} of {len(found['deploys'])} deploys stopped, {found['unknown']} unknown"
    return Group(table, Text(f"{said}; incidents avoided: {avoided}", style="bold"))
