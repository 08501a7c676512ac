"""The forecast: its calibration, and an honest answer to whatever history it is given."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.capacity import forecast as forecasting
from watchbill.features.capacity.forecast import Forecast
from watchbill.kernel.errors import Invalid

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def week_shaped(weeks: int, *, seed: int = 1, noise: float = 0.1, level: float = 100.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    hours = np.arange(weeks * 168)
    shape = 1 + 0.6 * np.sin(2 * np.pi * (hours % 24 - 8) / 24) - 0.3 * ((hours // 24) % 7 >= 5)
    return level * shape * np.exp(noise * generator.standard_normal(len(hours)))


def made(values: np.ndarray, *, horizon: int = 14 * 24, zone: str = "UTC", holidays: tuple[int, ...] = ()) -> Forecast:
    return forecasting.forecast(
        values, start_at=MONDAY, step_seconds=3600, horizon=horizon, zone=zone, holidays=holidays
    )


def test_nine_of_ten_hours_lie_in_the_interval_and_the_error_beats_the_naive_one() -> None:
    told = [made(week_shaped(12, seed=seed)).evaluation for seed in range(6)]
    assert 0.87 <= np.mean([each.coverage for each in told]) <= 0.93
    assert all((each.mae or 0) < (each.naive_mae or 0) for each in told)


def test_the_days_that_come_lie_in_the_interval() -> None:
    hits = []
    for seed in range(10):
        values = week_shaped(9, seed=seed)
        told = made(values[: 8 * 168], horizon=168)
        came = values[8 * 168 :]
        hits.append(np.mean((came >= told.low) & (came <= told.high)))
    assert 0.82 <= np.mean(hits) <= 0.97


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1e6, 1e9), st.just(float("nan")), st.just(0.0)), min_size=1, max_size=40),
    st.integers(14, 40),
)
def test_any_history_gives_finite_ordered_bounds_or_a_refusal(cycle: list[float], days: int) -> None:
    values = np.resize(np.array(cycle), days * 24)
    try:
        told = made(values, horizon=48)
    except Invalid:
        return
    assert np.isfinite(told.point).all()
    assert (told.low >= 0).all()
    assert (told.low <= told.high + 1e-9).all()
    assert (told.peak <= told.peak_high + 1e-9).all()


def test_less_than_two_weeks_are_refused_and_two_weeks_are_wider_than_eight() -> None:
    with pytest.raises(Invalid, match="less than two weeks"):
        made(week_shaped(2)[: 13 * 24])
    short, long = made(week_shaped(8)[-14 * 24 :]), made(week_shaped(8))
    assert np.mean((short.high - short.low) / short.point) > np.mean((long.high - long.low) / long.point)
    assert any("only 14 days" in note for note in short.notes)


def test_mostly_gaps_are_refused_and_some_gaps_are_said() -> None:
    values = week_shaped(6)
    values[::3] = np.nan
    assert any("gaps" in note for note in made(values).notes)
    values[-14 * 24 : -60] = np.nan
    with pytest.raises(Invalid, match="measured"):
        made(values)


def test_a_gap_of_days_does_not_lower_the_level() -> None:
    values = week_shaped(8, noise=0.02)
    whole = made(values)
    values[-10 * 24 : -7 * 24] = np.nan
    assert made(values).point.mean() == pytest.approx(whole.point.mean(), rel=0.05)


def test_a_level_shift_is_followed_and_said() -> None:
    values = week_shaped(8, noise=0.02)
    values[-24:] *= 2
    told = made(values)
    assert told.point.mean() > 1.8 * values[:-24].mean()
    assert any("shifted" in note for note in told.notes)


def test_negative_counters_are_gaps_and_said() -> None:
    values = week_shaped(8, noise=0.02)
    values[-30] = -5e6
    told = made(values)
    assert told.point.mean() == pytest.approx(values[:168].mean(), rel=0.1)
    assert any("negative" in note for note in told.notes)


def test_a_constant_and_zeros_are_never_a_narrow_promise() -> None:
    told = made(np.full(8 * 168, 50.0))
    assert (told.high >= 1.2 * 50).all()
    assert (told.low <= 0.8 * 50).all()
    assert any("constant" in note for note in told.notes)
    nothing = made(np.zeros(8 * 168))
    assert (nothing.point == 0).all()
    assert any("constant" in note for note in nothing.notes)


def test_the_profile_follows_the_clock_over_the_end_of_daylight_saving() -> None:
    """Traffic at 9 in the morning of Berlin is at 7 UTC in summer and at 8 UTC in winter."""
    start = datetime(2026, 8, 31, tzinfo=UTC)
    zone = ZoneInfo("Europe/Berlin")
    begun = int(start.timestamp())
    at = [datetime.fromtimestamp(begun + 3600 * hour, zone) for hour in range(9 * 168)]
    values = np.array([100.0 if one.hour == 9 else 10.0 for one in at])
    told = forecasting.forecast(
        values[: 8 * 168], start_at=start, step_seconds=3600, horizon=168, zone="Europe/Berlin"
    )
    assert at[8 * 168].utcoffset() != at[-1].utcoffset() or at[0].utcoffset() != at[-1].utcoffset()
    assert np.allclose(told.point, values[8 * 168 :], rtol=0.05)


def test_a_holiday_ahead_spans_the_weekday_and_a_sunday() -> None:
    values = week_shaped(8, noise=0.02)
    coming = MONDAY.toordinal() + 56 + 2
    plain, holiday = made(values), made(values, holidays=(coming,))
    noon = 2 * 24 + 14
    assert holiday.low[noon] < 0.85 * plain.low[noon]
    assert holiday.high[noon] >= plain.high[noon] * 0.999
    assert any("holidays" in note for note in holiday.notes)


def test_growth_moves_the_far_peaks_and_widens_them() -> None:
    values = week_shaped(12, noise=0.03) * np.repeat(1.05 ** np.arange(12), 168)
    told = made(values, horizon=60 * 24)
    assert told.growth_per_week == pytest.approx(np.log(1.05), abs=0.01)
    assert told.peak[50] > 1.3 * told.peak[1]
    assert told.peak_high[50] / told.peak[50] > told.peak_high[1] / told.peak[1]


def test_the_width_follows_what_was_missed_and_each_horizon_by_itself() -> None:
    """Noise that doubles in the last month: the share inside stays near nine in ten one, three and seven days ahead."""
    values = week_shaped(12, noise=0.08)
    generator = np.random.default_rng(5)
    values[8 * 168 :] *= np.exp(0.16 * generator.standard_normal(4 * 168))
    told = made(values)
    assert all(0.86 <= (share or 0) <= 0.94 for share in told.evaluation.ahead)
    calm = made(values[: 8 * 168])
    assert np.median(told.high / told.low) > 1.2 * np.median(calm.high / calm.low)


def test_days_before_the_first_that_is_judged_teach_the_intervals() -> None:
    """Judged over its last two weeks alone, a series still has four weeks of scores behind it."""
    (told,) = forecasting.compare(week_shaped(10), start_at=MONDAY, step_seconds=3600, rivals=[], since=8 * 168)
    assert told.days == 14


def test_what_comes_only_now_and_then_is_no_peak_of_zero() -> None:
    """A batch every 31 hours: the median hour is idle, the busiest moment of a day is not."""
    told = made((np.arange(8 * 168) % 31 == 0).astype(float))
    assert (told.peak_high[:7] > 0.9).all()


def test_few_days_give_a_wider_peak_than_many_of_the_same_kind() -> None:
    spreads = [
        [np.median(told.peak_high[:5] / told.peak[:5]) for told in (made(values[-14 * 24 :]), made(values))]
        for values in (week_shaped(12, seed=seed, noise=0.05) for seed in range(4))
    ]
    short, long = np.mean(spreads, axis=0)
    assert short > long
