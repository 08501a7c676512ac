"""``watchbill tickets``: where a team's tickets go, how they are, and a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, busy, emit, facts, rows, when
from watchbill.cli.problems import print_problems

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Where slow burns go: GitHub, GitLab, Jira or the team's chat.")

Team = Annotated[str, typer.Argument(help="The team's name.")]


@app.command("list")
def list_tickets(team: Team, home: Home = None, json: Json = False) -> None:
    """Where a team's tickets go, and the newest of them."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/teams/{path_part(team)}/tickets")
    emit(found, json=json, table=_table)
    if not json:
        print_problems(found["problems"])


@app.command("test")
def try_setting(
    team: Team,
    create: Annotated[
        bool, typer.Option("--create", help="Make a real ticket and close it (in a chat: send a message).")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Try the setting: asks the provider for the place, and makes nothing without --create. Exits 1 when it fails."""
    with Client.from_environment(home) as client, busy("asking the provider"):
        found = client.post(f"/api/v1/teams/{path_part(team)}/tickets/test", {"create": create})
    emit(found, json=json, table=lambda one: facts({key: value for key, value in one.items() if value is not None}))
    if not found["ok"]:
        raise typer.Exit(1)


def _table(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    place = found["place"]
    where = f"{place['provider']} {place['project']}" if place else f"nowhere: {found['hint']}"
    return Group(
        Text(f"Tickets of {found['team']} go to {where}"),
        rows(
            found["tickets"],
            ("Ticket", lambda one: one["url"] or one["ref"] or "not made yet"),
            ("Alert", "title"),
            ("State", lambda one: one["state"].replace("_", " ")),
            ("Since", lambda one: when(one["created_at"])),
            ("Error", lambda one: one["error"] or ""),
            empty="no tickets yet",
        ),
    )
