"""``watchbill contact``: how people are reached."""

from __future__ import annotations

from typing import Annotated

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when

app = typer.Typer(help="How people are reached.")

Person = Annotated[str, typer.Option("--person", help="Whose: a login. Others' only as admin.")]


@app.command("list")
def show_all(person: Person = "me", home: Home = None, json: Json = False) -> None:
    """The ways to reach a person, first tried first."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/people/{path_part(person)}/contact-methods")
    emit(
        found,
        json=json,
        table=lambda methods: rows(
            methods,
            ("Id", "id"),
            ("Channel", "channel"),
            ("Address", "address"),
            ("Verified", lambda method: when(method["verified_at"])),
            empty="nobody can reach this person: add one with `watchbill contact add`",
        ),
    )


@app.command()
def add(
    channel: Annotated[str, typer.Argument(help="email, ntfy, webhook or apprise.")],
    address: Annotated[str, typer.Argument(help="An e-mail address or a URL.")],
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Add a way to be reached; it is tried last."""
    with Client.from_environment(home) as client:
        made = client.post(
            f"/api/v1/people/{path_part(person)}/contact-methods", {"channel": channel, "address": address}
        )
    emit(made, json=json)


@app.command()
def remove(
    contact_method_id: Annotated[str, typer.Argument(help="The id that `contact list` shows.")],
    person: Person = "me",
    home: Home = None,
    json: Json = False,
) -> None:
    """Remove a way to be reached."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/people/{path_part(person)}/contact-methods/{path_part(contact_method_id)}")
    emit({"id": contact_method_id, "removed": True}, json=json)
