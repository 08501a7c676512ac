"""Headroom, time to exhaustion, what-if and replicas: arithmetic over forecasts, without numpy and a clock.

Headroom is 1 − q95(peak demand)/capacity with ``spare`` replicas away. The demand of a component is Σ rate·F over the
operations that call it, F being its measured calls for each root trace (the throughput calculator that Zalando
described in 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from watchbill.features.capacity.model import (
    Carried,
    Declared,
    Exhaustion,
    Fanout,
    Kind,
    Limit,
    Outlook,
    PeakEvent,
)
from watchbill.kernel.durations import parse_duration

Z95 = 1.6448536
LOW_HEADROOM = 0.1
SPARE_HEADROOM = 0.6
"""Beyond this much headroom over the whole outlook, fewer replicas would do."""


def carried(declared: Declared, curve_capacity: float | None) -> Carried | None:
    """What the service carries; a declared figure counts before a fitted one. None when either figure is missing.

    With a declared ``maxReplicas`` it is what so many carry: the autoscaler brings them when they are needed.
    """
    per_replica = declared.per_replica if declared.per_replica is not None else curve_capacity
    replicas = max_replicas(declared)
    if per_replica is None or replicas is None:
        return None
    left = max(0, replicas - declared.spare)
    return Carried(
        per_replica=per_replica,
        replicas=replicas,
        running=declared.replicas if declared.max_replicas is not None else None,
        spare=declared.spare,
        total=per_replica * left,
        source="declared" if declared.per_replica is not None else "fitted",
    )


def max_replicas(declared: Declared) -> int | None:
    """As many as may run: an autoscaler's most, else those declared."""
    known = [each for each in (declared.replicas, declared.max_replicas) if each is not None]
    return max(known) if known else None


def with_events(outlook: Outlook, events: Sequence[PeakEvent], shares: Mapping[str, float]) -> Outlook:
    """The outlook with declared events; ``shares`` is which part of the demand an event's operations bring, by name.

    Where events overlap the larger counts, for each quantile by itself.
    """
    middle, high = list(outlook.middle), list(outlook.high)
    for at in range(len(middle)):
        day = outlook.first_day + timedelta(days=at)
        on = [event for event in events if event.covers(day)]
        if on:
            middle[at] *= max(1 + shares.get(e.name, 0.0) * (e.factor - 1) for e in on)
            high[at] *= max(1 + shares.get(e.name, 0.0) * (max(e.factor, e.at_most or 0.0) - 1) for e in on)
    return msgspec.structs.replace(outlook, middle=middle, high=high)


def headroom(demand: float, capacity: float) -> float | None:
    """1 − demand/capacity; None without capacity."""
    return None if capacity <= 0 else 1 - demand / capacity


def exhaustion(outlook: Outlook, capacity: float, risk: float) -> Exhaustion:
    """When P(peak > capacity) first exceeds ``risk``, a half, and 1 − ``risk``; the log of a day's peak is normal."""

    def first(least: float) -> date | None:
        for at, (middle, high) in enumerate(zip(outlook.middle, outlook.high, strict=True)):
            if chance_above(capacity, middle, high) > least:
                return outlook.first_day + timedelta(days=at)
        return None

    return Exhaustion(earliest=first(risk), likely=first(0.5), latest=first(1 - risk))


def chance_above(capacity: float, middle: float, high: float) -> float:
    """P(peak > capacity), from the median and the 95% quantile."""
    if middle <= 0:
        return 0.0
    if capacity <= 0:
        return 1.0
    spread = max(1e-6, math.log(max(high, middle) / middle) / Z95)
    return 0.5 * math.erfc(math.log(capacity / middle) / spread / math.sqrt(2))


def replicas_for(demand: float, per_replica: float, declared: Declared) -> int:
    """So many that ``demand`` is carried with ``spare`` away; never under the declared minimum."""
    return max(declared.min_replicas, math.ceil(demand / per_replica - 1e-9) + declared.spare)


def order_by(exhausted: Exhaustion, declared: Declared, today: date) -> date | None:
    """The last day to order what comes in time for the earliest exhaustion; today when that has passed."""
    if exhausted.earliest is None:
        return None
    lead = parse_duration(declared.lead_time)
    return max(today, exhausted.earliest - timedelta(days=math.ceil(lead.total_seconds() / 86_400)))


def finding(
    exhausted: Exhaustion, room: float | None, declared: Declared, today: date, events: Sequence[PeakEvent]
) -> str | None:
    """What to tell the owner, or None: it runs out before more can come (lead time and a week to decide), or now."""
    if exhausted.earliest is None:
        return None
    lead = parse_duration(declared.lead_time)
    near = today + lead + timedelta(days=7)
    named = [event for event in events if event.covers(exhausted.earliest)]
    if exhausted.earliest > near and not named:
        return None
    until = "later than this forecast reaches" if exhausted.latest is None else exhausted.latest.isoformat()
    because = f" ({named[0].name})" if named else ""
    said = f"runs out of capacity between {exhausted.earliest.isoformat()}{because} and {until}"
    return said + ("" if room is None else f"; headroom at the peak is {100 * room:.0f}%")


