"""What screens, the API and the nightly work read: from PostgreSQL only."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog, slo
from watchbill.features.capacity import logic, store
from watchbill.features.capacity.model import (
    WHOLE,
    Carried,
    Curve,
    Declared,
    Journey,
    Kind,
    Limit,
    Outlook,
    PeakEvent,
    SignOff,
    State,
    Stored,
)
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx


def declared_of(service: catalog.Service) -> Declared:
    """``spec.capacity`` with its defaults.

    Raises:
        Invalid: what is stored cannot be read (by an older version?).
    """
    try:
        return msgspec.convert(service.spec.get("capacity") or {}, Declared, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"the capacity of {service.name} cannot be read: {error}", hint="apply its manifest again"
        ) from error


def events_of(team: catalog.Team) -> list[PeakEvent]:
    """``spec.peakEvents`` of a team."""
    return msgspec.convert(team.spec.get("peakEvents") or [], list[PeakEvent], strict=False)


def knows_holidays(name: str) -> bool:
    """Whether the library ``holidays`` has the days of a country (``DE``) or of a part of it (``DE-BE``)."""
    import holidays

    country, _, part = name.partition("-")
    known = holidays.list_supported_countries()
    return country in known and (not part or part in known[country])


def latency_of(tx: Tx, *, service_id: UUID) -> float | None:
    """The strictest latency that the service promises, in ms."""
    found = [view.slo.threshold_ms for view in slo.slos(tx, service_id=service_id) if view.slo.threshold_ms]
    return float(min(found)) if found else None


def states(tx: Tx, *, service_ids: Collection[UUID] | None = None) -> dict[UUID, State]:
    """The states as of the last night."""
    query = sa.select(store.capacity_state.c.data)
    if service_ids is not None:
        query = query.where(store.capacity_state.c.service_id == sa.any_(_ids(service_ids)))
    found = (msgspec.convert(row.data, State) for row in tx.execute(query))
    return {state.service_id: state for state in found}


def forecasts(tx: Tx, *, service_ids: Collection[UUID]) -> list[Stored]:
    """The kept forecasts of these services: the whole first, then by operation."""
    table = store.capacity_forecast
    rows = tx.execute(
        sa.select(table.c.data)
        .where(table.c.service_id == sa.any_(_ids(service_ids)))
        .order_by(table.c.service_id, table.c.operation, table.c.kind)
    )
    return [msgspec.convert(row.data, Stored) for row in rows]


def curves(tx: Tx, *, service_ids: Collection[UUID]) -> dict[UUID, Curve]:
    """Fitted load tests."""
    table = store.capacity_curve
    rows = tx.execute(sa.select(table).where(table.c.service_id == sa.any_(_ids(service_ids))))
    found = (msgspec.convert(row, Curve, from_attributes=True) for row in rows)
    return {curve.service_id: curve for curve in found}


def journeys(tx: Tx, *, service_ids: Collection[UUID] | None = None) -> list[Journey]:
    """Measured fan-outs."""
    query = sa.select(store.capacity_journey).order_by(
        store.capacity_journey.c.service_id, store.capacity_journey.c.operation
    )
    if service_ids is not None:
        query = query.where(store.capacity_journey.c.service_id == sa.any_(_ids(service_ids)))
    return [msgspec.convert(row, Journey, from_attributes=True) for row in tx.execute(query)]


def sign_offs(tx: Tx, *, team_ids: Collection[UUID]) -> list[SignOff]:
    """Sign-offs for events of these teams."""
    table = store.capacity_sign_off
    rows = tx.execute(sa.select(table).where(table.c.team_id == sa.any_(_ids(team_ids))))
    return [msgspec.convert(row, SignOff, from_attributes=True) for row in rows]


def carried_of(service: catalog.Service, curve: Curve | None) -> Carried | None:
    """What the service carries, declared or fitted."""
    return logic.carried(declared_of(service), curve.capacity if curve else None)


def outlook_of(stored: Stored) -> Outlook:
    """The days of a kept forecast, with bursts within the hour."""
    return Outlook(
        first_day=stored.first_at.date(),
        middle=[value * stored.burst for value in stored.peak],
        high=[value * stored.burst for value in stored.peak_high],
    )


def history(
    tx: Tx, *, service_id: UUID, operation: str, since: datetime, kind: Kind = "rate"
) -> list[tuple[datetime, float | None]]:
    """(hour, mean) of a demand's last days, oldest first; ``operation`` empty adds a service's operations up."""
    table = store.capacity_day
    query = sa.select(table.c.operation, table.c.day_at, table.c.mean).where(
        table.c.service_id == service_id, table.c.kind == kind, table.c.day_at >= since
    )
    hours: dict[datetime, float | None] = {}
    rows = list(tx.execute(query.order_by(table.c.day_at)))
    named = {row.operation for row in rows}
    wanted = {operation} if operation in named else named - {WHOLE} if operation == WHOLE else set()
    for row in rows:
        if row.operation in wanted:
            for hour, value in enumerate(row.mean):
                at = row.day_at + timedelta(hours=hour)
                if value is not None:
                    hours[at] = (hours.get(at) or 0.0) + value
                else:
                    hours.setdefault(at, None)
    return sorted(hours.items())


class ReviewLine(msgspec.Struct, frozen=True, kw_only=True):
    """A component before an event, by the measure (``kind``) that leaves the least. ``demand`` is its q95 peak on the
    event's days, the event included; ``reason`` names what the other measures leave."""

    service: str
    title: str
    team: str
    team_id: UUID
    service_id: UUID
    demand: float | None
    capacity: float | None
    headroom: float | None
    more_replicas: int | None
    order_by: date | None
    reason: str
    signed: SignOff | None
    kind: Kind = "rate"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """An event with every component of its journeys; ``notes`` say what could not be told."""

    event: PeakEvent
    team: str
    team_id: UUID
    lines: list[ReviewLine]
    notes: list[str]


