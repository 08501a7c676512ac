"""``watchbill token``: API tokens."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when

app = typer.Typer(help="API tokens: create, list, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the token is for; never reused.")],
    role: Annotated[Literal["viewer", "responder", "admin"], typer.Option(help="The least that does the job.")],
    team: Annotated[str | None, typer.Option(help="The only team it may change things of.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make a token; the secret is shown this once only."""
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/tokens", {"name": name, "role": role, "team": team})
    emit(made, json=json)


@app.command("list")
def show_all(
    revoked: Annotated[bool, typer.Option("--revoked", help="The revoked ones too.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """All tokens, without their secrets."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/tokens", revoked=str(revoked).lower())
    emit(
        found,
        json=json,
        table=lambda tokens: rows(
            tokens,
            ("Name", "name"),
            ("Role", "role"),
            ("Team", "team"),
            ("Last used", lambda token: when(token["last_used_at"])),
            ("Revoked", lambda token: when(token["revoked_at"])),
        ),
    )


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The token's name.")], home: Home = None, json: Json = False
) -> None:
    """End a token and the sessions opened with it, at once."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/tokens/{path_part(name)}")
    emit({"name": name, "revoked": True}, json=json)
