"""The rule that says whether a rollback helped, and its counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from watchbill.features.rollback import Counted, Finding, Witness, recovery
from watchbill.features.rollback.counting import counted_between
from watchbill.features.telemetry import CountColumns

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ID = UUID(int=1)


def witness(**given: object) -> Witness:
    """99.9 %, alerting from 14.4 times: over 1.44 % of failures."""
    values = {"factor": 14.4, "budget_share": 0.001, "window_seconds": 300, **given}
    return Witness(
        slo_id=ID, operation_id=ID, objective="availability", name="shop · pay (availability)", cause="burn", **values
    )  # type: ignore[arg-type]  # what a test gives


def events(bad: float, total: float, coverage: float = 1.0) -> Counted:
    return Counted(bad=bad, total=total, coverage=coverage, seconds=300)


def judged(*, before: Counted, after: Counted) -> Finding:
    return recovery.judge(witness(), before=before, latest=after, since=after)


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (events(400, 1000), events(1, 1000), "under"),
        (events(400, 1000), events(200, 1000), "over"),
        (events(4, 10), events(0, 10), "under"),
        (events(4, 10), events(0, 3), "unknown"),
        (events(4, 10), events(0, 0), "unknown"),
        (events(400, 1000), events(0, 1000, coverage=0.4), "unknown"),
        (events(400, 1000), events(1, 3), "unknown"),
        (events(400, 1000), events(2, 3), "over"),
        (events(2, 100), events(1, 100), "unknown"),
        (events(0, 0), events(0, 20), "unknown"),
        (events(0, 0), events(0, 500), "under"),
    ],
)
def test_an_objective_is_under_over_or_cannot_tell(before: Counted, after: Counted, answer: str) -> None:
    """rollback.recovery"""
    assert judged(before=before, after=after).answer == answer


@given(
    before=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    after=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    coverage=st.floats(0, 1),
)
def test_it_never_says_under_without_proof(before: tuple[int, int], after: tuple[int, int], coverage: float) -> None:
    """Under: measured, with requests, below the threshold, and unlikely to be the old failures by chance."""
    was, now = events(before[0], sum(before)), events(after[0], sum(after), coverage)
    found = judged(before=was, after=now)
    if found.answer == "under":
        assert coverage >= recovery.MIN_COVERAGE
        assert now.total > 0
        assert now.bad / now.total <= witness().threshold
        old = was.share if was.share and was.share > witness().threshold else 2 * witness().threshold
        assert (1 - old) ** now.total <= recovery.CHANCE  # even no failure at all had to be this unlikely
    if found.answer == "over":
        assert now.bad >= recovery.MIN_BAD
        assert now.bad / now.total > witness().threshold


@given(bad=st.integers(0, 60), total=st.integers(1, 60), share=st.floats(0.01, 0.99))
def test_the_bounds_are_never_below_the_true_chance(bad: int, total: int, share: float) -> None:
    from math import comb

    assume(bad <= total)
    exact = [comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)]
    assert recovery.chance_below(bad, total, share) >= sum(exact[: bad + 1]) - 1e-9
    assert recovery.chance_above(bad, total, share) >= sum(exact[bad:]) - 1e-9


@given(st.lists(st.sampled_from(["under", "over", "unknown"]), max_size=5), st.booleans())
def test_every_look_ends_in_one_of_three_or_looks_again(answers: list[str], over: bool) -> None:
    found = [Finding(witness=witness(), answer=each, words="w") for each in answers]  # type: ignore[arg-type]  # a word
    until = NOW if over else NOW + MINUTE
    state = recovery.conclude(found, now=NOW, verify_until=until)
    assert (state == "recovered") == (bool(answers) and set(answers) == {"under"})
    if not over:
        assert state in ("recovered", None)
    elif "over" in answers:
        assert state == "not_recovered"
    elif state != "recovered":
        assert state == "unverified"
    if state is not None:
        assert recovery.reason(state, found)


@given(
    wanted=st.integers(1, 7200),
    verify_for=st.integers(10, 7200),
    width=st.sampled_from([1, 5, 60]),
    unit=st.sampled_from([0, 60, 300]),
    passed=st.integers(0, 8000),
    offset=st.floats(0, 59),
)
def test_the_window_is_whole_and_after_the_rollback(
    *, wanted: int, verify_for: int, width: int, unit: int, passed: int, offset: float
) -> None:
    window = recovery.window_of(
        timedelta(seconds=wanted), verify_for=timedelta(seconds=verify_for), slice_seconds=width, unit_seconds=unit
    )
    assert window.total_seconds() % max(width, unit) == 0
    assert window > timedelta()
    finished_at = NOW + timedelta(seconds=offset)
    now = finished_at + timedelta(seconds=passed)
    at = recovery.stretch(now=now, finished_at=finished_at, window=window, slice_seconds=width, unit_seconds=unit)
    if at is not None:
        first, start, end = at
        assert finished_at <= first <= start < end <= now - recovery.GRACE
        assert end - start == window
    elif passed >= verify_for > recovery.GRACE.total_seconds() + 3 * max(width, unit):
        pytest.fail("there was time for a whole window")


def test_counts_are_summed_with_the_share_that_was_measured() -> None:
    first = int(NOW.timestamp()) // 60
    columns = CountColumns(
        first=first, slice_seconds=60, slices=10, offsets=[0, 4, 5, 6], bad=[9, 1, 2, 0], total=[9, 10, 10, 10],
        unmeasured=[(3, 4), (7, 10)],
    )  # fmt: skip
    found = counted_between(columns, witness(), start_at=NOW + 3 * MINUTE, end_at=NOW + 8 * MINUTE)
    assert (found.bad, found.total, found.coverage, found.seconds) == (3, 30, 0.6, 300)
    slices = witness(unit_seconds=120, unit_share=0.05)
    found = counted_between(columns, slices, start_at=NOW + 4 * MINUTE, end_at=NOW + 8 * MINUTE)
    assert (found.bad, found.total) == (1, 2)
    ratio = witness(unit_seconds=120)
    found = counted_between(columns, ratio, start_at=NOW + 4 * MINUTE, end_at=NOW + 8 * MINUTE)
    assert (found.bad, found.total) == (0.15, 2)
