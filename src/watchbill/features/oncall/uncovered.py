"""Holes in a schedule as it is written, before there is a team or a person: for checking a manifest."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid5

from watchbill.features.oncall import logic
from watchbill.features.oncall.model import RotationSpec
from watchbill.kernel.durations import rough_duration

CHECKED_DAYS = 28
_FROM = datetime(2026, 1, 5, tzinfo=UTC)
_NAMES = UUID(int=0)


def uncovered(spec: RotationSpec) -> list[tuple[str, list[tuple[datetime, datetime]], str]]:
    """For each slot with holes: its name, the holes, and how long they are together.

    Four weeks are looked at, from when the last layer has started; a layer that ends is not followed past its end.
    Public holidays are not known here, so layers that count on them are passed over.
    """
    if not spec.layers:
        return []
    begun = [layer.starts_at.date() for layer in spec.layers if layer.starts_at]
    begun += [layer.count_from for layer in spec.layers if layer.count_from]
    start_at = max([_FROM, *(datetime.combine(day, time(), UTC) + timedelta(days=8) for day in begun)])
    end_at = start_at + timedelta(days=CHECKED_DAYS)
    ids = {login: uuid5(_NAMES, login) for login in spec.members} | {s: uuid5(_NAMES, s) for s in spec.shadows}
    schedule = logic.calculator(spec.for_team(_NAMES, ids), phases={})
    found: list[tuple[str, list[tuple[datetime, datetime]], str]] = []
    for slot in schedule.slots:
        holes = logic.gaps(list(logic.spans(schedule.slot(slot), start_at, end_at)), start_at, end_at)
        if holes:
            total = sum((end - start for start, end in holes), timedelta())
            found.append((slot, holes, rough_duration(total)))
    return found