def reviews(tx: Tx) -> list[Review]:
    """Declared events that are not over, the next first, with each component's forecast, headroom and owner."""
    teams = {team.id: team for team in catalog.teams(tx)}
    coming = [
        (event, team)
        for team in teams.values()
        for event in events_of(team)
        if event.end >= tx.now.date().isoformat()
    ]
    if not coming:
        return []
    services = {service.id: service for service in catalog.services(tx)}
    measured = journeys(tx)
    known = states(tx)
    signed = {(one.team_id, one.event, one.service_id): one for one in sign_offs(tx, team_ids=list(teams))}
    found = []
    for event, team in sorted(coming, key=lambda pair: (pair[0].start, pair[0].name)):
        entries = entry_operations(event, team, services.values(), catalog.operations(tx))
        names = {name for name, _ in entries}
        notes = []
        for name, operation in sorted(entries):
            journey = next(
                (j for j in measured if services.get(j.service_id) and services[j.service_id].name == name
                 and j.operation == operation),
                None,
            )  # fmt: skip
            if journey is None:
                notes.append(f"what {name}/{operation} calls is not measured yet: it needs thirty traces")
                continue
            called = {fanout.component for fanout in journey.fanouts}
            names |= {s.name for s in services.values() if s.telemetry_name in called or s.name in called}
            notes += [
                f"{fanout.component}: calls from {operation} change with load; its figure is a guide"
                for fanout in journey.fanouts
                if fanout.depends_on_load
            ]
        lines = [
            _line(tx, service, teams[service.team_id], event, team, known.get(service.id), signed)
            for service in services.values()
            if service.name in names and service.team_id in teams
        ]
        lines.sort(key=lambda line: (line.headroom is not None, line.headroom or 0.0, line.service))
        found.append(Review(event=event, team=team.name, team_id=team.id, lines=lines, notes=notes))
    return found


