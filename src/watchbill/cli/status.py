"""``watchbill status``: how Watchbill itself is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, busy, emit, rows, when
from watchbill.cli.problems import print_problems

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@app.command()
def status(home: Home = None, json: Json = False) -> None:
    """Say how each process is, the schema's version, and what waits. Exits 1 when a process is down or late."""
    with Client.from_environment(home) as client, busy("asking the server"):
        found = client.get("/api/v1/status")
    emit(found, json=json, table=_table)
    if not json:
        print_problems(found.get("warnings", []))
    if any(process["state"] in {"down", "late"} for process in found["processes"]):
        raise typer.Exit(1)


def _table(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    schema = (
        "current"
        if found["schema"] == found["schema_wanted"]
        else f"{found['schema']}, wants {found['schema_wanted']}"
    )
    return Group(
        Text(f"Watchbill {found['version']} at {when(found['now'])}; schema {schema}"),
        rows(found["processes"], ("Process", "name"), ("State", "state"), ("Why", "why")),
        rows(
            found["backlog"],
            ("Due", "kind"),
            ("Rows", "due"),
            ("Oldest, s", lambda line: f"{line['oldest_seconds']:.1f}"),
            ("Failing", "failing"),
            empty="nothing waits",
        ),
    )
