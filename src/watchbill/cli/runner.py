"""Runners: processes of your team that carry out rollbacks. They call Watchbill; nobody calls them."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.errors import Conflict

app = typer.Typer(help="Runners: register, run, list, revoke.")

Credentials = Annotated[Path, typer.Option("--credentials", help="File with the runner's own credentials (mode 0600).")]


@app.command()
def register(
    *,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    team: Annotated[
        str | None, typer.Option("--team", help="Whose commands it runs; everybody's when left out.")
    ] = None,
    executor: Annotated[
        list[str] | None, typer.Option("--executor", help="Allow only this one; may be repeated.")
    ] = None,
    credentials: Credentials = Path("runner.json"),
    json: Json = False,
    home: Home = None,
) -> None:
    """Register a runner, and leave its credentials in a file for `watchbill runner run`."""
    if credentials.exists():
        raise Conflict(f"{credentials} is there already", code="file_exists", hint="name another with --credentials")
    with Client.from_environment(home) as client:
        found = client.post("/api/v1/runners", {"name": name, "team": team, "executors": executor or None})
        url = client.url
    from watchbill.runners import agent

    secret = found.pop("secret")
    agent.write_credentials(credentials, agent.Credentials(url=url, name=name, secret=secret))
    emit({**found["runner"], "credentials": str(credentials)}, json=json)


@app.command()
def run(
    credentials: Credentials = Path("runner.json"),
    poll: Annotated[float, typer.Option("--poll", min=0.1, max=60, help="Seconds between questions for work.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON.")] = False,
) -> None:
    """Work until SIGTERM: take rollbacks of the team, carry them out here, stream what they say."""
    from watchbill.runners.agent import Agent, read_credentials
    from watchbill.runtime import logging

    logging.setup("runner", style="json" if as_json else "auto")
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    Agent(read_credentials(credentials), poll_seconds=poll).run(stopping)


@app.command("list")
def list_runners(
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List runners, and whether they are alive."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/runners", team=team)
    emit(
        found,
        json=json,
        table=lambda items: rows(
            items,
            ("Name", "name"),
            ("Team", lambda r: r["team"] or "all"),
            ("Alive", "alive"),
            ("Seen", lambda r: when(r["last_seen_at"])),
            ("Executors", "executors"),
            empty="no runner yet: watchbill runner register NAME --team TEAM",
        ),
    )


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The runner's name.")], json: Json = False, home: Home = None
) -> None:
    """Revoke a runner: it is handed nothing more."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/runners/{path_part(name)}")
    emit({"revoked": name}, json=json)
