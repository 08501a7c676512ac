"""Which alerts an objective would have raised over a recorded history: the evaluator's own `logic.decide`, replayed.

The state of an SLO depends on the sums over its windows and on its state before. So the sums of every slice are
taken from running totals, and `decide` is asked, for a block of slices at once, what the present state would become at
each; the first slice at which it becomes another is where the next block begins. While an SLO is well and no long
window is near its threshold nothing can change, so those stretches (most of a year) are passed over.

Two things differ from living through it: windows longer than the evaluator keeps slice by slice are exact here
(there their far edge moves a bucket at a time), and lost traffic is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, SupportsIndex, overload

import msgspec
import numpy as np
import numpy.typing as npt

from watchbill.features.slo import logic, slicing
from watchbill.features.slo.calendar import period_at
from watchbill.features.slo.history import BUDGET, FRESH, WINDOWS, Ints, Sums
from watchbill.features.slo.logic import FIRING, NO_TIER, OK, PAGE, RECOVERING, TICKET, UNMEASURED
from watchbill.features.slo.model import PARTS, Calendar, Measure, Plan, Tier

_BEFORE = ((UNMEASURED, NO_TIER), (OK, NO_TIER), (RECOVERING, NO_TIER), (FIRING, TICKET), (FIRING, PAGE))
"""Every state an SLO can come from."""
_START, _WELL = 0, 1
_FIRST_BLOCK, _BLOCK = 256, 2048
"""After a change the next one is often near; else blocks grow, so that their overhead is paid seldom."""
_STRIDE = 16
"""So many slices are bounded at once before any of them is looked at."""
_MEASURED = 2


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of consecutive slices from ``first`` (Unix seconds // slice length); arrays of one length.

    ``bad`` is never above ``total``; slices that are not ``measured`` have zeros.
    """

    first: int
    slice_seconds: int
    bad: Ints
    total: Ints
    measured: npt.NDArray[np.bool_]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, in slices: it fired at ``fired``, as ``tier``, until ``until`` (None: it still fires at the end).

    ``onset`` is the first slice of the trouble: since then the newest window has burned faster than is sustainable.
    """

    tier: Tier
    onset: int
    fired: int
    until: int | None


def sliced(recorded: Recorded, measure: Measure | None) -> Recorded:
    """The counts of an objective's time slices, as the evaluator keeps them; the same where it counts events."""
    if measure is None or measure.method == "occurrences":
        return recorded
    bad, total, measured = recorded.bad.copy(), recorded.total.copy(), recorded.measured.astype(np.int64)
    slicing.slice_row(
        measure, bad, total, measured, first=recorded.first, slice_seconds=recorded.slice_seconds
    )
    return Recorded(
        first=recorded.first,
        slice_seconds=recorded.slice_seconds,
        bad=bad,
        total=total,
        measured=measured.astype(np.bool_),
    )