def entry_operations(
    event: PeakEvent,
    team: catalog.Team,
    services: Iterable[catalog.Service],
    operations: Iterable[catalog.Operation],
) -> set[tuple[str, str]]:
    """(service, operation) that an event multiplies: those it names, else all of its team's."""
    if event.operations:
        pairs = (text.partition("/") for text in event.operations)
        return {(name, operation) for name, _, operation in pairs}
    owned = {service.id: service.name for service in services if service.team_id == team.id}
    return {(owned[one.service_id], one.name) for one in operations if one.service_id in owned}


def _line(  # noqa: PLR0917  one component of a review, called in one place
    tx: Tx,
    service: catalog.Service,
    owner: catalog.Team,
    event: PeakEvent,
    declarer: catalog.Team,
    state: State | None,
    signed: dict[tuple[UUID, str, UUID], SignOff],
) -> ReviewLine:
    demand = capacity = room = more = by = None
    kind: Kind = "rate"
    reason = "no forecast yet: it is made every night" if state is None else state.reason
    if state is not None:
        demand = peak_of_event(tx, service_id=service.id, event=event)
        capacity = state.carried.total if state.carried else None
        told = [
            (one, high)
            for one in state.limits
            if (high := peak_of_event(tx, service_id=service.id, event=event, kind=one.kind)) is not None
        ]
        told.sort(key=lambda pair: _left(pair[1], pair[0].capacity))
        if told:
            tight, demand = told[0]
            kind, capacity, room = tight.kind, tight.capacity, logic.headroom(demand, tight.capacity)
            more = _more(told, declared_of(service))
            if more:
                starts = date.fromisoformat(event.start)
                exhausted = msgspec.structs.replace(state.exhaustion, earliest=starts)
                by = logic.order_by(exhausted, declared_of(service), tx.now.date())
            reason = "; ".join(
                f"by {one.kind} {logic.shown(one.kind, high)} of {logic.shown(one.kind, one.capacity)}"
                for one, high in told
            )
        elif demand is None and state.demand is not None:
            reason = "the event lies beyond the days that are forecast"
    return ReviewLine(
        service=service.name,
        title=service.title,
        team=owner.name,
        team_id=owner.id,
        service_id=service.id,
        demand=demand,
        capacity=capacity,
        headroom=room,
        more_replicas=more,
        order_by=by,
        reason=reason,
        signed=signed.get((declarer.id, event.name, service.id)),
        kind=kind,
    )


def _left(demand: float, capacity: float) -> float:
    room = logic.headroom(demand, capacity)
    return -math.inf if room is None else room


def _more(told: Sequence[tuple[Limit, float]], declared: Declared) -> int | None:
    """Replicas beyond those that may run, for the measure that needs the most."""
    needed = [logic.replicas_for(high, one.each, declared) for one, high in told if one.each > 0]
    return max(0, max(needed) - (logic.max_replicas(declared) or 0)) if needed else None


def event_outlook(tx: Tx, *, service_id: UUID, kind: Kind = "rate") -> Outlook | None:
    """The days ahead of a service as last forecast, declared events included; None without a forecast."""
    row = tx.execute(
        sa.select(store.capacity_forecast.c.data["outlook"]).where(
            store.capacity_forecast.c.service_id == service_id,
            store.capacity_forecast.c.operation == WHOLE,
            store.capacity_forecast.c.kind == kind,
        )
    ).scalar()
    return None if row is None else msgspec.convert(row, Outlook)


def peak_of_event(tx: Tx, *, service_id: UUID, event: PeakEvent, kind: Kind = "rate") -> float | None:
    """The q95 peak of a service over an event's days, as last forecast with events; None beyond the forecast."""
    outlook = event_outlook(tx, service_id=service_id, kind=kind)
    if outlook is None:
        return None
    inside = [
        high
        for at, high in enumerate(outlook.high)
        if event.covers(outlook.first_day + timedelta(days=at))
    ]
    return max(inside) if inside else None


def _ids(ids: Collection[UUID]) -> Any:
    return sa.literal(list(ids), sa.ARRAY(sa.Uuid))
