"""Capacity: what is demanded, what is carried, when it runs out."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.auth import with_teams
from watchbill.api.changes import named
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.oncall_views import acting_person
from watchbill.api.slos import team_id_of
from watchbill.features import capacity, catalog, identity
from watchbill.features.capacity import Curve, Effect, Fit, Journey, Review, SignOff, State, Stored
from watchbill.kernel.errors import Forbidden, Invalid, NotFound
from watchbill.runtime.db import Tx

TeamName = Annotated[str | None, QueryParameter(name="team", description="A team's name.")]
Share = Annotated[float, msgspec.Meta(gt=-1, le=1000)]


class CapacityLine(msgspec.Struct, frozen=True, kw_only=True):
    """One service; ``state`` is None until the first night with demand or capacity."""

    service: str
    team: str
    state: State | None


class CapacityDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One service in full; ``latency_ms`` is the strictest that it promises."""

    service: str
    state: State | None
    forecasts: list[Stored]
    curve: Curve | None
    journeys: list[Journey]
    latency_ms: float | None


class NewCurve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fit of one replica's load test, as `watchbill capacity fit --save` sends it."""

    fit: Fit
    points: Annotated[list[tuple[float, float]], msgspec.Meta(min_length=6, max_length=5000)]
    latency_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Hour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hour of demand: the mean, and the busiest moment where it is known."""

    at: datetime
    mean: float
    peak: float | None = None


class NewDemand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of a demand that is measured elsewhere; without ``operation`` of the service as a whole."""

    hours: Annotated[list[Hour], msgspec.Meta(min_length=1, max_length=10_000)]
    operation: Annotated[str, msgspec.Meta(max_length=200)] = ""
    kind: capacity.Kind = "rate"


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """How many days were written; the forecast follows within seconds."""

    days: int


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What if an operation grows by ``growth`` (0.71 is +71%) from ``start`` on?"""

    service: str
    operation: str
    growth: Share
    start: date | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """The components, the first to break first; ``notes`` say what is not known."""

    service: str
    operation: str
    growth: float
    start: date
    rate: float
    effects: list[Effect]
    notes: list[str]


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A component of an event that somebody stands for; ``person`` is their login where a token of an admin signs."""

    team: str
    event: str
    service: str
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    person: Annotated[str, msgspec.Meta(max_length=200)] | None = None


@get("/capacity", sync_to_thread=True)
def capacity_list(caller: GivenCaller, db: GivenDb, team: TeamName = None) -> list[CapacityLine]:
    """Every service with what is left, the least first."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        services = catalog.services(tx, team_id=team_id_of(tx, team))
        return lines_of(tx, services)


def lines_of(tx: Tx, services: list[catalog.Service]) -> list[CapacityLine]:
    """Services with their states: negative headroom first, unknown last."""
    states = capacity.states(tx, service_ids=[one.id for one in services])
    teams = {team.id: team.name for team in catalog.teams(tx)}
    lines = [
        CapacityLine(service=one.name, team=teams.get(one.team_id, ""), state=states.get(one.id)) for one in services
    ]
    return sorted(lines, key=_least_first)


def _least_first(line: CapacityLine) -> tuple[int, float, str]:
    if line.state is None or line.state.headroom is None:
        return (1 if line.state else 2, 0.0, line.service)
    return (0, line.state.headroom, line.service)


@get("/capacity/review", sync_to_thread=True)
def review(caller: GivenCaller, db: GivenDb) -> list[Review]:
    """Declared peak events that are to come, with every component: forecast, headroom, owner, signed or not."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return capacity.reviews(tx)


@post("/capacity/review/sign", sync_to_thread=True, status_code=200)
def sign(caller: GivenCaller, db: GivenDb, data: JSONBody[Signing]) -> SignOff:
    """Sign a component off: a member of the team that owns it, or an admin. A token signs in nobody's name but in that
    of a member whom it names."""
    with db.transaction() as tx:
        service = named(tx, data.service)
        identity.require(with_teams(tx, caller), "respond", service.team_id)
        return capacity.sign_off(
            tx,
            team_id=_team(tx, data.team),
            event=data.event,
            service=service,
            person_id=_signer(tx, caller, data.person, service),
            note=data.note,
            actor=caller.actor,
        )