def period_starts(recorded: Recorded, calendar: Calendar) -> Ints:
    """For each slice the first slice of its calendar's period, with the real lengths over DST."""
    width, count = recorded.slice_seconds, recorded.bad.size
    starts = np.empty(count, np.int64)
    place = 0
    while place < count:
        period = period_at(calendar, datetime.fromtimestamp((recorded.first + place) * width, UTC))
        until = min(max(-(-int(period.end.timestamp()) // width) - recorded.first, place + 1), count)
        starts[place:until] = int(period.begin.timestamp()) // width
        place = until
    return starts


def replay(
    recorded: Recorded,
    *,
    plan: Plan,
    share: Fraction,
    window_seconds: int,
    fresh_slices: int = 6,
    measure: Measure | None = None,
) -> list[Told]:
    """The alerts these counts would have raised, oldest first.

    Args:
        recorded: the counts; before them nothing is known.
        plan: the burn windows that are alive for this objective.
        share: the budget share 1 − target.
        window_seconds: the objective's window.
        fresh_slices: how many of the newest slices say whether data is fresh.
        measure: how the objective is measured: the budget's window begins with its calendar's periods, and its time
            slices are known when they are over (give `sliced` counts).

    An alert that rises from ticket to page is two: the ticket ends where the page begins.
    """
    count = recorded.bad.size
    if count == 0 or not plan.windows:
        return []
    walk = _Walk(
        recorded,
        plan,
        share,
        window_slices=window_seconds // recorded.slice_seconds,
        fresh_slices=fresh_slices,
        measure=measure or Measure(),
    )
    changes: list[tuple[int, int]] = []  # (slice, index into _BEFORE)
    state, at, block = _START, 0, _FIRST_BLOCK
    while at < count:
        if state == _WELL and not walk.eventful[at]:
            at = walk.next_eventful(at)
            continue
        until = min(at + block, count)
        after = walk.after(at, until, state)
        different = np.flatnonzero(after != state)
        if different.size == 0:
            at, block = until, min(2 * block, _BLOCK)
            continue
        at += int(different[0])
        state = int(after[different[0]])
        changes.append((at, state))
        at, block = at + 1, _FIRST_BLOCK
    return _told(changes, walk)


def worst_burn(recorded: Recorded, *, window_seconds: int, calendar: Calendar | None = None) -> float:
    """The largest share of bad events over any window of that length (or over all there is, when it is shorter).

    With a calendar: over any of its periods, of which the first and the last may not be here as a whole.

    A target is kept over this history exactly when 1 − target is at least this. 0 without events.
    """
    length = max(1, window_seconds // recorded.slice_seconds)
    bad, total = _running(recorded.bad), _running(recorded.total)
    if calendar is not None and recorded.bad.size:
        begins = np.flatnonzero(np.diff(period_starts(recorded, calendar), prepend=-1))
        of_bad, of_total = np.add.reduceat(recorded.bad, begins), np.add.reduceat(recorded.total, begins)
        return float(np.divide(of_bad, of_total, out=np.zeros(begins.size), where=of_total > 0).max())
    if recorded.bad.size <= length:
        return float(bad[-1] / total[-1]) if total[-1] else 0.0
    in_window = total[length:] - total[:-length]
    ratios = np.divide(
        bad[length:] - bad[:-length], in_window, out=np.zeros(in_window.size), where=in_window > 0
    )
    return float(ratios.max())


class _Same(Sequence[Sequence[Fraction]]):
    """One SLO's thresholds for every row of a block: each row is the same SLO at another time."""

    def __init__(self, thresholds: Sequence[Fraction], rows: int) -> None:
        self._thresholds = thresholds
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, row: SupportsIndex) -> Sequence[Fraction]: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Sequence[Fraction]]: ...
    def __getitem__(self, row: SupportsIndex | slice) -> Sequence[Fraction] | Sequence[Sequence[Fraction]]:
        if isinstance(row, slice):
            return [self._thresholds] * len(range(self._rows)[row])
        return self._thresholds


class _Walk:
    """The sums of every slice, and where something can happen."""

    def __init__(
        self,
        recorded: Recorded,
        plan: Plan,
        share: Fraction,
        *,
        window_slices: int,
        fresh_slices: int,
        measure: Measure,
    ) -> None:
        self.first = recorded.first
        self.since = (
            None
            if measure.calendar is None
            else np.maximum(period_starts(recorded, measure.calendar) - recorded.first, 0)
        )
        self.per = 1 if measure.method == "occurrences" else max(1, measure.slice_seconds // recorded.slice_seconds)
        self.unit = PARTS if measure.method == "ratio_timeslices" else None
        self.share = share
        self.lengths = np.array(
            logic.window_lengths(plan, window_slices=max(window_slices, 1), fresh_slices=fresh_slices), np.int64
        )
        self.running = (
            _running(recorded.bad),
            _running(recorded.total),
            _running(recorded.measured),
        )
        self.always = bool(recorded.total.all())
        self.plans = logic.stack_plans([plan], [share])
        seen = np.flatnonzero(recorded.measured)
        self.first_measured = recorded.first + int(seen[0]) if seen.size else -1
        self.count = recorded.bad.size
        self.eventful = self._eventful(plan)
        self._places = np.flatnonzero(self.eventful)

    def _eventful(self, plan: Plan) -> npt.NDArray[np.bool_]:
        """Slices at which an SLO that is well may not stay so: a long window near its threshold, or data missing."""
        there = np.zeros(self.count, np.bool_)
        if self.per > 1 or int(self.running[_MEASURED][-1]) < self.count:
            could = np.minimum(self.lengths[FRESH], np.arange(1, self.count + 1))
            there |= self._everywhere(_MEASURED, FRESH) < could
        if not self.always:
            there |= self._everywhere(1, BUDGET) == 0
        for pair, _window in enumerate(plan.windows):
            threshold = float(self.plans.threshold[0, pair]) * (1 - 1e-9)
            places = self._near(2 * pair + 1, threshold)
            bad, total = self._over(0, places, 2 * pair + 1), self._over(1, places, 2 * pair + 1)
            there[places[(bad > 0) & (bad >= threshold * total)]] = True
        return there

    def _near(self, window: int, threshold: float) -> Ints:
        """The slices at which the window may be over the threshold: the others are bounded together, stride by stride.

        Within a stride no window holds more failures than all of them together, and none fewer events than they have
        in common.
        """
        length = int(self.lengths[window])
        stride = max(1, min(_STRIDE, length // 4))
        begins = np.arange(0, self.count, stride)
        ends = np.minimum(begins + stride, self.count)
        most_bad = self.running[0][ends] - self.running[0][np.maximum(begins + 1 - length, 0)]
        least = self.running[1][begins + 1] - self.running[1][np.maximum(ends - length, 0)]
        near = np.flatnonzero((most_bad > 0) & (most_bad >= threshold * least))
        places: Ints = (begins[near, None] + np.arange(stride)).ravel()
        return places[places < self.count]

    def _everywhere(self, kind: int, window: int) -> Ints:
        """The sum over the window at every slice."""
        return self._between(kind, 0, self.count, window)

    def next_eventful(self, at: int) -> int:
        """The next such slice, or the end."""
        place = int(np.searchsorted(self._places, at))
        return int(self._places[place]) if place < self._places.size else self.count

    def after(self, start: int, end: int, before: int) -> Ints:
        """For each slice of [start, end): what the state ``before`` it would become; indices into `_BEFORE`."""
        times = np.arange(start, end)
        rows = times.size
        plans = logic.Plans(
            is_page=np.broadcast_to(self.plans.is_page, (rows, logic.PAIRS)),
            threshold=np.broadcast_to(self.plans.threshold, (rows, logic.PAIRS)),
            exact=_Same(self.plans.exact[0], rows),
            share=np.broadcast_to(self.plans.share, (rows,)),
            shares=[self.share] * rows,
            unit=None if self.unit is None else np.broadcast_to(np.int64(self.unit), (rows,)),
        )
        nobody = np.zeros(rows, np.bool_)
        state, tier = _BEFORE[before]
        # One block is many instants: "now" is an array, as every other figure of a row is.
        verdicts = logic.decide(
            plans,
            self._sums(start, end),
            logic.Previous(np.full(rows, state), np.full(rows, tier), nobody),
            lost=nobody,
            current=self.first + times,  # type: ignore[arg-type]  # see above
            grace_slices=0,
        )
        return _index(verdicts.state, verdicts.tier)

    def _sums(self, start: int, end: int) -> Sums:
        found = np.empty((3, end - start, WINDOWS), np.int64)
        for kind in range(3):
            for window in range(WINDOWS):
                found[kind, :, window] = self._between(kind, start, end, window)
        slices = np.arange(self.first + start, self.first + end)
        first = np.where(slices >= self.first_measured, self.first_measured, -1)
        lengths = np.broadcast_to(self.lengths, (end - start, WINDOWS))
        return Sums(found[0], found[1], found[2], lengths, first)

    def _between(self, kind: int, start: int, end: int, window: int) -> Ints:
        """The sum over the window at every slice of [start, end)."""
        if (window == BUDGET and self.since is not None) or (kind == _MEASURED and self.per > 1):
            return self._over(kind, np.arange(start, end), window)
        running, length = self.running[kind], int(self.lengths[window])  # the usual case, without picking places
        if not length:
            return np.zeros(end - start, np.int64)
        sums = running[start + 1 : end + 1].copy()
        inside = max(length - 1 - start, 0)  # so many windows begin before the history does
        if inside < sums.size:
            sums[inside:] -= running[start + inside + 1 - length : end + 1 - length]
        return sums

    def _over(self, kind: int, times: Ints, window: int) -> Ints:
        """The sum over the window that ends with each slice; 0 for a window that is not used."""
        running, length = self.running[kind], int(self.lengths[window])
        if not length:
            return np.zeros_like(times)
        begin = np.maximum(times + 1 - length, 0)
        if window == BUDGET and self.since is not None:
            begin = self.since[times]
        end = times + 1
        if kind == _MEASURED and self.per > 1:  # a time slice that is not over yet is not measured yet
            end = np.maximum((self.first + end) // self.per * self.per - self.first, begin)
        return running[end] - running[begin]

    def onset(self, fired: int) -> int:
        """Since when the newest window has burned faster than is sustainable, without a pause."""
        begin = max(0, fired - int(self.lengths[:8].max()))
        times = np.arange(begin, fired + 1)
        bad, total = self._over(0, times, 0), self._over(1, times, 0)
        calm = np.flatnonzero(bad <= float(self.share) * total)
        window_end = begin + int(calm[-1]) + 1 if calm.size else begin
        return min(window_end, fired)


def _index(state: Ints, tier: Ints) -> Ints:
    found = np.zeros(state.size, np.int64)
    for index, (one_state, one_tier) in enumerate(_BEFORE):
        found[(state == one_state) & (tier == one_tier)] = index
    return found


def _told(changes: Sequence[tuple[int, int]], walk: _Walk) -> list[Told]:
    told: list[Told] = []
    firing: tuple[int, int] | None = None
    for at, index in [*changes, (walk.count, -1)]:
        if firing is not None and (index == -1 or index != firing[1]):
            since, which = firing
            told.append(
                Told(
                    tier="page" if _BEFORE[which][1] == PAGE else "ticket",
                    onset=walk.first + walk.onset(since),
                    fired=walk.first + since,
                    until=None if index == -1 else walk.first + at,
                )
            )
            firing = None
        if index >= 0 and _BEFORE[index][0] == FIRING:
            firing = (at, index)
    return told


def _running(values: npt.NDArray[Any]) -> Ints:
    sums = np.empty(values.size + 1, np.int64)
    sums[0] = 0
    np.cumsum(values, dtype=np.int64, out=sums[1:])
    return sums
