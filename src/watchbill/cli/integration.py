"""``watchbill integration``: keys by which other tools send alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when

app = typer.Typer(help="Keys by which other tools send alerts.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name for this source.")],
    kind: Annotated[str, typer.Option("--format", help="What the tool sends: prometheus, events, …")],
    service: Annotated[str | None, typer.Option(help="The service of events that name none.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make a key and the URL that the tool sends to; both are shown this once only."""
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/integrations", {"name": name, "format": kind, "service": service})
    emit(made, json=json)


@app.command("list")
def show_all(home: Home = None, json: Json = False) -> None:
    """All sources and when each last sent something."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/integrations")
    emit(
        found,
        json=json,
        table=lambda sources: rows(
            sources,
            ("Name", "name"),
            ("Format", "format"),
            ("Service", "service"),
            ("Last event", lambda source: when(source["last_event_at"])),
        ),
    )


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The source's name.")], home: Home = None, json: Json = False
) -> None:
    """End a key at once; alerts it opened stay."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/integrations/{path_part(name)}")
    emit({"name": name, "revoked": True}, json=json)
