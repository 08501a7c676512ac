"""Capacity: what is left of every service, one with its fan charts, and the review of peak events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from watchbill.api.capacity import lines_of
from watchbill.features import capacity, catalog, identity
from watchbill.features.capacity import Outlook, PeakEvent, State, Stored
from watchbill.kernel.errors import Forbidden, NotFound
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

SHOWN = 500
BACK = timedelta(days=14)


@get("/capacity", sync_to_thread=True)
def board(request: AnyRequest, web: GivenWeb, team: FromQuery[str] = "") -> Response[Any]:
    """Every service by what is left at its peak, the least first; shortage and plenty alike."""
    with shell.looking(web, request) as screen:
        teams = catalog.teams(screen.tx)
        chosen = next((one for one in teams if one.name == team), None)
        lines = lines_of(screen.tx, catalog.services(screen.tx, team_id=chosen.id if chosen else None))
        known = [line for line in lines if line.state is not None]
        return screen.page(
            "capacity.html",
            title="Capacity",
            live="service:*",
            lines=lines[:SHOWN],
            all=len(lines),
            short=sum(1 for line in known if line.state and line.state.finding),
            teams=teams,
            team=team,
        )


@get("/capacity/review", sync_to_thread=True)
def review(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """Coming peak events: every component, its forecast, its headroom, its owner, signed off or not."""
    with shell.looking(web, request) as screen:
        found = capacity.reviews(screen.tx)
        signers = {line.signed.signed_by for one in found for line in one.lines if line.signed}
        return screen.page(
            "capacity_review.html",
            title="Peak events",
            live="service:*",
            reviews=found,
            people=screen.people(signers),
            may={
                line.service_id
                for one in found
                for line in one.lines
                if screen.person is not None and identity.may(screen.caller, "respond", line.team_id)
            },
        )


@post("/capacity/review/{action:str}", sync_to_thread=True, status_code=204, opt=ACT)
def sign(request: AnyRequest, web: GivenWeb, action: FromPath[str], data: Form) -> Response[None]:
    """Sign a component off, or take the signature back."""
    with shell.acting(web, request, data) as screen:
        service = _named(screen, data.get("service", ""))
        team = catalog.team_by_name(screen.tx, name=data.get("team", ""))
        if team is None or action not in ("sign", "withdraw"):
            raise NotFound("there is no such event", hint="reload the page")
        identity.require(screen.caller, "respond", service.team_id)
        if screen.person is None:
            raise Forbidden("a component is signed off by a person", hint="sign in as yourself, not with a token")
        if action == "withdraw":
            capacity.withdraw_sign_off(
                screen.tx, team_id=team.id, event=data.get("event", ""), service=service, actor=screen.caller.actor
            )
            said = f"{service.title} is no longer signed off."
        else:
            capacity.sign_off(
                screen.tx,
                team_id=team.id,
                event=data.get("event", ""),
                service=service,
                person_id=screen.person.id,
                note=data.get("note", ""),
                actor=screen.caller.actor,
            )
            said = f"{service.title} is signed off by you."
        return shell.done(request, said, back="/capacity/review")


@get("/capacity/{name:str}", sync_to_thread=True)
def one_service(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """One service: fan charts of its demand, the line of its capacity, what it calls, what it costs."""
    with shell.looking(web, request) as screen:
        service = _named(screen, name)
        state = capacity.states(screen.tx, service_ids=[service.id]).get(service.id)
        stored = capacity.forecasts(screen.tx, service_ids=[service.id])
        team = catalog.team(screen.tx, id=service.team_id)
        events = capacity.events_of(team)
        tight: capacity.Kind = state.limits[0].kind if state and state.limits else "rate"
        return screen.page(
            "capacity_service.html",
            title=f"Capacity of {service.title}",
            live=f"service:{service.name}",
            service=service,
            owner=team,
            state=state,
            curve=capacity.curves(screen.tx, service_ids=[service.id]).get(service.id),
            journeys=capacity.journeys(screen.tx, service_ids=[service.id]),
            ramps=capacity.ramps_of(screen.tx, service_id=service.id),
            fans=[(one, fan(screen, one, state if one.operation == capacity.WHOLE else None)) for one in stored],
            tight=tight,
            may=identity.may(screen.caller, "respond", service.team_id),
            days=days_chart(capacity.event_outlook(screen.tx, service_id=service.id, kind=tight), state, events, tight),
        )


def fan(screen: Screen, one: Stored, state: State | None) -> str:
    """Two weeks that were, two that are forecast with their interval, and the line of capacity, as chart JSON."""
    if not one.point:
        return ""
    past = capacity.history(
        screen.tx, service_id=one.service_id, operation=one.operation, since=one.first_at - BACK, kind=one.kind
    )
    x = [int(at.timestamp()) for at, _ in past]
    begun = int(one.first_at.timestamp())
    x += [begun + place * one.step_seconds for place in range(len(one.point))]
    none: list[float | None] = [None] * len(past)
    gone: list[float | None] = [None] * len(one.point)
    lines: list[dict[str, Any]] = [
        {"label": "Measured", "y": [value for _, value in past] + gone, "tone": "muted", "dash": False},
        {"label": "Forecast", "y": none + list(one.point), "tone": "accent", "dash": False},
        {"label": "Upper (95%)", "y": none + list(one.high), "tone": "accent", "dash": True},
        {"label": "Lower (5%)", "y": none + list(one.low), "tone": "accent", "dash": True},
    ]
    limit = next((each.capacity for each in state.limits if each.kind == one.kind), None) if state else None
    return _chart(x, lines, bands=[[3, 4]], capacity_line=limit, kind=one.kind)


def days_chart(
    outlook: Outlook | None, state: State | None, events: Sequence[PeakEvent], kind: capacity.Kind
) -> str:
    """The busiest moment of each of 120 days by the measure that leaves the least: its median and 95% quantile, with
    declared events as marks."""
    if outlook is None:
        return ""
    begun = datetime.combine(outlook.first_day, datetime.min.time(), UTC)
    x = [int((begun + timedelta(days=place)).timestamp()) for place in range(len(outlook.middle))]
    middle, high = outlook.middle, outlook.high
    lines = [
        {"label": "Upper (95%)", "y": high, "tone": "accent", "dash": True},
        {"label": "Busiest moment", "y": middle, "tone": "accent", "dash": False},
    ]
    marks = [
        {"at": int(datetime.fromisoformat(event.start).replace(tzinfo=UTC).timestamp()), "label": event.name,
         "tone": "red"}
        for event in events
    ]  # fmt: skip
    limit = state.limits[0].capacity if state and state.limits else state.capacity if state else None
    return _chart(x, lines, bands=[[1, 2]], capacity_line=limit, marks=marks, kind=kind)


def _chart(
    x: list[int],
    lines: list[dict[str, Any]],
    *,
    bands: list[list[int]],
    capacity_line: float | None,
    kind: capacity.Kind,
    marks: Sequence[dict[str, Any]] = (),
) -> str:
    if capacity_line is not None:
        lines = [*lines, {"label": "Capacity", "y": [capacity_line] * len(x), "tone": "red", "dash": True}]
    if kind == "saturation":
        lines = [{**line, "y": [None if y is None else 100 * y for y in line["y"]]} for line in lines]
    unit = {"rate": "/s", "concurrency": "", "saturation": "%"}[kind]
    drawn = {"x": x, "unit": unit, "series": lines, "bands": bands, "low": 0, "high": None, "marks": list(marks)}
    return msgspec.json.encode(drawn).decode()


def _named(screen: Screen, name: str) -> catalog.Service:
    service = catalog.service_by_name(screen.tx, name=name)
    if service is None:
        raise NotFound(f"there is no service '{name}'", hint="see the list of services")
    return service


handlers = [board, review, sign, one_service]
