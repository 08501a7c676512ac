"""``watchbill run PROCESS``: one process, for fleets that supervise themselves."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def run(
    process: Annotated[str, typer.Argument(help="server, pager, observer or worker")],
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON.")] = False,
) -> None:
    """Run one process until SIGTERM. Settings come from the environment; `watchbill migrate` comes first.

    server listens on WATCHBILL_PORT, observer on WATCHBILL_OTLP_PORT; pager (8081) and worker (8082) serve
    /healthz, /readyz and /metrics on WATCHBILL_HEALTH_PORT.
    """
    from watchbill.processes.run import run_process
    from watchbill.runtime import config

    run_process(process, config.load(log_format="json" if as_json else None))
