"""Watching a ramp of load, from the page of capacity: asked for at its own address, where it says what will happen."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from watchbill.features import capacity, catalog, identity
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen


@get("/capacity/{name:str}/ramp", sync_to_thread=True)
def confirm_ramp(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """What watching will do, before it begins."""
    with shell.looking(web, request) as screen:
        service = _named(screen, name)
        curve = capacity.curves(screen.tx, service_ids=[service.id]).get(service.id)
        return screen.page(
            "capacity_ramp.html",
            title=f"Watch a ramp of {service.title}",
            service=service,
            declared=capacity.declared_of(service),
            curve=curve,
            latency_ms=capacity.latency_of(screen.tx, service_id=service.id),
        )


@post("/capacity/{name:str}/ramp", sync_to_thread=True, status_code=204, opt=ACT)
def start_ramp(request: AnyRequest, web: GivenWeb, name: FromPath[str], data: Form) -> Response[None]:
    """Begin to watch."""
    with shell.acting(web, request, data) as screen:
        service = _named(screen, name)
        identity.require(screen.caller, "respond", service.team_id)
        minutes, step = _number(data, "minutes", 15.0), _number(data, "step", 15.0)
        replicas, latency = _number(data, "replicas"), _number(data, "latency")
        capacity.start_ramp(
            screen.tx,
            service=service,
            operation=data.get("operation", "").strip(),
            environment=data.get("environment", "").strip() or "production",
            replicas=None if replicas is None else int(replicas),
            step_seconds=int(step or 15),
            lasts=timedelta(minutes=minutes or 15),
            latency_ms=latency,
            save=data.get("save") == "on",
            actor=screen.caller.actor,
        )
    said = f"{service.title} is watched for {minutes:g} minutes. Start your load tool now."
    undo = ("Stop watching", f"/capacity/{service.name}/ramp/stop")
    return shell.done(request, said, back=f"/capacity/{service.name}", undo=undo)


@post("/capacity/{name:str}/ramp/{how:str}", sync_to_thread=True, status_code=204, opt=ACT)
def end_ramp(
    request: AnyRequest, web: GivenWeb, name: FromPath[str], how: FromPath[str], data: Form
) -> Response[None]:
    """Stop watching, or judge what was seen so far."""
    if how not in ("stop", "judge"):
        raise NotFound(f"nothing is called '{how}' here")
    with shell.acting(web, request, data) as screen:
        service = _named(screen, name)
        identity.require(screen.caller, "respond", service.team_id)
        if how == "judge":
            capacity.finish_ramp(screen.tx, service=service, actor=screen.caller.actor)
            said = "What was seen is judged within seconds."
        else:
            capacity.stop_ramp(screen.tx, service=service, actor=screen.caller.actor)
            said = "It is no longer watched. Your load tool may still run."
    return shell.done(request, said, back=f"/capacity/{service.name}")


def _number(data: dict[str, str], field: str, otherwise: float | None = None) -> float | None:
    text = data.get(field, "").strip()
    if not text:
        return otherwise
    try:
        value = float(text)
    except ValueError as error:
        raise Invalid(f"'{text}' is not a number", field=field, hint="write a number above zero") from error
    if not (math.isfinite(value) and value > 0):
        raise Invalid(f"{text} is not above zero", field=field, hint="write a number above zero")
    return value


def _named(screen: Screen, name: str) -> catalog.Service:
    service = catalog.service_by_name(screen.tx, name=name)
    if service is None:
        raise NotFound(f"there is no service '{name}'", hint="see the list of services")
    return service


handlers = [confirm_ramp, start_ramp, end_ramp]
