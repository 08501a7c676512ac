"""What is left by each measure: by rate, by requests at once, and by how full the replicas are.

A service runs out where the first of them does. Requests at once are those of the fitted load test at the SLO's latency
(N of the law where X is the capacity), unless they are declared; how full replicas are is taken to be shared alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from watchbill.features.capacity import logic, usl
from watchbill.features.capacity.model import Carried, Curve, Declared, Kind, Limit, Outlook
from watchbill.kernel.errors import Invalid

AHEAD_DAYS = 30


def limits_of(
    outlooks: Mapping[Kind, Outlook], declared: Declared, carried: Carried | None, curve: Curve | None
) -> list[Limit]:
    """Every measure whose demand and capacity are both known, the tightest first."""
    each = carried.per_replica if carried else None
    rate = _limit("rate", outlooks, declared, each, "" if carried is None else f" ({carried.source})")
    at_once, where = _at_once(declared, curve)
    found = [rate, _limit("concurrency", outlooks, declared, at_once, where), _fullness(outlooks, declared)]
    return sorted((one for one in found if one is not None), key=lambda one: -math.inf if one.headroom is None
                  else one.headroom)  # fmt: skip


def _at_once(declared: Declared, curve: Curve | None) -> tuple[float | None, str]:
    if declared.concurrency_per_replica is not None:
        return declared.concurrency_per_replica, " (declared)"
    if curve is None:
        return None, ""
    try:
        load = usl.load_for(msgspec.convert(curve.fit, usl.Fit), curve.capacity)
    except Invalid:
        # The curve's own capacity lies where the law says nothing: then nothing is said of requests at once either.
        return None, ""
    return load, " (fitted)" if curve.latency_ms is None else f" (fitted, within {curve.latency_ms:g} ms)"


def _limit(
    kind: Kind, outlooks: Mapping[Kind, Outlook], declared: Declared, each: float | None, where: str
) -> Limit | None:
    outlook, most = outlooks.get(kind), logic.max_replicas(declared)
    if outlook is None or each is None or most is None:
        return None
    total = each * max(0, most - declared.spare)
    unit = "/s" if kind == "rate" else " at once"
    return _made(
        kind,
        outlook,
        declared,
        capacity=total,
        each=each,
        carries=f"{total:.4g}{unit} that {so_many(declared)} carry with {declared.spare} away{where}: {each:.4g}{unit}"
        " each",
    )


def _fullness(outlooks: Mapping[Kind, Outlook], declared: Declared) -> Limit | None:
    outlook, most = outlooks.get("saturation"), logic.max_replicas(declared)
    runs = declared.replicas
    if outlook is None or most is None or not runs:
        return None
    each = declared.saturation_limit / runs
    total = each * max(0, most - declared.spare)
    return _made(
        "saturation",
        outlook,
        declared,
        capacity=total,
        each=each,
        carries=f"{100 * total:.0f}% at which {so_many(declared)} are full with {declared.spare} away",
    )


def _made(
    kind: Kind, outlook: Outlook, declared: Declared, *, capacity: float, each: float, carries: str
) -> Limit:
    demand, middle = max(outlook.high[:AHEAD_DAYS]), max(outlook.middle[:AHEAD_DAYS])
    return Limit(
        kind=kind,
        demand=demand,
        demand_middle=middle,
        capacity=capacity,
        headroom=logic.headroom(demand, capacity),
        exhaustion=logic.exhaustion(outlook, capacity, declared.risk),
        replicas_needed=logic.replicas_for(demand, each, declared),
        replicas_usual=logic.replicas_for(max(outlook.middle[:7]), each, declared),
        reason=f"q95 peak {logic.shown(kind, demand)} within {AHEAD_DAYS} days of {carries}",
        each=each,
    )


def so_many(declared: Declared) -> str:
    """How many replicas are counted on."""
    most = logic.max_replicas(declared)
    return f"{'at most ' if declared.max_replicas is not None else ''}{most} replicas"


def beside(limits: Sequence[Limit]) -> str:
    """What the other measures leave, for the end of a reason."""
    return "".join(
        f"; by {one.kind} {100 * one.headroom:.0f}% is left" for one in limits[1:] if one.headroom is not None
    )
