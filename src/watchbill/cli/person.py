"""``watchbill person``: people."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows
from watchbill.kernel.errors import Invalid

app = typer.Typer(help="People: list, invite, change, erase.")

Login = Annotated[str, typer.Argument(help="Often a work e-mail.")]
Role = Literal["viewer", "responder", "admin"]


@app.command("list")
def show_all(home: Home = None, json: Json = False) -> None:
    """Everybody."""
    found: list[Any] = []
    with Client.from_environment(home) as client:
        while page := client.get("/api/v1/people", after=found[-1]["login"] if found else ""):
            found.extend(page)
    emit(
        found,
        json=json,
        table=lambda people: rows(
            people,
            ("Login", "login"),
            ("Name", "name"),
            ("Role", "role"),
            ("Zone", "time_zone"),
            ("Active", "active"),
            ("Joined", "joined"),
        ),
    )


@app.command()
def show(login: Login, home: Home = None, json: Json = False) -> None:
    """One person."""
    with Client.from_environment(home) as client:
        emit(client.get(f"/api/v1/people/{path_part(login)}"), json=json)


@app.command()
def invite(
    login: Login,
    role: Annotated[Role, typer.Option(help="What they may do in the whole organisation.")] = "responder",
    name: Annotated[str | None, typer.Option(help="How others call them.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Let somebody in: prints a link, good once and for seven days, to set a password with."""
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/people", {"login": login, "role": role, "name": name})
    emit(made if json else {"login": login, "url": made["url"]}, json=json)


@app.command()
def change(
    login: Login,
    *,
    role: Annotated[Role | None, typer.Option(help="Their role in the whole organisation.")] = None,
    name: Annotated[str | None, typer.Option(help="How others call them.")] = None,
    zone: Annotated[str | None, typer.Option("--time-zone", help="An IANA name such as Europe/Berlin.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Change a person's role, name or time zone."""
    wanted = {"role": role, "name": name, "time_zone": zone}
    if not any(wanted.values()):
        raise Invalid("nothing to change", hint="give --role, --name or --time-zone")
    with Client.from_environment(home) as client:
        emit(client.patch(f"/api/v1/people/{path_part(login)}", wanted), json=json)


@app.command()
def deactivate(login: Login, home: Home = None, json: Json = False) -> None:
    """Stop somebody from signing in; replace them in rotas too."""
    with Client.from_environment(home) as client:
        emit(client.patch(f"/api/v1/people/{path_part(login)}", {"active": False}), json=json)


@app.command()
def activate(login: Login, home: Home = None, json: Json = False) -> None:
    """Let a deactivated person in again."""
    with Client.from_environment(home) as client:
        emit(client.patch(f"/api/v1/people/{path_part(login)}", {"active": True}), json=json)


@app.command()
def erase(
    login: Login,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Forget who somebody was; cannot be undone. The ledger keeps an id only."""
    if not yes:
        typer.confirm(f"Forget {login} for ever?", abort=True)
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/people/{path_part(login)}")
    emit({"login": login, "erased": True}, json=json)
