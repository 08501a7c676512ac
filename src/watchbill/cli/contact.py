"""``watchbill contact``: how people and teams are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when

app = typer.Typer(help="How people and teams are reached.")

Person = Annotated[str, typer.Option("--person", help="Whose: a login. Others' only as admin.")]
Method = Annotated[str, typer.Argument(help="The id that `contact list` shows.")]
Team = Annotated[str, typer.Argument(help="The team's name.")]


@app.command("list")
def show_all(person: Person = "me", home: Home = None, json: Json = False) -> None:
    """The ways to reach a person, first tried first."""
    with Client.from_environment(home) as client:
        found = client.get(_methods(person))
    emit(
        found,
        json=json,
        table=lambda methods: rows(
            methods,
            ("Id", "id"),
            ("Channel", "channel"),
            ("Address", "address"),
            ("Verified", lambda method: when(method["verified_at"])),
            ("Last message", _last),
            empty="nobody can reach this person: add one with `watchbill contact add`",
        ),
    )


def _last(method: dict[str, Any]) -> str:
    return method.get("tried_error") or when(method.get("tried_at"))


def _methods(person: str) -> str:
    return f"/api/v1/people/{path_part(person)}/contact-methods"


@app.command()
def add(
    channel: Annotated[str, typer.Argument(help="email, sms, voice, slack …: see `contact channels`.")],
    address: Annotated[str, typer.Argument(help="An address of that channel.")],
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Add a way to be reached; it is tried last. Verify it next: `watchbill contact verify ID`."""
    with Client.from_environment(home) as client:
        made = client.post(_methods(person), {"channel": channel, "address": address})
    emit(made, json=json)


@app.command()
def remove(contact_method_id: Method, person: Person = "me", home: Home = None, json: Json = False) -> None:
    """Remove a way to be reached."""
    with Client.from_environment(home) as client:
        client.delete(f"{_methods(person)}/{path_part(contact_method_id)}")
    emit({"id": contact_method_id, "removed": True}, json=json)


@app.command()
def verify(
    contact_method_id: Method,
    code: Annotated[str | None, typer.Argument(help="The six digits that came; without them a code is sent.")] = None,
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Prove that a way works: send a code through it, then give the code."""
    path = f"{_methods(person)}/{path_part(contact_method_id)}"
    with Client.from_environment(home) as client:
        found = client.post(f"{path}/code", {}) if code is None else client.post(f"{path}/verify", {"code": code})
    emit(found, json=json)


@app.command("test")
def send_test(contact_method_id: Method, person: Person = "me", home: Home = None, json: Json = False) -> None:
    """Send a test message over one way; `contact list` shows what became of it."""
    with Client.from_environment(home) as client:
        found = client.post(f"{_methods(person)}/{path_part(contact_method_id)}/test", {})
    emit(found, json=json)


@app.command()
def order(
    contact_method_ids: Annotated[list[str], typer.Argument(help="Ids, first tried first.")],
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Put the ways into another order; those left out follow."""
    with Client.from_environment(home) as client:
        found = client.put(f"{_methods(person)}/order", {"order": contact_method_ids})
    emit(found, json=json)


@app.command()
def rule(
    file: Annotated[
        Path | None,
        typer.Option("--set", help="A JSON file with default, important and quiet, as this command prints them."),
    ] = None,
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Show or replace when, in which order and after which delays a person is reached, and their quiet hours."""
    import msgspec

    path = f"/api/v1/people/{path_part(person)}/notification-rule"
    with Client.from_environment(home) as client:
        found = client.get(path) if file is None else client.put(path, msgspec.json.decode(file.read_bytes()))
    emit(found, json=json)


@app.command()
def channels(home: Home = None, json: Json = False) -> None:
    """Every channel, what its addresses look like, and whether it is set up here."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/channels")
    emit(
        found,
        json=json,
        table=lambda each: rows(
            each,
            ("Channel", "name"),
            ("Address", "example"),
            ("Ready", lambda channel: "yes" if channel["ready"] else f"no: {channel['needs']}"),
        ),
    )


@app.command("team-channels")
def team_channels(team: Team, home: Home = None, json: Json = False) -> None:
    """Where a team is told; escalation steps name these as channel:NAME."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/teams/{path_part(team)}/channels")
    emit(
        found,
        json=json,
        table=lambda each: rows(
            each,
            ("Name", "name"),
            ("Channel", "channel"),
            ("Address", "address"),
            empty="none: add one with `watchbill contact add-team-channel`",
        ),
    )


@app.command("add-team-channel")
def add_team_channel(
    team: Team,
    name: Annotated[str, typer.Argument(help="What escalation steps call it.")],
    channel: Annotated[str, typer.Argument(help="slack, mattermost, teams, webhook …, or slack-usergroup.")],
    address: Annotated[str, typer.Argument(help="An address of that channel.")],
    *,
    home: Home = None,
    json: Json = False,
) -> None:
    """Add a place a team is told at. A slack-usergroup is told nothing: it is kept equal to who is on call."""
    with Client.from_environment(home) as client:
        made = client.post(
            f"/api/v1/teams/{path_part(team)}/channels", {"name": name, "channel": channel, "address": address}
        )
    emit(made, json=json)


@app.command("remove-team-channel")
def remove_team_channel(
    team: Team,
    name: Annotated[str, typer.Argument(help="The name that `contact team-channels` shows.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Remove a place a team is told at."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/teams/{path_part(team)}/channels/{path_part(name)}")
    emit({"name": name, "removed": True}, json=json)