def shown(kind: Kind, value: float) -> str:
    """An amount of a measure with its unit."""
    if kind == "rate":
        return f"{value:.4g}/s"
    return f"{value:.4g} at once" if kind == "concurrency" else f"{100 * value:.0f}% full"


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """What a what-if needs to know of a service: its q95 peak rate, what it carries, and its other measures."""

    service: str
    demand: float
    carried: Carried | None
    declared: Declared
    team: str = ""
    limits: Sequence[Limit] = ()


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a what-if does to a component, by the measure (``kind``) that runs out first; ``before``, ``after`` and
    ``capacity`` are amounts of it. ``breaks_at`` is the growth (0.3 is +30%) at which it has nothing left."""

    service: str
    team: str
    before: float
    after: float
    capacity: float | None
    headroom: float | None
    breaks_at: float | None
    more_replicas: int | None
    order_by: date | None
    cost: float | None
    warnings: tuple[str, ...] = ()
    kind: Kind = "rate"


def what_if(
    *,
    rate: float,
    growth: float,
    fanouts: Sequence[Fanout],
    components: Mapping[str, Component],
    start: date,
    today: date,
) -> list[Effect]:
    """An operation of q95 peak ``rate`` grows by ``growth`` (0.71 is +71%) from ``start`` on; the first to break first.

    A component's part that comes from this operation is rate·F (the upper end of F's interval), at most its demand.
    Requests at once and fullness are taken to grow as the component's rate does.
    """
    effects = []
    for each in fanouts:
        known = components.get(each.component)
        if known is None:
            continue
        part = rate * each.high
        base = max(known.demand, rate * each.mean)
        pressed = _pressed(known, base, base + growth * part)
        tight = min(pressed, key=lambda one: one.breaks_at(base, part))
        breaks_at = tight.breaks_at(base, part)
        carrying = [one for one in pressed if one.each > 0]
        more, cost, by = None, None, None
        most = max_replicas(known.declared)
        if carrying and most is not None:
            needed = max(replicas_for(one.after, one.each, known.declared) for one in carrying)
            more = max(0, needed - most)
            if more:
                lead = parse_duration(known.declared.lead_time)
                by = max(today, start - timedelta(days=math.ceil(lead.total_seconds() / 86_400)))
            if more and known.declared.replica_price is not None:
                cost = more * known.declared.replica_price
        effects.append(
            Effect(
                service=each.component,
                team=known.team,
                before=tight.before,
                after=tight.after,
                capacity=tight.capacity,
                headroom=None if tight.capacity is None else headroom(tight.after, tight.capacity),
                breaks_at=breaks_at if math.isfinite(breaks_at) else None,
                more_replicas=more,
                order_by=by,
                cost=cost,
                warnings=_warnings(each, known, tight, by, start, today),
                kind=tight.kind,
            )
        )
    return sorted(effects, key=lambda one: (one.breaks_at is None, one.breaks_at or 0.0, one.service))


class _Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of a component before and after; ``each`` is what a replica carries, 0 when that is not known."""

    kind: Kind
    before: float
    after: float
    capacity: float | None
    each: float

    def breaks_at(self, base: float, part: float) -> float:
        """The growth of the operation at which nothing is left; infinite where it never does, or nothing is known."""
        if self.capacity is None or part <= 0 or self.before <= 0:
            return math.inf
        return max(0.0, (self.capacity / self.before - 1) * base / part)


def _pressed(known: Component, base: float, after: float) -> list[_Pressed]:
    """The rate, and every other measure of which demand and capacity are known."""
    carried = known.carried
    found = [
        _Pressed(
            kind="rate",
            before=base,
            after=after,
            capacity=carried.total if carried else None,
            each=carried.per_replica if carried else 0.0,
        )
    ]
    if base > 0:
        found += [
            _Pressed(
                kind=one.kind, before=one.demand, after=one.demand * after / base, capacity=one.capacity, each=one.each
            )
            for one in known.limits
            if one.kind != "rate"
        ]
    return found


def _warnings(  # noqa: PLR0917  called in one place
    each: Fanout, known: Component, tight: _Pressed, by: date | None, start: date, today: date
) -> tuple[str, ...]:
    said = []
    if each.depends_on_load:
        said.append("its calls for each trace change with load (caches, retries, batches): the figure is a guide")
    if tight.capacity is None:
        said.append("no capacity is known: declare spec.capacity, or fit a load test")
    if tight.kind != "rate":
        said.append(f"its {tight.kind} is taken to grow as its rate does; near saturation it grows faster")
    if by is not None and by == today and start - today < parse_duration(known.declared.lead_time):
        said.append(f"too late by its lead time of {known.declared.lead_time}")
    return tuple(said)
