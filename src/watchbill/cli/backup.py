"""``watchbill backup FILE``: the state of an installation in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write; must not exist.")],
    home: Annotated[Path | None, typer.Option(help="Folder of the data, for the embedded PostgreSQL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Save people, catalog, rotas, alerts, incidents, pages and ledger to FILE (pg_dump's custom format).

    Works while Watchbill runs; the picture is of one instant. Telemetry in ClickHouse is NOT in it: back that up
    with ClickHouse's own means. Neither is <home>/secret.key: keep it yourself, or links in old messages die.
    """
    from watchbill.cli.output import emit
    from watchbill.processes.compose import database_url_of
    from watchbill.runtime import config
    from watchbill.runtime.postgres import dump

    settings = config.load(home=home)
    size = dump.save(database_url_of(settings), file)
    emit({"file": str(file), "bytes": size}, json=as_json, table=lambda _data: f"saved {size / 1e6:.1f} MB to {file}")
