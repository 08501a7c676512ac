"""``watchbill migrate``: bring the schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def migrate(
    home: Annotated[Path | None, typer.Option(help="Folder of the data, for the embedded PostgreSQL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the database to this version's schema. `watchbill up` does it by itself; a fleet runs it once per release.

    Safe while older processes run. Several at once: one migrates, the others wait for it.
    """
    from watchbill.cli.output import emit
    from watchbill.processes.compose import database_url_of
    from watchbill.runtime import config
    from watchbill.runtime import migrate as schema

    before, after = schema.upgrade(database_url_of(config.load(home=home)))
    said = f"schema {after}, nothing to do" if before == after else f"schema {before or 'empty'} → {after}"
    emit({"before": before, "after": after}, json=as_json, table=lambda _data: said)
