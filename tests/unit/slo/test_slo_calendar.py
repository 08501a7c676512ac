"""Calendar windows: real lengths over DST, sums that grow from the period's begin, and budgets that are not over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.slo import AlertWindow, Calendar
from watchbill.features.slo.budget import period_budget
from watchbill.features.slo.calendar import most_length, period_at
from watchbill.features.slo.history import BUDGET, CountHistory
from watchbill.features.slo.objectives import plan_windows

HOUR = 3600
FIRST, LAST = datetime.fromisoformat("2014-01-01"), datetime.fromisoformat("2030-01-01")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-25", 167), ("2026-06-03", 168), ("2026-10-21", 169)])
def test_a_week_in_berlin_has_its_real_hours(day: str, hours: int) -> None:
    week = Calendar(amount=1, unit="w", start="2024-01-01", zone="Europe/Berlin")
    assert period_at(week, datetime.fromisoformat(day).replace(tzinfo=UTC)).seconds == hours * HOUR


def test_a_month_that_has_no_31st_begins_on_its_last_day() -> None:
    month = Calendar(amount=1, unit="M", start="2026-01-31", zone="UTC")
    period = period_at(month, datetime(2026, 3, 5, tzinfo=UTC))
    assert (period.begin, period.end) == (datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))


def test_a_begin_that_dst_leaves_out_is_the_first_instant_that_exists() -> None:
    day = Calendar(amount=1, unit="d", start="2026-01-01T02:30", zone="Europe/Berlin")
    period = period_at(day, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert period.begin == datetime(2026, 3, 29, 1, tzinfo=UTC), "02:00 does not exist: 03:00 summer time"


@given(
    st.builds(
        Calendar,
        amount=st.integers(1, 3),
        unit=st.sampled_from(["d", "w", "M", "Q", "Y"]),
        start=st.datetimes(FIRST, LAST).map(lambda at: at.replace(microsecond=0).isoformat()),
        zone=st.sampled_from(ZONES),
    ),
    st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
)
@settings(max_examples=50, deadline=None)
def test_periods_follow_one_another_without_hole_or_overlap(calendar: Calendar, at: datetime) -> None:
    period = period_at(calendar, at)
    assert period.begin <= at < period.end
    assert period_at(calendar, period.begin) == period
    assert period_at(calendar, period.end).begin == period.end
    assert period.end - period.begin <= most_length(calendar)
    local = period.begin.astimezone(ZoneInfo(calendar.zone)).replace(tzinfo=None)
    wanted = datetime.fromisoformat(calendar.start).time()
    assert local.time() == wanted or local - timedelta(hours=1) <= datetime.combine(local.date(), wanted) <= local


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(0, 50)), min_size=1, max_size=60),
    st.integers(0, 700),
)
@settings(max_examples=15, deadline=None)
def test_the_sum_of_a_period_equals_the_exact_reference(moves: list[tuple[int, int, int]], begin: int) -> None:
    """Gaps, late and repeated data, and a period that turns on the way: nothing from before its begin is counted."""
    history = CountHistory(slice_seconds=60, longest_window_slices=1000, capacity=1)
    slo_id = uuid4()
    lengths = [2, 24, 12, 144, 48, 576, 144, 300, 1000, 6]
    begins = [100_000, 100_000 + begin // 10 * 10]
    history.define({slo_id: lengths}, since={slo_id: begins[0]})
    rows = history.rows([slo_id])
    counts: dict[int, int] = {}
    now = 100_000
    history.advance(now)
    for by, late, total in moves:
        now += by
        history.advance(now)
        if now >= begins[1]:
            history.define({slo_id: lengths}, since={slo_id: begins[1]})
        at = now - late
        history.update(
            rows=rows,
            slices=np.array([at]),
            bad=np.array([total // 2]),
            total=np.array([total]),
            measured=np.array([1]),
        )
        counts[at] = total
    since = begins[1] if now >= begins[1] else begins[0]
    exact = sum(total for at, total in counts.items() if at >= since)
    assert history.sums(rows).total[0, BUDGET] == exact
    history.resum()
    assert history.sums(rows).total[0, BUDGET] == exact


def test_the_budget_of_a_period_is_told_of_events_so_far_and_projected_over_the_whole() -> None:
    so_far, remaining = period_budget(bad=5, total=1000, share=Fraction(1, 100), elapsed=Fraction(1, 4))
    assert so_far.spent == Fraction(1, 2)
    assert remaining == Fraction(7, 8), "with traffic going on the whole period has four times the events"
    sliced, remaining = period_budget(bad=5, total=100, share=Fraction(1, 100), elapsed=Fraction(1, 4), whole=1000)
    assert sliced.spent == Fraction(1, 2)
    assert remaining == Fraction(1, 2), "how many slices there will be is known"


def test_alerts_that_are_written_stand_instead_of_the_usual_ones_the_shortest_first() -> None:
    alerts = (
        AlertWindow(tier="ticket", burn=Decimal(1), long_seconds=72 * HOUR),
        AlertWindow(tier="page", burn=Decimal("13.44"), long_seconds=HOUR, short_seconds=600),
        AlertWindow(tier="page", burn=Decimal("0.98"), long_seconds=6 * HOUR),
    )
    plan = plan_windows(budget_share=Fraction(1, 1000), window_seconds=28 * 86_400, slice_seconds=60, alerts=alerts)
    assert [(one.tier, one.short_slices, one.long_slices) for one in plan.windows] == [
        ("page", 10, 60),
        ("ticket", 360, 4320),
    ]
    assert plan.windows[0].factor == Fraction(336, 25)
    assert [(one.factor, "nag" in one.reason) for one in plan.dropped] == [(Fraction(98, 100), True)]


def test_windows_of_time_slices_are_at_least_two_of_them() -> None:
    plan = plan_windows(budget_share=Fraction(1, 1000), window_seconds=30 * 86_400, slice_seconds=60, unit_seconds=600)
    assert [one.short_slices for one in plan.windows] == [30, 120, 360]
    assert plan.dropped[0].reason == "its short window of 5m is under two slices of 10m"
