"""From forecasts to headroom: which demand counts for a service, what events do to it, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.capacity import limits, logic, reads
from watchbill.features.capacity.model import (
    WHOLE,
    Curve,
    Declared,
    Exhaustion,
    Journey,
    Kind,
    Outlook,
    PeakEvent,
    State,
    Stored,
)
from watchbill.runtime.db import Tx

_NO_EXHAUSTION = Exhaustion(earliest=None, likely=None, latest=None)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What judging needs, read once for a batch. ``shares`` is by (event's team, event, service): the part of the
    service's demand that the event's operations bring."""

    now: datetime
    stored: dict[UUID, list[Stored]]
    curves: dict[UUID, Curve]
    events: list[tuple[catalog.Team, PeakEvent]]
    shares: dict[tuple[UUID, str, str], float]


def gather(tx: Tx, *, services: Sequence[catalog.Service], stored: Sequence[Stored]) -> World:
    """Read what is needed to judge these services."""
    teams = {team.id: team for team in catalog.teams(tx)}
    events = [
        (team, event)
        for team in teams.values()
        for event in reads.events_of(team)
        if event.end >= tx.now.date().isoformat()
    ]
    by_service: dict[UUID, list[Stored]] = {}
    for one in stored:
        by_service.setdefault(one.service_id, []).append(one)
    return World(
        now=tx.now,
        stored=by_service,
        curves=reads.curves(tx, service_ids=[one.id for one in services]),
        events=events,
        shares=_shares(tx, services, events, by_service) if events else {},
    )


def _shares(
    tx: Tx,
    services: Sequence[catalog.Service],
    events: Sequence[tuple[catalog.Team, PeakEvent]],
    stored: dict[UUID, list[Stored]],
) -> dict[tuple[UUID, str, str], float]:
    """Σ rate·F of an event's operations over the service's own demand, at most 1; by its own operations where it is
    an entry itself."""
    all_services = {one.id: one for one in catalog.services(tx)}
    operations = catalog.operations(tx)
    journeys = {(one.service_id, one.operation): one for one in reads.journeys(tx)}
    entries_of = {
        (team.id, event.name): reads.entry_operations(event, team, all_services.values(), operations)
        for team, event in events
    }
    wanted = {pair for pairs in entries_of.values() for pair in pairs}
    ids = {one.name: one.id for one in all_services.values()}
    entry_ids = [ids[name] for name, _ in wanted if name in ids]
    rates: dict[tuple[UUID, str], float] = {}
    known = [one for ones in stored.values() for one in ones]
    fresh = {one.service_id for one in known}
    known += [one for one in reads.forecasts(tx, service_ids=entry_ids) if one.service_id not in fresh]
    for one in known:
        if one.kind == "rate" and one.peak:
            rates[one.service_id, one.operation] = max(one.peak[:7]) * one.burst
    found: dict[tuple[UUID, str, str], float] = {}
    for service in services:
        whole = rates.get((service.id, WHOLE))
        if not whole:
            continue
        for (team_id, event), entries in entries_of.items():
            brought = sum(_brought(service, name, operation, ids, rates, journeys) for name, operation in entries)
            if brought > 0:
                found[team_id, event, service.name] = min(1.0, brought / whole)
    return found


def _brought(  # noqa: PLR0917  one lookup each, called in one place
    service: catalog.Service,
    name: str,
    operation: str,
    ids: dict[str, UUID],
    rates: dict[tuple[UUID, str], float],
    journeys: dict[tuple[UUID, str], Journey],
) -> float:
    entry = ids.get(name)
    if entry is None:
        return 0.0
    rate = rates.get((entry, operation), 0.0)
    if entry == service.id:
        return rate
    journey = journeys.get((entry, operation))
    if journey is None:
        return 0.0
    return sum(
        rate * each.high for each in journey.fanouts if each.component in (service.telemetry_name, service.name)
    )


def assess(world: World, service: catalog.Service) -> tuple[State, dict[Kind, Outlook]]:
    """The state of one service, and its outlook with events by each measure that there is a forecast of."""
    declared = reads.declared_of(service)
    carried = logic.carried(declared, _curve_capacity(world, service))
    today = world.now.date()
    whole = next(
        (one for one in world.stored.get(service.id, ()) if one.operation == WHOLE and one.kind == "rate"), None
    )
    base = State(
        service_id=service.id,
        made_at=world.now,
        demand=None,
        demand_middle=None,
        capacity=carried.total if carried else None,
        headroom=None,
        exhaustion=_NO_EXHAUSTION,
        carried=carried,
        replicas_needed=None,
        replicas_usual=None,
        monthly_cost=_cost(declared.replica_price, declared.replicas),
        monthly_spare_cost=None,
        currency=declared.currency,
        order_by=None,
        finding=None,
        reason="no demand was measured or pushed",
        notes=[*(whole.notes if whole else [])],
    )
    kept = {one.kind: one for one in world.stored.get(service.id, ()) if one.operation == WHOLE and one.refused is None}
    mine = [(team, event) for team, event in world.events if (team.id, event.name, service.name) in world.shares]
    shares = {event.name: world.shares[team.id, event.name, service.name] for team, event in mine}
    events = [event for _, event in mine]
    outlooks = {kind: logic.with_events(reads.outlook_of(one), events, shares) for kind, one in kept.items()}
    outlook = outlooks.get("rate")
    found = limits.limits_of(outlooks, declared, carried, world.curves.get(service.id))
    judged = base
    if outlook is not None:
        ahead = limits.AHEAD_DAYS
        demand, middle = max(outlook.high[:ahead]), max(outlook.middle[:ahead])
        judged = msgspec.structs.replace(base, demand=demand, demand_middle=middle)
    if not found:
        return msgspec.structs.replace(judged, reason=_unknown(whole, judged, declared)), outlooks
    tight, needed = found[0], max(one.replicas_needed for one in found)
    most = logic.max_replicas(declared) or 0
    runs = declared.replicas if declared.replicas is not None else most
    return (
        msgspec.structs.replace(
            judged,
            headroom=tight.headroom,
            exhaustion=tight.exhaustion,
            replicas_needed=needed,
            replicas_usual=max(one.replicas_usual for one in found),
            monthly_spare_cost=_cost(declared.replica_price, max(0, runs - needed)),
            order_by=logic.order_by(tight.exhaustion, declared, today) if needed > most else None,
            finding=logic.finding(tight.exhaustion, tight.headroom, declared, today, events),
            reason=tight.reason + limits.beside(found),
            limits=found,
        ),
        outlooks,
    )


def _unknown(whole: Stored | None, judged: State, declared: Declared) -> str:
    if whole is None:
        return "no demand was measured or pushed"
    if whole.refused is not None or judged.demand is None:
        return f"no forecast: {whole.refused}"
    missing = "how many replicas run" if logic.max_replicas(declared) is None else "what one replica carries"
    return (
        f"q95 peak {judged.demand:.4g}/s within {limits.AHEAD_DAYS} days; {missing} is not known: declare spec.capacity"
        " or fit a test"
    )


def _curve_capacity(world: World, service: catalog.Service) -> float | None:
    curve = world.curves.get(service.id)
    return curve.capacity if curve else None


def _cost(price: float | None, replicas: int | None) -> float | None:
    return None if price is None or replicas is None else price * replicas


def until_of(outlook: Outlook) -> str:
    """The last day that an outlook knows of."""
    return (outlook.first_day + timedelta(days=max(0, len(outlook.high) - 1))).isoformat()
