"""``watchbill oncall preview``: whom a page would ask if it fired now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.oncall_times import AT_HELP, sent
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.durations import rough_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@app.command()
def preview(
    *,
    service: Annotated[str | None, typer.Argument(help="A service's name.")] = None,
    team: Annotated[str | None, typer.Option("--team", help="A team's name, in place of a service.")] = None,
    at: Annotated[str | None, typer.Option("--at", help=AT_HELP)] = None,
    declared: Annotated[bool, typer.Option("--declared", help="As if users were known to be hurt.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say who would be asked, when and how, if an alert fired now (or at --at) and nobody answered."""
    with Client.from_environment(home) as client:
        found = client.get(
            "/api/v1/oncall/preview",
            service=service,
            team=team,
            at=sent(at, "--at"),
            declared="true" if declared else None,
        )
    emit(found, json=json, table=_preview)


def _preview(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    about = found["service"] or f"team {found['team']}"
    head = Text(f"If {about} fires {when(found['at'])} ({found['severity']}), team {found['team'] or 'fallback'}:")
    table = rows(
        found["lines"],
        (
            "After",
            lambda line: rough_duration(timedelta(seconds=line["after_seconds"])) if line["after_seconds"] else "0m",
        ),
        ("What", lambda line: f"held until {when(line['until'])}" if line["what"] == "held" else line["what"]),
        ("Who", lambda line: ", ".join([*line["people"], *(f"channel {c}" for c in line["channels"])])),
        ("How", _how),
        ("Why", "why"),
        empty="nothing would happen",
    )
    return Group(head, table)


def _how(line: dict[str, Any]) -> str:
    ways = dict.fromkeys((send["channel"], when(send["at"])) for send in line["sends"])
    return ", ".join(f"{channel} {at}" for channel, at in ways)
