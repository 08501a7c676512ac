"""Page a team on purpose."""

from __future__ import annotations

from typing import Annotated

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit

app = typer.Typer()


@app.command()
def page(
    team: Annotated[str, typer.Argument(help="The team to page.")], json: Json = False, home: Home = None
) -> None:
    """Page a team's on-call now, saying that it is a test. Follow it with `watchbill incident show NUMBER`."""
    with Client.from_environment(home) as client:
        found = client.post("/api/v1/test-page", {"team": team})
    emit(found, json=json)