def _signer(tx: Tx, caller: identity.Caller, login: str | None, service: catalog.Service) -> UUID:
    if login is None:
        if caller.person_id is None:
            raise Forbidden(
                "a component is signed off by a person",
                field="person",
                hint="sign it on the review page, or say with --person LOGIN whose signature it is",
            )
        return caller.person_id
    person = acting_person(tx, caller, login)
    if person.id != caller.person_id and service.team_id not in catalog.team_ids_of(tx, person_id=person.id):
        raise Forbidden(
            f"{login} is no member of the team that owns {service.name}", field="person", hint="name one who is"
        )
    return person.id


@post("/capacity/review/withdraw", sync_to_thread=True, status_code=204)
def withdraw(caller: GivenCaller, db: GivenDb, data: JSONBody[Signing]) -> None:
    """Take a signature back."""
    with db.transaction() as tx:
        service = named(tx, data.service)
        identity.require(with_teams(tx, caller), "respond", service.team_id)
        capacity.withdraw_sign_off(
            tx, team_id=_team(tx, data.team), event=data.event, service=service, actor=caller.actor
        )


def _team(tx: Tx, name: str) -> UUID:
    team = catalog.team_by_name(tx, name=name)
    if team is None:
        raise NotFound(f"there is no team '{name}'", hint="see `watchbill team list`")
    return team.id


@post("/capacity/what-if", sync_to_thread=True, status_code=200)
def ask_what_if(caller: GivenCaller, db: GivenDb, data: JSONBody[Question]) -> WhatIf:
    """Which components break first, what to order, by when. Nothing is written."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return what_if_of(tx, data)


def what_if_of(tx: Tx, data: Question) -> WhatIf:
    """The answer to a question, from the last night's figures.

    Raises:
        NotFound: no such service or operation. Invalid: no forecast of the operation is there.
    """
    service = named(tx, data.service)
    stored = {one.operation: one for one in capacity.forecasts(tx, service_ids=[service.id]) if one.kind == "rate"}
    if data.operation not in stored:
        raise NotFound(
            f"no demand of '{data.operation}' is known",
            hint=f"known: {', '.join(sorted(name for name in stored if name)) or 'none yet'}",
        )
    told = stored[data.operation]
    if told.refused is not None or not told.peak_high:
        raise Invalid(f"there is no forecast of '{data.operation}': {told.refused}", field="operation")
    rate = max(told.peak_high[:30]) * told.burst
    journeys = capacity.journeys(tx, service_ids=[service.id])
    journey = next((one for one in journeys if one.operation == data.operation), None)
    notes = []
    fanouts = list(journey.fanouts) if journey else []
    names = {each.component for each in fanouts}
    if not names & {service.name, service.telemetry_name}:
        itself = capacity.Fanout(
            component=service.telemetry_name, mean=1.0, low=1.0, high=1.0, busy_ms=0.0, depends_on_load=False
        )
        fanouts.append(itself)
    if journey is None:
        notes.append("what it calls is not measured yet (thirty traces are needed): only the service itself is shown")
    components = _components(tx, {each.component for each in fanouts})
    missing = sorted({each.component for each in fanouts} - set(components))
    if missing:
        notes.append(f"not in the catalog: {', '.join(missing)}")
    today = tx.now.date()
    start = data.start or today + timedelta(days=1)
    return WhatIf(
        service=service.name,
        operation=data.operation,
        growth=data.growth,
        start=start,
        rate=rate,
        effects=capacity.what_if(
            rate=rate, growth=data.growth, fanouts=fanouts, components=components, start=start, today=today
        ),
        notes=notes,
    )


def _components(tx: Tx, names: set[str]) -> dict[str, capacity.Component]:
    services = [one for one in catalog.services(tx) if one.telemetry_name in names or one.name in names]
    states = capacity.states(tx, service_ids=[one.id for one in services])
    curves = capacity.curves(tx, service_ids=[one.id for one in services])
    teams = {team.id: team.name for team in catalog.teams(tx)}
    found = {}
    for one in services:
        state = states.get(one.id)
        found[one.telemetry_name if one.telemetry_name in names else one.name] = capacity.Component(
            service=one.name,
            team=teams.get(one.team_id, ""),
            demand=(state.demand or 0.0) if state else 0.0,
            carried=capacity.carried_of(one, curves.get(one.id)),
            declared=capacity.declared_of(one),
            limits=state.limits if state else (),
        )
    return found


@get("/capacity/{service:str}", sync_to_thread=True)
def capacity_detail(caller: GivenCaller, db: GivenDb, service: FromPath[str]) -> CapacityDetail:
    """One service: forecasts with their intervals and how well earlier ones did, its curve, and what it calls."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = named(tx, service)
        return CapacityDetail(
            service=found.name,
            state=capacity.states(tx, service_ids=[found.id]).get(found.id),
            forecasts=capacity.forecasts(tx, service_ids=[found.id]),
            curve=capacity.curves(tx, service_ids=[found.id]).get(found.id),
            journeys=capacity.journeys(tx, service_ids=[found.id]),
            latency_ms=capacity.latency_of(tx, service_id=found.id),
        )


