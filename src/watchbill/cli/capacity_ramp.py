"""``watchbill capacity ramp``: watch a load ramp that runs against a service, and fit it when it is enough."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, facts, rows
from watchbill.kernel.errors import Invalid


def ramp(
    service: Annotated[str, typer.Argument(help="The service's name.")],
    *,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to watch at most.")] = 15,
    step: Annotated[int, typer.Option("--step", help="Seconds of a step: as long as your tool holds a load.")] = 15,
    operation: Annotated[str, typer.Option("--operation", help="Only one operation, or a route or span's name.")] = "",
    environment: Annotated[str, typer.Option("--environment", help="Where it runs.")] = "production",
    replicas: Annotated[
        int | None, typer.Option("--replicas", help="How many share the load; else those that spans name.")
    ] = None,
    latency_ms: Annotated[
        float | None, typer.Option("--latency-ms", help="Carried within this time; else what the service promises.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep it as the capacity of one replica.")] = False,
    run: Annotated[
        str | None, typer.Option("--run", help="Your load tool: started with the ramp, and stopped when it ends.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it ends.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the one that is being watched.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Watch a load ramp that your own tool runs, from live telemetry, and fit what one replica carries.

    It ends by itself when throughput is past its peak, when latency, failures or an alert of the service say that it is
    enough, or when its time is up; `--run "k6 run ramp.js"` starts your tool and stops it then. A ramp that never
    saturates the service, or is too short, gets no figure but the reason.
    """
    command = _command(run, wait)
    base = f"/api/v1/capacity/{path_part(service)}/ramps"
    with Client.from_environment(home) as client:
        if stop:
            emit(client.post(f"{base}/stop", {}), json=json, table=_shown)
            return
        body = {
            "minutes": minutes, "step_seconds": step, "operation": operation, "environment": environment,
            "replicas": replicas, "latency_ms": latency_ms, "save": save,
        }  # fmt: skip
        found = client.post(base, body)
        try:
            with _tool(command) as tool:
                found = _watch(client, base, found, tool, step=step, quiet=json) if wait else found
        except KeyboardInterrupt:
            client.post(f"{base}/stop", {})
            raise
    emit(found, json=json, table=_shown)
    if found["state"] == "refused":
        raise Invalid(
            found["reason"], code="ramp_refused", hint="ramp up in six steps or more, until throughput stops growing"
        )


def _watch(
    client: Client, base: str, found: dict[str, Any], tool: subprocess.Popen[bytes] | None, *, step: int, quiet: bool
) -> dict[str, Any]:
    """Until it ends; when the tool ends by itself, what was seen is judged."""
    said, ended = None, False
    while found["state"] == "watching":
        if found["reason"] != said and not quiet:
            said = found["reason"]
            sys.stderr.write(f"{said}\n")
        if tool is not None and tool.poll() is not None and not ended:
            ended = True
            sys.stderr.write(f"the load tool has ended with exit code {tool.returncode}\n")
            client.post(f"{base}/stop?judge=true", {})
        time.sleep(min(5.0, float(step)))
        found = next(one for one in client.get(base) if one["id"] == found["id"])
    return found


def _command(run: str | None, wait: bool) -> list[str]:
    if run is None:
        return []
    if not wait:
        raise Invalid("--run without waiting", field="run", hint="leave out --no-wait: the tool is stopped at the end")
    try:
        parts = shlex.split(run)
    except ValueError as error:
        raise Invalid(f"'{run}' is no command: {error}", field="run", hint="write it as in a shell") from error
    if not parts or shutil.which(parts[0]) is None:
        raise Invalid(f"there is no program '{run.partition(' ')[0]}'", field="run", hint="is it in PATH?")
    return parts


@contextmanager
def _tool(command: list[str]) -> Iterator[subprocess.Popen[bytes] | None]:
    """The load tool, with its output on ours of errors; interrupted at the end, then terminated, then killed."""
    if not command:
        yield None
        return
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)
    try:
        yield process
    finally:
        for number, seconds in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if process.poll() is not None:
                break
            os.killpg(process.pid, number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


def _shown(one: dict[str, Any]) -> Any:
    from rich.console import Group

    table = rows(
        one["steps"],
        ("Step", "number"),
        ("At once", lambda each: f"{each['load']:.3g}"),
        ("Done", lambda each: f"{each['throughput']:.4g}/s"),
        ("Mean", lambda each: f"{each['mean_ms']:.4g} ms"),
        ("p95", lambda each: f"{each['p95_ms']:.4g} ms"),
        ("Failed", lambda each: f"{100 * each['failed']:.1f} %"),
        ("Of one alone", lambda each: f"{100 * each['efficiency']:.0f} %"),
        empty="no step yet",
    )
    return Group(table, facts({"state": one["state"], "because": one["reason"]}))
