"""Demand of components that nobody measures at their own door: the rates of the operations that call them, times F.

F is the measured number of calls for each root trace, with its bootstrap interval (the throughput calculator that
Zalando described in 2019). The ends of both intervals are multiplied: wide, and never confident by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.capacity import reads
from watchbill.features.capacity.model import WHOLE, Fanout, Journey, Stored
from watchbill.runtime.db import Tx


def derive(tx: Tx, *, services: Sequence[catalog.Service], stored: Sequence[Stored]) -> list[Stored]:
    """Forecasts of the rate of those services that have none of their own, from what calls them."""
    has = {one.service_id for one in stored if one.operation == WHOLE and one.kind == "rate"}
    bare = [one for one in services if one.id not in has]
    if not bare:
        return []
    measured = reads.journeys(tx)
    names = {name for one in bare for name in (one.telemetry_name, one.name)}
    calling = [each for each in measured if any(one.component in names for one in each.fanouts)]
    fresh = {(one.service_id, one.operation): one for one in stored if one.kind == "rate"}
    elsewhere = {each.service_id for each in calling} - {one.service_id for one in stored}
    for one in reads.forecasts(tx, service_ids=elsewhere) if elsewhere else []:
        if one.kind == "rate":
            fresh.setdefault((one.service_id, one.operation), one)
    found = []
    for service in bare:
        made = _sum(service, calling, fresh)
        if made is not None:
            found.append(made)
    return found


def _sum(
    service: catalog.Service, calling: Sequence[Journey], fresh: dict[tuple[UUID, str], Stored]
) -> Stored | None:
    parts: list[tuple[Stored, Fanout]] = []
    missing = []
    for journey in calling:
        each = next((f for f in journey.fanouts if f.component in (service.telemetry_name, service.name)), None)
        if each is None:
            continue
        told = fresh.get((journey.service_id, journey.operation))
        if told is None or not told.point:
            missing.append(journey.operation)
        else:
            parts.append((told, each))
    if not parts:
        return None
    first = parts[0][0]
    parts = [(told, each) for told, each in parts if (told.first_at, len(told.point)) == (first.first_at,
             len(first.point))]  # fmt: skip
    steps, days = range(len(first.point)), range(min(len(told.peak) for told, _ in parts))
    notes = [
        "its demand is not measured itself: it is that of "
        + ", ".join(f"{told.operation} × {each.mean:.3g} ({each.low:.3g} – {each.high:.3g})" for told, each in parts)
    ]
    notes += [
        f"calls from {told.operation} change with load (caches, retries, batches): the figure is a guide"
        for told, each in parts
        if each.depends_on_load
    ]
    if missing:
        notes.append(f"without {', '.join(sorted(missing))}, of which there is no forecast: it is more than this")
    return msgspec.structs.replace(
        first,
        service_id=service.id,
        operation=WHOLE,
        point=[sum(told.point[at] * each.mean for told, each in parts) for at in steps],
        low=[sum(told.low[at] * each.low for told, each in parts) for at in steps],
        high=[sum(told.high[at] * each.high for told, each in parts) for at in steps],
        peak=[sum(told.peak[at] * told.burst * each.mean for told, each in parts) for at in days],
        peak_high=[sum(told.peak_high[at] * told.burst * each.high for told, each in parts) for at in days],
        burst=1.0,
        growth_per_week=max((told.growth_per_week for told, _ in parts), key=abs),
        days=min(told.days for told, _ in parts),
        coverage=None,
        mae=None,
        naive_coverage=None,
        naive_mae=None,
        notes=notes,
        model="calls",
        rival_mae=None,
        ahead=[],
        peak_coverage=None,
    )
