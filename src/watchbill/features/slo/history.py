"""Counts of every SLO in memory, with the sums over its windows kept up to date.

Two rings per SLO: the last ``fine_slices`` slices one by one, and buckets of several slices as far back
as the longest budget reaches. Windows that fit are summed over slices, longer ones over buckets (their far
edge then moves a bucket at a time). Sums are integers and are changed by what enters, what leaves and what
is corrected, so a cycle costs the same for a window of five minutes and one of thirty days, and nothing
drifts. With slices of one minute and windows of 30 days an SLO takes about 82 KB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from watchbill.features.slo.left_out import LeftOut

Ints = npt.NDArray[np.int64]

FINE_SLICES = 4320
MAX_BUCKETS = 4330
MIN_BUCKET_SLICES = 10
WINDOWS = 10
"""Four pairs (short, long), the budget's window, and the one that says whether data is fresh."""
BUDGET = 8
FRESH = 9
_REBUILD_AFTER = 64
_COUNT_MAX = np.iinfo(np.uint32).max


class Sums(msgspec.Struct, frozen=True):
    """Sums over the windows, each of shape (SLOs, `WINDOWS`), and per SLO the first measured slice (-1: none)."""

    bad: Ints
    total: Ints
    measured: Ints
    lengths: Ints
    first: Ints