@post("/capacity/{service:str}/curve", sync_to_thread=True)
def save_curve(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[NewCurve]) -> Curve:
    """Keep a fitted load test as what one replica carries."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(with_teams(tx, caller), "respond", found.team_id)
        return capacity.save_curve(
            tx, service=found, fit=data.fit, points=data.points, latency_ms=data.latency_ms, actor=caller.actor
        )


@post("/capacity/{service:str}/demand", sync_to_thread=True)
def push_demand(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[NewDemand]) -> Pushed:
    """Push hours of a demand that is measured elsewhere; given again, the last stands."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(with_teams(tx, caller), "respond", found.team_id)
        if any(hour.at.tzinfo is None for hour in data.hours):
            raise Invalid("an instant has no zone", field="hours", hint="write 2026-03-02T09:00:00Z")
        hours = [(hour.at, hour.mean, hour.peak) for hour in data.hours]
        days = capacity.push_demand(
            tx, service=found, operation=data.operation, kind=data.kind, hours=hours, actor=caller.actor
        )
        return Pushed(days=days)


@get("/capacity/{service:str}/export", sync_to_thread=True)
def export(
    caller: GivenCaller,
    db: GivenDb,
    service: FromPath[str],
    format: Annotated[str, QueryParameter(description="hpa or keda.")] = "hpa",
) -> Response[str]:
    """Recommended replica bounds as YAML."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = named(tx, service)
        state = capacity.states(tx, service_ids=[found.id]).get(found.id)
        if state is not None and state.carried is None and state.replicas_needed is not None:
            raise Invalid(
                f"{found.name} needs {state.replicas_needed} replicas; what one carries per second is not known",
                code="capacity_unknown",
                hint="the bounds scale by rate: declare perReplica beside the other measures, or fit a load test",
            )
        if state is None or state.carried is None or state.replicas_needed is None:
            raise Invalid(
                f"what {found.name} needs is not known" + (f": {state.reason}" if state else ""),
                code="capacity_unknown",
                hint="declare spec.capacity or fit a load test, and wait for the night",
            )
        text = capacity.bounds_manifest(
            format,
            service=found.name,
            least=min(state.replicas_usual or state.replicas_needed, state.replicas_needed),
            most=state.replicas_needed,
            per_replica=state.carried.per_replica,
        )
    return Response(text, media_type="application/yaml")


handlers: list[Any] = [
    capacity_list, review, sign, withdraw, ask_what_if, capacity_detail, save_curve, push_demand, export,
]  # fmt: skip
