"""Saving a curve, pushing demand, and signing off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import catalog
from watchbill.features.capacity import reads, store, usl
from watchbill.features.capacity.model import Curve, Kind, SignOff
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.runtime import due, ledger
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

FORECAST = "capacity.forecast"
"""Due row: forecast this service now."""
_SOON = timedelta(seconds=2)
LONGEST = timedelta(days=400)
_MOST = 1e12
_FULLEST = 2.0
"""A share above it is a percentage that was meant as one; a little above 1 is what load averages give."""


def save_curve(
    tx: Tx,
    *,
    service: catalog.Service,
    fit: usl.Fit,
    points: Sequence[tuple[float, float]],
    latency_ms: float | None,
    actor: Actor,
) -> Curve:
    """Keep a fitted load test as what one replica carries: at ``latency_ms``, else at the strictest latency SLO, else
    at its peak.

    Raises:
        Invalid: the test never saturates, or one request alone takes longer.
    """
    limit = latency_ms if latency_ms is not None else reads.latency_of(tx, service_id=service.id)
    capacity = usl.capacity_at_latency(fit, None if limit is None else limit / 1000)
    row = {
        "service_id": service.id,
        "fit": msgspec.to_builtins(fit),
        "points": [list(point) for point in points],
        "latency_ms": limit,
        "capacity": capacity,
        "saved_at": tx.now,
    }
    before = reads.curves(tx, service_ids=[service.id]).get(service.id)
    if before is not None and before.capacity == capacity and [list(p) for p in before.points] == row["points"]:
        return before
    statement = insert(store.capacity_curve).values(**row)
    changing = {key: statement.excluded[key] for key in row if key != "service_id"}
    tx.execute(statement.on_conflict_do_update(index_elements=["service_id"], set_=changing))
    ledger.append(
        tx,
        name="capacity.measured",
        actor=actor,
        subject=("service", service.id),
        team_id=service.team_id,
        why=f"one replica carries {capacity:.4g}/s" + ("" if limit is None else f" within {limit:g} ms"),
        data={"capacity": capacity, "latency_ms": limit, "points": len(points)},
    )
    due.schedule(tx, kind=FORECAST, subject=service.id, due_at=tx.now + _SOON)
    return reads.curves(tx, service_ids=[service.id])[service.id]


def push_demand(
    tx: Tx,
    *,
    service: catalog.Service,
    operation: str,
    kind: Kind,
    hours: Sequence[tuple[datetime, float, float | None]],
    actor: Actor,
) -> int:
    """Take (hour, mean, busiest or None) of a demand that we do not measure; given again, the last stands.

    Returns how many days were written. Negative values are gaps: a counter that was reset says nothing.

    Raises:
        Invalid: an instant that is not a whole hour, in the future, or older than 400 days; a value that is not finite.
    """
    days: dict[datetime, tuple[list[Any], list[Any]]] = {}
    for place, (at, mean, peak) in enumerate(hours):
        field = f"hours[{place}]"
        if at.minute or at.second or at.microsecond:
            raise Invalid(f"{at.isoformat()} is not a whole hour", field=field, hint="give one value for each hour")
        if at > tx.now or at < tx.now - LONGEST:
            raise Invalid(f"{at.isoformat()} is not within the last 400 days", field=field, hint="check the year")
        if not math.isfinite(mean) or not math.isfinite(peak if peak is not None else 0.0):
            raise Invalid("a value is not a finite number", field=field, hint="leave the hour out: it is a gap then")
        most = max(mean, peak if peak is not None else mean)
        if kind == "saturation" and most > _FULLEST:
            raise Invalid(f"a saturation of {most:g} is no share", field=field, hint="1 is full: write 0.85 for 85%")
        if most > _MOST:
            raise Invalid(f"{most:g} is more than anybody serves", field=field, hint="is it a counter, not a rate?")
        day = at.replace(hour=0)
        means, peaks = days.setdefault(day, ([None] * 24, [None] * 24))
        means[at.hour] = None if mean < 0 else mean
        peaks[at.hour] = None if mean < 0 else max(mean, peak if peak is not None else mean)
    table = store.capacity_day
    ours = (table.c.service_id == service.id, table.c.operation == operation, table.c.kind == kind)
    for row in tx.execute(sa.select(table).where(*ours, table.c.day_at.in_(list(days)))):
        means, peaks = days[row.day_at]
        for hour in range(24):
            means[hour] = row.mean[hour] if means[hour] is None else means[hour]
            peaks[hour] = row.peak[hour] if peaks[hour] is None else peaks[hour]
    rows = [
        {"service_id": service.id, "operation": operation, "kind": kind, "day_at": day, "mean": mean, "peak": peak}
        for day, (mean, peak) in days.items()
    ]
    upsert_many(tx, table, rows, keys=("service_id", "operation", "kind", "day_at"))
    if rows:
        ledger.append(
            tx,
            name="capacity.pushed",
            actor=actor,
            subject=("service", service.id),
            team_id=service.team_id,
            data={"operation": operation, "kind": kind, "hours": len(hours), "days": len(rows)},
        )
        due.schedule(tx, kind=FORECAST, subject=service.id, due_at=tx.now + _SOON)
    return len(rows)


def sign_off(
    tx: Tx, *, team_id: UUID, event: str, service: catalog.Service, person_id: UUID, note: str, actor: Actor
) -> SignOff:
    """Stand for a component before an event, with the headroom as it is now; signed again, the later stands.

    Raises:
        NotFound: no such event, or the service is none of its components.
        Conflict: the headroom is negative or unknown and no note says why that is all right.
    """
    review = next((one for one in reads.reviews(tx) if one.team_id == team_id and one.event.name == event), None)
    line = next((one for one in review.lines if one.service_id == service.id), None) if review else None
    if review is None or line is None:
        raise NotFound(f"{service.name} is no component of an event '{event}'", hint="see `watchbill capacity review`")
    if (line.headroom is None or line.headroom < 0) and not note.strip():
        raise Conflict(
            f"the headroom of {service.name} is {'unknown' if line.headroom is None else 'negative'}",
            field="note",
            hint="say in a note why it may be signed all the same",
        )
    made = SignOff(
        team_id=team_id,
        event=event,
        service_id=service.id,
        signed_by=person_id,
        signed_at=tx.now,
        note=note.strip()[:1000],
        headroom=line.headroom,
    )
    statement = insert(store.capacity_sign_off).values(**msgspec.structs.asdict(made))
    keys = ("team_id", "event", "service_id")
    changing = {name: statement.excluded[name] for name in msgspec.structs.asdict(made) if name not in keys}
    tx.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changing))
    ledger.append(
        tx,
        name="capacity.signed",
        actor=actor,
        subject=("service", service.id),
        team_id=service.team_id,
        why=made.note,
        data={"event": event, "headroom": line.headroom},
    )
    return made


def withdraw_sign_off(tx: Tx, *, team_id: UUID, event: str, service: catalog.Service, actor: Actor) -> None:
    """Take a signature back.

    Raises:
        NotFound: it was not signed.
    """
    table = store.capacity_sign_off
    gone = tx.execute(
        sa.delete(table).where(
            table.c.team_id == team_id, table.c.event == event, table.c.service_id == service.id
        )
    )
    if gone.rowcount == 0:
        raise NotFound(f"{service.name} is not signed off for '{event}'", hint="see `watchbill capacity review`")
    ledger.append(
        tx,
        name="capacity.unsigned",
        actor=actor,
        subject=("service", service.id),
        team_id=service.team_id,
        data={"event": event},
    )
