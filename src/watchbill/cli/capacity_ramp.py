"""``watchbill capacity ramp``: watch a load ramp that runs against a service, and fit it when it is enough."""

from __future__ import annotations

import sys
import time
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
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it ends.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the one that is being watched.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Watch a load ramp that your own tool runs, from live telemetry, and fit what one replica carries.

    It ends by itself when throughput is past its peak, when latency or failures say that it is enough, or when its time
    is up. A ramp that never saturates the service, or is too short, gets no figure but the reason.
    """
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
        said = None
        while wait and found["state"] == "watching":
            if found["reason"] != said and not json:
                said = found["reason"]
                sys.stderr.write(f"{said}\n")
            time.sleep(min(5.0, float(step)))
            found = next(one for one in client.get(base) if one["id"] == found["id"])
    emit(found, json=json, table=_shown)
    if found["state"] == "refused":
        raise Invalid(
            found["reason"], code="ramp_refused", hint="ramp up in six steps or more, until throughput stops growing"
        )


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