class CountHistory:
    """Rings of (bad, total, measured) for many SLOs; a slice is an integer: Unix seconds // slice length."""

    def __init__(self, *, slice_seconds: int, longest_window_slices: int = 43_200, capacity: int = 64) -> None:
        self.slice_seconds = slice_seconds
        self.bucket_slices = max(MIN_BUCKET_SLICES, -(-longest_window_slices // (MAX_BUCKETS - 10)))
        self.longest_window_slices = longest_window_slices
        self.buckets = -(-longest_window_slices // self.bucket_slices) + 2
        self.fine_slices = min(FINE_SLICES, max(longest_window_slices, 120)) + 1
        self.current = -1
        self.too_late = 0
        self.left_out = LeftOut()
        """What exclusions took out of the counts that are here."""
        self._rows: dict[UUID, int] = {}
        self._free: list[int] = []
        self._allocate(max(capacity, 1))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, slo_id: UUID) -> bool:
        return slo_id in self._rows

    @property
    def bytes_per_slo(self) -> int:
        """Memory of one SLO's rings and sums."""
        return sum(array.nbytes for array in self._arrays()) // self._capacity

    def rows(self, slo_ids: Sequence[UUID]) -> Ints:
        """Row numbers of these SLOs, for `update` and `sums`."""
        return np.fromiter((self._rows[slo_id] for slo_id in slo_ids), dtype=np.int64, count=len(slo_ids))

    def define(self, windows: Mapping[UUID, Sequence[int]], *, since: Mapping[UUID, int] | None = None) -> list[UUID]:
        """Keep exactly these SLOs, with the lengths (in slices, 0 = unused) of their `WINDOWS` windows.

        ``since``: where the budget's window begins at this slice and grows, instead of rolling; its length is then
        the longest that it becomes. Returns the ids that are new and so have no history yet. Counts of the others stay.
        """
        since = since or {}
        for gone in [slo_id for slo_id in self._rows if slo_id not in windows]:
            self._free.append(self._rows.pop(gone))
            self.left_out.forget(gone)
        new = [slo_id for slo_id in windows if slo_id not in self._rows]
        short_of = len(new) - len(self._free)
        if short_of > 0:
            self._grow(short_of)
        for slo_id in new:
            row = self._free.pop()
            self._rows[slo_id] = row
            for array in self._arrays():
                array[row] = 0
            self._first[row] = self._since[row] = -1
        changed = []
        for slo_id, lengths in windows.items():
            row = self._rows[slo_id]
            wanted = np.asarray(lengths, dtype=np.int64)
            begins = since.get(slo_id, -1)
            if self._since[row] != begins or not np.array_equal(self._lengths[row], wanted):
                self._lengths[row], self._since[row] = wanted, begins
                changed.append(row)
        if changed:
            self._resum(np.asarray(changed, dtype=np.int64))
        return new

    def advance(self, to: int) -> None:
        """Make ``to`` the newest slice: what falls out of each window is taken off its sum."""
        if to <= self.current:
            return
        if self.current < 0 or to - self.current > _REBUILD_AFTER:
            self._jump(to)
            return
        used = self._used()
        for current in range(self.current + 1, to + 1):
            self._step(used, current)
        self.current = to

    def update(self, *, rows: Ints, slices: Ints, bad: Ints, total: Ints, measured: npt.NDArray[Any]) -> int:
        """Write the counts of slices as they are now known; late and repeated ones correct the past.

        Of one row and slice given twice, the later stands. Slices newer than the current one advance
        it; older than the fine ring are left out and counted in ``too_late``. ``bad`` over ``total``
        is capped, and so are more than 429 million events in one slice (2³² in a bucket of ten).
        Returns how many slices changed.
        """
        if rows.size == 0:
            return 0
        newest = int(slices.max())
        if newest > self.current:
            self.advance(newest)
        keep = slices > self.current - self.fine_slices
        self.too_late += int(keep.size - np.count_nonzero(keep))
        _, last = np.unique((rows * (1 << 40) + slices)[keep][::-1], return_index=True)
        chosen = np.flatnonzero(keep)[::-1][last]
        rows, slices = rows[chosen], slices[chosen]
        total = np.clip(total[chosen], 0, _COUNT_MAX // self.bucket_slices)  # so that no bucket runs over
        known = np.asarray(measured)[chosen].astype(bool)
        total = np.where(known, total, 0)
        bad = np.clip(np.where(known, bad[chosen], 0), 0, total)
        place = slices % self.fine_slices
        delta_bad = bad - self._fine_bad[rows, place]
        delta_total = total - self._fine_total[rows, place]
        delta_known = known.astype(np.int64) - self._fine_measured[rows, place]
        touched = np.flatnonzero((delta_bad != 0) | (delta_total != 0) | (delta_known != 0))
        if touched.size == 0:
            return 0
        rows, slices, place = rows[touched], slices[touched], place[touched]
        self._fine_bad[rows, place] = bad[touched]
        self._fine_total[rows, place] = total[touched]
        self._fine_measured[rows, place] = known[touched]
        self._add(rows, slices, delta_bad[touched], delta_total[touched], delta_known[touched])
        self._note_first(rows[known[touched]], slices[known[touched]])
        return int(touched.size)

    def load_old(self, *, rows: Ints, slices: Ints, bad: Ints, total: Ints, measured: Ints) -> None:
        """Fill the buckets of slices that are older than the fine ring, once, after a start.

        ``measured`` counts slices, so that sums over several slices may be given too. Call `resum` after.
        """
        keep = slices <= self.current - self.fine_slices
        keep &= slices // self.bucket_slices > self.current // self.bucket_slices - self.buckets
        rows, slices = rows[keep], slices[keep]
        place = (slices // self.bucket_slices) % self.buckets
        np.add.at(self._coarse_bad, (rows, place), np.minimum(bad[keep], total[keep]).astype(np.uint32))
        np.add.at(self._coarse_total, (rows, place), total[keep].astype(np.uint32))
        np.add.at(self._coarse_measured, (rows, place), measured[keep].astype(np.uint16))
        seen = measured[keep] > 0
        self._note_first(rows[seen], slices[seen])

    def replace_old(self, *, rows: Ints, first: int, bad: Ints, total: Ints, measured: Ints) -> None:
        """Correct whole buckets from slice ``first`` on, which begins one; arrays of shape (rows, slices).

        For what came later than the slices are kept one by one. Buckets that are kept no more are left out. The sums
        follow by what changed, so ten thousand SLOs are not summed again for one minute.
        """
        width = self.bucket_slices
        buckets = first // width + np.arange(total.shape[1] // width)
        newest = self.current // width
        kept = (buckets > newest - self.buckets) & (buckets <= newest)
        known = measured.astype(bool)
        total = np.clip(np.where(known, total, 0), 0, _COUNT_MAX // width)
        cells = np.ix_(rows, buckets[kept] % self.buckets)
        deltas = []
        for ring, counts in zip(self._coarse_rings(), (np.clip(bad, 0, total), total, known), strict=True):
            now = counts.reshape(rows.size, buckets.size, width).sum(axis=2, dtype=np.int64)[:, kept]
            deltas.append(now - ring[cells])
            ring[cells] = now.astype(ring.dtype)
        self._add_buckets(rows, buckets[kept], deltas)
        there = known[:, np.repeat(kept, width)]
        seen = np.flatnonzero(there.any(axis=1))
        slices = first + np.flatnonzero(np.repeat(kept, width))
        if seen.size:
            self._note_first(rows[seen], slices[there[seen].argmax(axis=1)])

    def resum(self, rows: Ints | None = None) -> None:
        """Compute the sums (of these rows, or of all) again from the rings."""
        self._resum(self._used() if rows is None else rows)

    def clear(self, rows: Ints) -> None:
        """Forget the counts of these rows, to read them again."""
        for array in (*self._fine_rings(), *self._coarse_rings(), self._sum_bad, self._sum_total, self._sum_measured):
            array[rows] = 0
        self._first[rows] = -1
        cleared = set(rows.tolist())
        for slo_id in [slo_id for slo_id, row in self._rows.items() if row in cleared]:
            self.left_out.forget(slo_id)

    def budget_edge(self, slo_id: UUID) -> int:
        """The oldest slice that the sums over the budget's window hold."""
        row = self._rows[slo_id]
        length, since = int(self._lengths[row, BUDGET]), int(self._since[row])
        if since >= 0:
            return since
        if length < self.fine_slices:
            return self.current - length + 1
        kept = -(-length // self.bucket_slices) + 1
        return (self.current // self.bucket_slices - kept + 1) * self.bucket_slices

    def sums(self, rows: Ints) -> Sums:
        """The sums over the windows of these rows, as of the current slice."""
        return Sums(
            self._sum_bad[rows], self._sum_total[rows], self._sum_measured[rows], self._lengths[rows], self._first[rows]
        )

    def fine(self, rows: Ints, *, start: int, count: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """(bad, total, measured) of ``count`` slices from ``start``; what is not kept is unmeasured."""
        slices = np.arange(start, start + count)
        place = slices % self.fine_slices
        there = (slices <= self.current) & (slices > self.current - self.fine_slices)
        cells = np.ix_(rows, place)
        return (
            np.where(there, self._fine_bad[cells], 0).astype(np.int64),
            np.where(there, self._fine_total[cells], 0).astype(np.int64),
            there & self._fine_measured[cells].astype(bool),
        )

    def bucket_total(self, rows: Ints, *, slice_number: int) -> tuple[Ints, Ints]:
        """(total, measured slices) of the bucket that holds this slice; zeros when it is not kept."""
        bucket = slice_number // self.bucket_slices
        if not self.current // self.bucket_slices - self.buckets < bucket <= self.current // self.bucket_slices:
            return np.zeros(rows.size, np.int64), np.zeros(rows.size, np.int64)
        place = bucket % self.buckets
        return self._coarse_total[rows, place].astype(np.int64), self._coarse_measured[rows, place].astype(np.int64)

    # -- inside

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._fine_bad = np.zeros((capacity, self.fine_slices), np.uint32)
        self._fine_total = np.zeros((capacity, self.fine_slices), np.uint32)
        self._fine_measured = np.zeros((capacity, self.fine_slices), np.uint8)
        self._coarse_bad = np.zeros((capacity, self.buckets), np.uint32)
        self._coarse_total = np.zeros((capacity, self.buckets), np.uint32)
        self._coarse_measured = np.zeros((capacity, self.buckets), np.uint16)
        self._sum_bad = np.zeros((capacity, WINDOWS), np.int64)
        self._sum_total = np.zeros((capacity, WINDOWS), np.int64)
        self._sum_measured = np.zeros((capacity, WINDOWS), np.int64)
        self._lengths = np.zeros((capacity, WINDOWS), np.int64)
        self._first = np.full(capacity, -1, np.int64)
        self._since = np.full(capacity, -1, np.int64)
        self._free.extend(range(capacity - 1, -1, -1))

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        rings = *self._fine_rings(), *self._coarse_rings(), self._sum_bad, self._sum_total, self._sum_measured
        return *rings, self._lengths, self._first, self._since

    def _fine_rings(self) -> tuple[npt.NDArray[Any], ...]:
        return self._fine_bad, self._fine_total, self._fine_measured

    def _coarse_rings(self) -> tuple[npt.NDArray[Any], ...]:
        return self._coarse_bad, self._coarse_total, self._coarse_measured

    def _grow(self, short_of: int) -> None:
        """Move to larger arrays. Spare rows cost nothing: the system gives a page when it is first written."""
        old, before, free = self._arrays(), self._capacity, self._free
        self._free = []
        self._allocate(before + max(short_of, before // 2))
        self._free = [row for row in self._free if row >= before] + free
        for new_array, old_array in zip(self._arrays(), old, strict=True):
            new_array[:before] = old_array

    def _used(self) -> Ints:
        return np.fromiter(self._rows.values(), dtype=np.int64, count=len(self._rows))

    def _is_fine(self, lengths: Ints) -> npt.NDArray[np.bool_]:
        return lengths < self.fine_slices

    def _in_buckets(self, lengths: Ints) -> Ints:
        # One more than fits: a budget never forgets a failure before its window has passed.
        return -(-lengths // self.bucket_slices) + 1

    def _step(self, used: Ints, current: int) -> None:
        new_bucket = current % self.bucket_slices == 0
        bucket = current // self.bucket_slices
        rolling = used[self._since[used] < 0]
        for window in range(WINDOWS):
            rows = rolling if window == BUDGET else used
            lengths = self._lengths[rows, window]
            fine = self._is_fine(lengths)
            self._leave(rows[fine], window, (current - lengths[fine]) % self.fine_slices, fine=True)
            if new_bucket and not fine.all():
                leaving = (bucket - self._in_buckets(lengths[~fine])) % self.buckets
                self._leave(rows[~fine], window, leaving, fine=False)
        place = current % self.fine_slices
        for ring in self._fine_rings():
            ring[used, place] = 0
        if new_bucket:
            for ring in self._coarse_rings():
                ring[used, bucket % self.buckets] = 0

    def _leave(self, rows: Ints, window: int, place: Ints, *, fine: bool) -> None:
        if rows.size == 0:
            return
        rings = self._fine_rings() if fine else self._coarse_rings()
        for sums, ring in zip((self._sum_bad, self._sum_total, self._sum_measured), rings, strict=True):
            sums[rows, window] -= ring[rows, place]

    def _add(self, rows: Ints, slices: Ints, bad: Ints, total: Ints, known: Ints) -> None:
        bucket = slices // self.bucket_slices
        for ring, delta in ((self._coarse_bad, bad), (self._coarse_total, total), (self._coarse_measured, known)):
            # Unsigned rings, signed deltas: addition wraps around to the right value.
            np.add.at(ring, (rows, bucket % self.buckets), delta.astype(ring.dtype))
        age = self.current - slices
        bucket_age = self.current // self.bucket_slices - bucket
        for window in range(WINDOWS):
            lengths = self._lengths[rows, window]
            fine = self._is_fine(lengths)
            inside = np.where(fine, age < lengths, bucket_age < self._in_buckets(lengths))
            if window == BUDGET:
                inside = np.where(self._since[rows] < 0, inside, slices >= self._since[rows])
            for sums, delta in ((self._sum_bad, bad), (self._sum_total, total), (self._sum_measured, known)):
                np.add.at(sums[:, window], rows[inside], delta[inside])

    def _add_buckets(self, rows: Ints, buckets: Ints, deltas: Sequence[Ints]) -> None:
        """Bring the sums of windows that are summed over buckets in step; deltas of shape (rows, buckets)."""
        age = self.current // self.bucket_slices - buckets[None, :]
        for window in range(WINDOWS):
            lengths = self._lengths[rows, window]
            inside = ~self._is_fine(lengths)[:, None] & (age < self._in_buckets(lengths)[:, None])
            if window == BUDGET:
                since = self._since[rows][:, None]
                grown = (self.current - since + 1 >= self.fine_slices) & (buckets >= since // self.bucket_slices)
                inside = np.where(since < 0, inside, grown)
            for sums, delta in zip((self._sum_bad, self._sum_total, self._sum_measured), deltas, strict=True):
                sums[rows, window] += np.where(inside, delta, 0).sum(axis=1)

    def _note_first(self, rows: Ints, slices: Ints) -> None:
        earliest = np.full(self._capacity, np.iinfo(np.int64).max)
        np.minimum.at(earliest, rows, slices)
        before = np.where(self._first < 0, np.iinfo(np.int64).max, self._first)
        first = np.minimum(before, earliest)
        self._first = np.where(first == np.iinfo(np.int64).max, -1, first)

    def _jump(self, to: int) -> None:
        """After a long sleep: forget the slots that were skipped, then sum again."""
        used = self._used()
        skipped = np.unique(np.arange(max(self.current + 1, to - self.fine_slices + 1), to + 1) % self.fine_slices)
        for ring in self._fine_rings():
            ring[np.ix_(used, skipped)] = 0
        old, new = self.current // self.bucket_slices, to // self.bucket_slices
        first = max(old + 1 if self.current >= 0 else 0, new - self.buckets + 1)
        skipped = np.unique(np.arange(first, new + 1) % self.buckets)
        for ring in self._coarse_rings():
            ring[np.ix_(used, skipped)] = 0
        self.current = to
        self._resum(used)

    def _resum(self, rows: Ints) -> None:
        fine_order = np.arange(self.current, self.current - self.fine_slices, -1) % self.fine_slices
        bucket = self.current // self.bucket_slices
        coarse_order = np.arange(bucket, bucket - self.buckets, -1) % self.buckets
        for row in rows:
            lengths = self._lengths[row]
            fine = self._is_fine(lengths)
            for sums, ring, coarse in (
                (self._sum_bad, self._fine_bad, self._coarse_bad),
                (self._sum_total, self._fine_total, self._coarse_total),
                (self._sum_measured, self._fine_measured, self._coarse_measured),
            ):
                newest_first = np.concatenate(([0], np.cumsum(ring[row][fine_order], dtype=np.int64)))
                in_buckets = np.concatenate(([0], np.cumsum(coarse[row][coarse_order], dtype=np.int64)))
                far = np.minimum(self._in_buckets(lengths), self.buckets)
                sums[row] = np.where(
                    fine, newest_first[np.minimum(lengths, self.fine_slices)], in_buckets[np.where(fine, 0, far)]
                )
                if self._since[row] >= 0:
                    sums[row, BUDGET] = self._grown(int(self._since[row]), newest_first, in_buckets)

    def _grown(self, since: int, newest_first: Ints, in_buckets: Ints) -> int:
        """The sum from slice ``since`` on: exact within the fine ring, before it from the bucket that holds it."""
        length = self.current - since + 1
        if length < self.fine_slices:
            return int(newest_first[max(length, 0)])
        buckets = self.current // self.bucket_slices - since // self.bucket_slices + 1
        return int(in_buckets[min(buckets, self.buckets)])
