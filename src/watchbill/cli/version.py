"""``watchbill version``."""

from __future__ import annotations

import typer

from watchbill import __version__
from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit
from watchbill.kernel.errors import WatchbillError

app = typer.Typer()


@app.command()
def version(home: Home = None, json: Json = False) -> None:
    """Print the version here, and of the server when one answers."""
    server: str | None
    try:
        with Client.from_environment(home, timeout_seconds=3) as client:
            server = client.get("/api/v1/status")["version"]
    except WatchbillError as error:
        server = None if json else f"unknown: {error.problem.message}"
    emit({"watchbill": __version__, "server": server}, json=json)
