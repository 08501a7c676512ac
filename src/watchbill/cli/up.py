"""``watchbill up``: everything on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def up(
    home: Annotated[Path | None, typer.Option(help="Folder of the data (WATCHBILL_HOME).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the web UI and API (WATCHBILL_PORT, 8080).")] = None,
    otlp_port: Annotated[int | None, typer.Option(help="Port for OTLP/HTTP (WATCHBILL_OTLP_PORT, 4318).")] = None,
    local_runner: Annotated[
        bool, typer.Option("--local-runner", help="Start a runner for rollbacks here too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON.")] = False,
) -> None:
    """Start Watchbill on this machine: PostgreSQL, ClickHouse and the four processes.

    Prints the address and, the first time, an admin token. Ready when GET /healthz is 200. Ctrl-C stops it.
    The data stays in the home folder. WATCHBILL_DATABASE_URL and WATCHBILL_TELEMETRY_URL use servers of yours
    instead of the embedded ones.
    """
    from watchbill.processes.supervisor import Supervisor
    from watchbill.runtime import config, logging

    settings = config.load(
        home=home,
        port=port,
        otlp_port=otlp_port,
        local_runner=local_runner or None,
        log_format="json" if as_json else None,
    )
    logging.setup("up", style=settings.log_format, level=settings.log_level)
    Supervisor(settings, say=_say).run()


def _say(line: str) -> None:
    typer.echo(line)
