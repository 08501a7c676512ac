"""``watchbill restore FILE``: bring a backup back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `watchbill backup` wrote.")],
    home: Annotated[Path | None, typer.Option(help="Folder of the data, for the embedded PostgreSQL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring FILE back into an EMPTY database, all or nothing, and migrate it to this version.

    For the embedded PostgreSQL: choose a new home folder and do not start Watchbill there before. Telemetry is
    not in a backup; SLOs stay unmeasured until new data arrives.
    """
    from watchbill.cli.output import emit
    from watchbill.runtime import config, migrate
    from watchbill.runtime.home import HomeLock
    from watchbill.runtime.postgres import EmbeddedPostgres, dump

    settings = config.load(home=home)
    if settings.database_url:
        dump.bring_back(settings.database_url, file)
        _, schema = migrate.upgrade(settings.database_url)
    else:
        lock = HomeLock(settings.home)
        embedded = EmbeddedPostgres(settings.home, say=typer.echo)
        try:
            url = embedded.start()
            dump.bring_back(url, file)
            _, schema = migrate.upgrade(url)
        finally:
            embedded.stop()
            lock.release()
    emit({"file": str(file), "schema": schema}, json=as_json, table=lambda _data: f"restored {file}, schema {schema}")
