"""The gate from the terminal and from pipelines: exit 0 go, 1 no-go, 2 unknown."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli import gate_away
from watchbill.cli.client import Client, path_part
from watchbill.cli.files import read_manifests
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.errors import Unavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="May this go out now? Exit 0 go, 1 no-go, 2 unknown.")

ANSWER_SECONDS = 15.0
"""A gate that does not answer for this long is away."""
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
        Literal["open", "closed"] | None,
        typer.Option(
            "--when-away",
            envvar="WATCHBILL_GATE_WHEN_AWAY",
            help="The door when Watchbill does not answer; else as the policy of its last answer here, else open.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Replay past deploys instead of asking.")] = False,
    since: Annotated[str, typer.Option("--since", help="With --dry-run: how far back.")] = "30d",
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            "--manifest", "-m", help="With --dry-run: the policy of these manifests, not applied; files, folders."
        ),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask whether SERVICE may be deployed now, with the reasons and what would change the answer."""
    path = f"/api/v1/gate/{path_part(service)}"
    try:
        with Client.from_environment(home, timeout_seconds=60 if dry_run else ANSWER_SECONDS) as client:
            if dry_run:
                replay = _replayed(client, path, environment, since, manifest)
                emit(replay, json=json, table=_replay)
                return
            answer = client.get(
                path,
                environment=environment,
                version=version,
                fix="true" if fix else None,
                rollback="true" if rollback else None,
            )
            gate_away.remember_door(service, environment, answer["policy"].get("away", "open"))
            gate_away.tell_notes(client)
    except Unavailable as error:
        if dry_run:
            raise
        door, known = gate_away.door_of(service, environment)
        if fix or rollback:
            door, known = "open", "rollbacks always go" if rollback else "fixes always go"
        elif when_away is not None:
            door, known = when_away, "as asked"
        _away(error, service, environment, version, door=(door, known), json=json)
        return
    emit(answer, json=json, table=_shown)
    code = EXITS[answer["answer"]]
    raise typer.Exit((0 if answer["proceed"] else 1) if follow_policy else code)


def _replayed(client: Client, path: str, environment: str, since: str, manifest: list[Path] | None) -> Any:
    if not manifest:
        return client.get(f"{path}/replay", environment=environment, since=since)
    import msgspec

    body = {"files": msgspec.to_builtins(read_manifests(manifest)), "environment": environment, "since": since}
    return client.post(f"{path}/replay", body)


def _away(
    error: Unavailable, service: str, environment: str, version: str | None, *, door: tuple[str, str], json: bool
) -> None:
    """Nobody answers: the door decides, and what was decided is told when Watchbill is back."""
    note = {"service": service, "environment": environment, "version": version, "door": door[0],
            "at": datetime.now(UTC).isoformat()}  # fmt: skip
    kept = gate_away.keep_note(note)
    proceed = door[0] == "open"
    summary = f"unknown: Watchbill is away ({error.problem.message}); the door is {door[0]} ({door[1]})"
    answer = {
        "service": service, "environment": environment, "version": version, "answer": "unknown", "proceed": proceed,
        "summary": summary, "recorded": kept,
    }  # fmt: skip
    if json:
        emit(answer, json=True)
    else:
        sys.stderr.write(f"{answer['summary']}\n")
    raise typer.Exit(0 if proceed else 1)


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
