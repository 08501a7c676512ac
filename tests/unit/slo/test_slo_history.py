"""The incremental sums equal a slow, exact reference on random histories: gaps, repeats and late data included."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.slo.history import BUDGET, FRESH, WINDOWS, CountHistory

LENGTHS = [2, 24, 12, 144, 48, 576, 144, 300, 1000, 6]
"""The longest pair fits the fine ring here; the budget of 1,000 slices is summed over buckets."""


@dataclass
class Reference:
    """Every slice in a dict, every sum by looking at every slice, with Python's integers."""

    counts: dict[int, tuple[int, int, bool]] = field(default_factory=dict)

    def sums(self, history: CountHistory, current: int, length: int) -> tuple[int, int, int]:
        if length < history.fine_slices:
            oldest = current - length + 1
        else:
            bucket = current // history.bucket_slices - (-(-length // history.bucket_slices))
            oldest = bucket * history.bucket_slices
        inside = [count for at, count in self.counts.items() if oldest <= at <= current]
        return (
            sum(bad for bad, _, known in inside if known),
            sum(total for _, total, known in inside if known),
            sum(known for _, _, known in inside),
        )


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 2, 7, 40, 90, 350]),  # how far time moves on
        st.integers(0, 30),  # how late the data is
        st.integers(0, 400_000_000),  # total
        st.floats(0, 1),  # share that is bad
        st.booleans(),  # measured
    ),
    min_size=1,
    max_size=60,
)


def make(longest: int = 1000) -> tuple[CountHistory, UUID, np.ndarray]:
    history = CountHistory(slice_seconds=60, longest_window_slices=longest, capacity=1)
    history.fine_slices = 301
    history._allocate(1)
    history._free = [0]
    slo_id = uuid4()
    history.define({slo_id: LENGTHS})
    return history, slo_id, history.rows([slo_id])


@given(steps, st.integers(1_000_000, 30_000_000))
@settings(max_examples=60, deadline=None)
def test_sums_over_every_window_equal_the_exact_reference(moves, start):
    history, _, rows = make()
    reference, now = Reference(), start
    history.advance(now)
    for by, late, total, share, measured in moves:
        now += by
        history.advance(now)
        at, bad = now - late, int(total * share)
        history.update(
            rows=rows,
            slices=np.array([at]),
            bad=np.array([bad]),
            total=np.array([total]),
            measured=np.array([measured]),
        )
        reference.counts[at] = (bad, total, measured)
    sums = history.sums(rows)
    for window in range(WINDOWS):
        exact = reference.sums(history, now, LENGTHS[window])
        assert (sums.bad[0, window], sums.total[0, window], sums.measured[0, window]) == exact, window
    history.resum()
    again = history.sums(rows)
    assert (again.bad == sums.bad).all()
    assert (again.total == sums.total).all()


def update(history: CountHistory, rows: np.ndarray, at: int, bad: int, total: int) -> int:
    return history.update(
        rows=rows, slices=np.array([at]), bad=np.array([bad]), total=np.array([total]), measured=np.array([True])
    )


def test_the_same_counts_sent_twice_count_once():
    history, _, rows = make()
    assert update(history, rows, 5_000, 3, 10) == 1
    assert update(history, rows, 5_000, 3, 10) == 0
    assert history.sums(rows).total[0, BUDGET] == 10


def test_late_spans_correct_the_past():
    history, _, rows = make()
    update(history, rows, 5_000, 0, 10)
    history.advance(5_003)
    update(history, rows, 5_000, 4, 12)
    sums = history.sums(rows)
    assert (sums.bad[0, FRESH], sums.total[0, FRESH]) == (4, 12)


def test_more_bad_events_than_events_are_capped():
    history, _, rows = make()
    update(history, rows, 5_000, 30, 10)
    assert history.sums(rows).bad[0, BUDGET] == 10


def test_data_older_than_the_fine_ring_is_left_out_and_counted():
    history, _, rows = make()
    history.advance(9_000)
    assert update(history, rows, 8_000, 1, 1) == 0
    assert history.too_late == 1


def test_an_slo_that_comes_back_under_the_same_row_starts_empty():
    history, slo_id, rows = make()
    update(history, rows, 5_000, 3, 10)
    other = uuid4()
    assert history.define({other: LENGTHS}) == [other]
    assert history.sums(history.rows([other])).total[0, BUDGET] == 0
    assert slo_id not in history


def test_counts_survive_when_more_slos_come():
    history, slo_id, rows = make()
    update(history, rows, 5_000, 3, 10)
    history.define({slo_id: LENGTHS, **{uuid4(): LENGTHS for _ in range(200)}})
    assert history.sums(history.rows([slo_id])).bad[0, BUDGET] == 3
    assert len(history) == 201


def test_thirty_days_of_minutes_take_less_than_100_kilobytes():
    history = CountHistory(slice_seconds=60, longest_window_slices=43_200, capacity=8)
    assert history.bytes_per_slo < 100_000


def test_a_refill_of_the_old_and_the_new_equals_having_seen_it_all():
    history, _, rows = make()
    history.advance(50_000)
    old, new = np.arange(49_000, 49_700), np.arange(49_700, 50_001)
    for slices, put in ((old, history.load_old), (new, history.update)):
        put(
            rows=np.repeat(rows, slices.size),
            slices=slices,
            bad=np.full(slices.size, 1),
            total=np.full(slices.size, 5),
            measured=np.ones(slices.size, np.int64),
        )
    history.resum()
    sums = history.sums(rows)
    assert sums.measured[0, BUDGET] == 1_001  # the window and at most one bucket more
    assert (sums.bad[0, BUDGET], sums.total[0, BUDGET]) == (1_001, 5_005)


@settings(max_examples=20, deadline=None)
@given(st.integers(49_000, 49_650), st.integers(1, 40), st.integers(0, 2**32))
def test_what_is_corrected_days_late_equals_a_refill(at, buckets, seed):
    chance = np.random.default_rng(seed)
    old = np.arange(48_900, 49_700)
    total = chance.integers(0, 1000, old.size)
    measured = chance.integers(0, 2, old.size)
    after = total.copy()
    first = at // 10 * 10
    part = slice(first - 48_900, min(first + buckets * 10, 49_690) - 48_900)
    after[part] = chance.integers(0, 1000, after[part].size)
    found = []
    for loaded, corrected in ((total, True), (after, False)):
        history, _, rows = make()
        history.advance(50_000)
        known = np.where(measured, loaded, 0)
        history.load_old(rows=np.repeat(rows, old.size), slices=old, bad=known // 3, total=known, measured=measured)
        if corrected:
            history.resum()
            now = np.where(measured, after, 0)[part].reshape(1, -1)
            history.replace_old(rows=rows, first=first, bad=now // 3, total=now, measured=measured[part].reshape(1, -1))
        else:
            history.resum()
        found.append(history.sums(rows))
    for name in ("bad", "total", "measured", "first"):
        assert (getattr(found[0], name) == getattr(found[1], name)).all(), name
