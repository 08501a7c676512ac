"""What happened: who, what, why."""

from __future__ import annotations

from typing import Annotated

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when

app = typer.Typer(help="What happened: who, what, why.")


@app.command("list")
def list_entries(
    name: Annotated[str | None, typer.Option("--name", help="A beginning such as page. or token.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 50,
    before: Annotated[int | None, typer.Option("--before", help="Entries older than this id.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List entries of the ledger, newest first (admins)."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/ledger", name=name, limit=limit, before=before)
    emit(
        found,
        json=json,
        table=lambda items: rows(
            items,
            ("Id", "id"),
            ("When", lambda e: when(e["at"])),
            ("What", "name"),
            ("By", "by"),
            ("About", lambda e: e["data"].get("title") or e["data"].get("name") or e["subject_kind"]),
            ("Why", "why"),
        ),
    )
