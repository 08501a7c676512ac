"""Replaying a history says what living through it would have said."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.slo import logic, slicing
from watchbill.features.slo.calendar import most_length, period_at
from watchbill.features.slo.history import CountHistory
from watchbill.features.slo.model import STATES, AlertWindow, Calendar, Measure
from watchbill.features.slo.objectives import plan_windows
from watchbill.features.slo.replay import Recorded, Told, replay, sliced, worst_burn

START = 29_000_000
WINDOW_SECONDS = 30 * 86_400


def lived(recorded: Recorded, share: Fraction) -> list[tuple[str, int]]:
    """What the evaluator does, slice by slice: (state and tier, slice) of each change."""
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=60)
    history = CountHistory(slice_seconds=60, longest_window_slices=WINDOW_SECONDS // 60, capacity=1)
    slo_id = uuid4()
    history.advance(recorded.first - 1)
    history.define({slo_id: logic.window_lengths(plan, window_slices=WINDOW_SECONDS // 60, fresh_slices=6)})
    rows, plans = history.rows([slo_id]), logic.stack_plans([plan], [share])
    previous = logic.Previous(np.array([logic.UNMEASURED]), np.array([logic.NO_TIER]), np.zeros(1, bool))
    changes = []
    for place in range(recorded.bad.size):
        now = recorded.first + place
        history.advance(now)
        history.update(
            rows=rows,
            slices=np.array([now]),
            bad=recorded.bad[place : place + 1],
            total=recorded.total[place : place + 1],
            measured=recorded.measured[place : place + 1],
        )
        verdicts = logic.decide(
            plans, history.sums(rows), previous, lost=np.zeros(1, bool), current=now, grace_slices=0
        )
        after = logic.Previous(verdicts.state, verdicts.tier, verdicts.by_traffic)
        if (after.state != previous.state).any() or (after.tier != previous.tier).any():
            changes.append((f"{STATES[int(after.state[0])]} {logic.TIERS[int(after.tier[0])]}", now))
        previous = after
    return changes


def firing(changes: list[tuple[str, int]]) -> list[tuple[str, int, int | None]]:
    """The firing stretches among the changes."""
    found = []
    ends = [at for _, at in changes[1:]]
    for (state, at), end in zip(changes, [*ends, None], strict=True):
        if state.startswith("firing"):
            found.append((state.split()[1], at, end))
    return found


def history_of(seed: int, minutes: int) -> Recorded:
    """Busy and quiet hours, outages, slow leaks, gaps."""
    chance = random.Random(seed)
    bad, total, measured = [], [], []
    while len(bad) < minutes:
        rate = chance.choice([0, 1, 3, 200, 5000])
        ratio = chance.choice([0.0, 0.0, 0.0002, 0.004, 0.02, 0.5, 1.0])
        known = chance.random() > 0.15
        for _ in range(chance.choice([1, 5, 17, 60, 300])):
            events = chance.randint(0, 2 * rate) if known else 0
            total.append(events)
            bad.append(sum(chance.random() < ratio for _ in range(events)) if events < 50 else round(events * ratio))
            measured.append(known)
    return Recorded(
        first=START,
        slice_seconds=60,
        bad=np.array(bad[:minutes]),
        total=np.array(total[:minutes]),
        measured=np.array(measured[:minutes]),
    )


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([Fraction(1, 1000), Fraction(1, 100), Fraction(1, 10**6)]))
def test_a_replay_says_what_the_evaluator_would_have_said(seed: int, share: Fraction) -> None:
    recorded = history_of(seed, 700)
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=60)
    told = replay(recorded, plan=plan, share=share, window_seconds=WINDOW_SECONDS)
    assert [(one.tier, one.fired, one.until) for one in told] == firing(lived(recorded, share))


def outage(*, minutes: int, at: int, length: int, ratio: float, rate: int = 1000) -> Recorded:
    bad = np.zeros(minutes, np.int64)
    bad[at : at + length] = round(rate * ratio)
    return Recorded(
        first=START,
        slice_seconds=60,
        bad=bad,
        total=np.full(minutes, rate),
        measured=np.ones(minutes, bool),
    )


def test_a_total_outage_is_told_within_the_minute_the_formula_gives() -> None:
    recorded = outage(minutes=3000, at=2000, length=30, ratio=1.0)
    share = Fraction(1, 1000)
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=60)
    told = replay(recorded, plan=plan, share=share, window_seconds=WINDOW_SECONDS)
    [page] = [one for one in told if one.tier == "page"]
    assert page == Told(tier="page", onset=START + 2000, fired=START + 2000, until=page.until)
    assert page.until is not None
    assert START + 2030 <= page.until <= START + 2060, "the short windows of 5 and 30 minutes let go"


def test_a_burn_exactly_at_the_threshold_is_not_over_it() -> None:
    share = Fraction(1, 1000)
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=60)
    at, over = (outage(minutes=900, at=0, length=900, ratio=bad / 10_000, rate=10_000) for bad in (60, 61))
    tiers = [
        {one.tier for one in replay(history, plan=plan, share=share, window_seconds=WINDOW_SECONDS)}
        for history in (at, over)
    ]
    assert tiers == [{"ticket"}, {"page"}]


def test_the_worst_window_says_which_target_was_kept() -> None:
    recorded = outage(minutes=2 * 43_200, at=50_000, length=60, ratio=0.5)
    assert worst_burn(recorded, window_seconds=WINDOW_SECONDS) == 60 * 500 / (43_200 * 1000)
    assert worst_burn(outage(minutes=10, at=0, length=0, ratio=0), window_seconds=WINDOW_SECONDS) == 0.0


def fed(raw: Recorded, measure: Measure, share: Fraction) -> list[tuple[str, int]]:
    """What the evaluator does with such an objective: minute by minute, the unfinished time slice again each time."""
    unit = slicing.PARTS if measure.method == "ratio_timeslices" else 1
    per = 1 if measure.method == "occurrences" else measure.slice_seconds // 60
    plan = plan_windows(
        budget_share=share,
        window_seconds=WINDOW_SECONDS,
        slice_seconds=60,
        alerts=measure.alerts,
        unit_seconds=per * 60 if per > 1 else 0,
    )
    longest = WINDOW_SECONDS if measure.calendar is None else int(most_length(measure.calendar).total_seconds())
    history = CountHistory(slice_seconds=60, longest_window_slices=longest // 60, capacity=1)
    slo_id = uuid4()
    windows = {slo_id: logic.window_lengths(plan, window_slices=longest // 60, fresh_slices=6)}
    history.advance(raw.first - 1)
    plans = logic.stack_plans([plan], [share], [unit])
    previous = logic.Previous(np.array([logic.UNMEASURED]), np.array([logic.NO_TIER]), np.zeros(1, bool))
    changes = []
    for place in range(raw.bad.size):
        now = raw.first + place
        history.advance(now)
        since = None
        if measure.calendar is not None:
            begin = period_at(measure.calendar, datetime.fromtimestamp(now * 60, UTC)).begin
            since = {slo_id: int(begin.timestamp()) // 60}
        history.define(windows, since=since)
        start = max(0, (now // per - 2) * per - raw.first)
        bad, total = raw.bad[start : place + 1].copy(), raw.total[start : place + 1].copy()
        measured = raw.measured[start : place + 1].astype(np.int64)
        if measure.method != "occurrences":
            slicing.slice_row(measure, bad, total, measured, first=raw.first + start, slice_seconds=60)
        rows = history.rows([slo_id])
        slices = np.arange(raw.first + start, now + 1)
        history.update(rows=np.repeat(rows, slices.size), slices=slices, bad=bad, total=total, measured=measured)
        verdicts = logic.decide(
            plans, history.sums(rows), previous, lost=np.zeros(1, bool), current=now, grace_slices=0
        )
        after = logic.Previous(verdicts.state, verdicts.tier, verdicts.by_traffic)
        if (after.state != previous.state).any() or (after.tier != previous.tier).any():
            changes.append((f"{STATES[int(after.state[0])]} {logic.TIERS[int(after.tier[0])]}", now))
        previous = after
    return changes


OWN = (
    AlertWindow(tier="page", burn=Decimal(10), long_seconds=1800, short_seconds=600),
    AlertWindow(tier="ticket", burn=Decimal(2), long_seconds=21_600),
)
DAYS = Calendar(amount=1, unit="d", start="2025-01-01T00:00:00", zone="Europe/Berlin")


@pytest.mark.parametrize(
    "measure",
    [
        Measure(alerts=OWN, calendar=DAYS),
        Measure(method="timeslices", slice_target=Decimal(95), slice_seconds=300),
        Measure(method="ratio_timeslices", slice_seconds=300, alerts=OWN, calendar=DAYS),
    ],
    ids=["calendar", "time slices", "all"],
)
@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32))
def test_a_replay_equals_living_through_it_with_calendars_own_windows_and_time_slices(
    measure: Measure, seed: int
) -> None:
    share = Fraction(1, 100)
    raw = history_of(seed, 1500)
    plan = plan_windows(
        budget_share=share,
        window_seconds=WINDOW_SECONDS,
        slice_seconds=60,
        alerts=measure.alerts,
        unit_seconds=0 if measure.method == "occurrences" else measure.slice_seconds,
    )
    told = replay(sliced(raw, measure), plan=plan, share=share, window_seconds=WINDOW_SECONDS, measure=measure)
    assert [(one.tier, one.fired, one.until) for one in told] == firing(fed(raw, measure, share))


def test_the_worst_period_of_a_calendar_is_no_window_across_two() -> None:
    midnight = int(period_at(DAYS, datetime(2026, 3, 2, 12, tzinfo=UTC)).begin.timestamp()) // 60
    bad = np.zeros(2880, np.int64)
    bad[1400:1480] = 1
    history = Recorded(
        first=midnight, slice_seconds=60, bad=bad, total=np.ones(2880, np.int64), measured=np.ones(2880, np.bool_)
    )
    assert worst_burn(history, window_seconds=86_400) == pytest.approx(80 / 1440)
    assert worst_burn(history, window_seconds=86_400, calendar=DAYS) == pytest.approx(40 / 1440)
    assert msgspec.convert(msgspec.to_builtins(Measure(alerts=OWN, calendar=DAYS)), Measure).alerts == OWN
