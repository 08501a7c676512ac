"""``watchbill team``: teams and their members."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, facts, rows

app = typer.Typer(help="Teams and their members.")


@app.command("list")
def list_teams(home: Home = None, json: Json = False) -> None:
    """All teams, who is on call now, and how many services each owns."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/teams")
    emit(
        found,
        json=json,
        table=lambda teams: rows(
            teams,
            ("Team", "name"),
            ("Title", "title"),
            ("On call", "on_call"),
            ("Members", lambda team: len(team["members"])),
            ("Services", "services"),
            ("Fallback", lambda team: "yes" if team["fallback"] else ""),
            ("Source", "source"),
            empty="no teams yet; see `watchbill init`",
        ),
    )


@app.command()
def show(name: Annotated[str, typer.Argument(help="The team's name.")], home: Home = None, json: Json = False) -> None:
    """One team: members, who is on call, services."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/teams/{path_part(name)}")
    emit(found, json=json, table=lambda detail: facts(_facts(detail)))


def _facts(detail: dict[str, Any]) -> dict[str, Any]:
    team = detail["team"]
    return {
        "team": team["name"],
        "title": team["title"],
        "formerly": detail["former_names"],
        "on call": team["on_call"],
        "members": [_member(each) for each in team["members"]],
        "services": [each["name"] for each in detail["services"]],
        "fallback": team["fallback"],
        "source": team["source"],
    }


def _member(member: dict[str, Any]) -> str:
    role = f" ({member['role']})" if member["role"] != "member" else ""
    return f"{member['login']}{role}"
