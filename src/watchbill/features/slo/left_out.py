"""What exclusions take out of the counts, slice by slice: the history holds what counts, this the rest.

So every window, of budgets and of alerts, leaves excluded slices out exactly, and the budget without exclusions is
still known: what counts, plus what is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from watchbill.features.slo.exclusion import Span, seconds_within

Ints = npt.NDArray[np.int64]


class LeftOut:
    """Of each SLO, the counts of slices that would be added if nothing were excluded.

    With time slices a difference may be negative: a slice that was bad only for its excluded minutes is good without.
    """

    def __init__(self) -> None:
        self._of: dict[UUID, dict[int, tuple[int, int]]] = {}

    def write(self, slo_id: UUID, *, first: int, bad: Ints, total: Ints) -> None:
        """The differences of consecutive slices from ``first``, as now known; zeros forget."""
        of = self._of.setdefault(slo_id, {})
        for place in range(bad.size):
            of.pop(first + place, None)
        for there in np.flatnonzero((bad != 0) | (total != 0)).tolist():
            of[first + there] = int(bad[there]), int(total[there])

    def forget(self, slo_id: UUID) -> None:
        """Its counts are read again."""
        self._of.pop(slo_id, None)

    def keep(self, slo_ids: Sequence[UUID], *, since: int) -> None:
        """Forget what no window reaches, and SLOs that are gone."""
        wanted = set(slo_ids)
        self._of = {
            slo_id: {at: counts for at, counts in of.items() if at >= since}
            for slo_id, of in self._of.items()
            if slo_id in wanted
        }

    def within(self, slo_id: UUID, *, start: int, end: int) -> tuple[int, int]:
        """(bad, total) of the slices of [start, end)."""
        inside = [counts for at, counts in self._of.get(slo_id, {}).items() if start <= at < end]
        return sum(bad for bad, _ in inside), sum(total for _, total in inside)

    def columns(self, slo_id: UUID, *, start: int, count: int) -> tuple[Ints, Ints] | None:
        """(bad, total) of each of ``count`` slices from ``start``; None when nothing is left out there."""
        inside = [(at - start, *counts) for at, counts in self._of.get(slo_id, {}).items() if 0 <= at - start < count]
        if not inside:
            return None
        bad, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for place, failed, counted in inside:
            bad[place], total[place] = failed, counted
        return bad, total


def slices_of(spans: Sequence[Span], slice_seconds: int) -> list[tuple[int, int]]:
    """[first, end) of the slices that begin in each span."""
    return [
        (-(-int(start.timestamp()) // slice_seconds), -(-int(end.timestamp()) // slice_seconds))
        for start, end in spans
    ]


def covered(spans: Sequence[Span], *, first: int, count: int, slice_seconds: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` slices from ``first`` are excluded."""
    chosen = np.zeros(count, np.bool_)
    for start, end in slices_of(spans, slice_seconds):
        chosen[max(start - first, 0) : max(end - first, 0)] = True
    return chosen


def whole_units(spans: Sequence[Span], *, start: datetime, end: datetime, unit_seconds: int) -> int:
    """How many time slices that begin in [start, end) lie in an exclusion as a whole; the spans do not overlap."""
    count = 0
    for since, until in spans:
        low, high = max(since, start), min(until, end)
        count += max(0, int(high.timestamp()) // unit_seconds - -(-int(low.timestamp()) // unit_seconds))
    return count


class Excluded(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out of one SLO's budget window now: seconds, the counts they held; and whether one is in force.

    ``until_at``: when the exclusion of now ends; ``here``: (bad, total) in it so far.
    """

    seconds: int
    bad: int
    total: int
    until_at: datetime | None = None
    here: tuple[int, int] = (0, 0)


def excluded_now(
    out: LeftOut, slo_id: UUID, spans: Sequence[Span], *, now: datetime, edge: int, current: int, slice_seconds: int
) -> Excluded:
    """What is left out of the window that begins with slice ``edge``."""
    bad, total = out.within(slo_id, start=edge, end=current + 1)
    begin = datetime.fromtimestamp(edge * slice_seconds, now.tzinfo)
    running = next((span for span in spans if span[0] <= now < span[1]), None)
    here = (0, 0)
    if running is not None:
        here = out.within(slo_id, start=slices_of([running], slice_seconds)[0][0], end=current + 1)
    seconds = seconds_within(spans, begin, now)
    return Excluded(
        seconds=seconds, bad=bad, total=total, until_at=running[1] if running is not None else None, here=here
    )
