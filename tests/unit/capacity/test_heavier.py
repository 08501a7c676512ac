"""The heavier model: it knows nothing of what comes after, and is taken only where it wins."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from watchbill.features.capacity import forecast, heavier
from watchbill.features.capacity.scoring import Evaluation, Tell

START = datetime(2026, 1, 5, tzinfo=UTC)


def daily(days: int) -> np.ndarray:
    """A weekly season, a level that wanders slowly, and noise."""
    generator = np.random.default_rng(3)
    at = np.arange(days)
    level = np.exp(np.cumsum(0.03 * generator.standard_normal(days)))
    return np.asarray(
        100 * level * (1 + 0.4 * np.sin(2 * np.pi * at / 7)) * np.exp(0.03 * generator.standard_normal(days))
    )


def test_what_comes_after_an_origin_does_not_change_what_is_told_there() -> None:
    pytest.importorskip("statsmodels")
    values = daily(84)
    slot = np.arange(84 + 7) % 7
    told, _ = heavier.Decomposed(values, slot, 1)(63, 70)
    changed = values.copy()
    changed[63:] *= 10
    again, _ = heavier.Decomposed(changed, slot, 1)(63, 70)
    assert np.array_equal(told, again)
    assert np.abs(told / values[63:70] - 1).mean() < 0.3


def test_a_series_with_gaps_is_told_without_any() -> None:
    pytest.importorskip("statsmodels")
    values = daily(84)
    values[10:14], values[50] = np.nan, np.nan
    made = forecast.forecast(values, start_at=START, step_seconds=86_400, horizon=14, rival=heavier.Decomposed)
    assert np.isfinite(made.point).all()
    assert made.rival is not None
    assert made.model in {"profile", "decomposed"}


def test_another_model_is_taken_only_for_clearly_less_error_with_honest_intervals() -> None:
    def did(mae: float, coverage: float) -> Evaluation:
        return Evaluation(days=30, coverage=coverage, mae=mae, naive_coverage=0.9, naive_mae=1.0)

    ours = did(1.0, 0.9)
    assert forecast.wins(did(0.9, 0.9), ours)
    assert not forecast.wins(did(0.97, 0.9), ours)
    assert not forecast.wins(did(0.5, 0.7), ours)


def test_a_model_that_knows_better_is_taken_and_the_default_told_beside_it() -> None:
    values = daily(84)

    def knows(y: np.ndarray, slot: np.ndarray, per_day: int) -> Tell:
        ahead = np.concatenate([values, np.full(60, 100.0)])
        return lambda origin, end: (ahead[origin:end], 100.0)

    made = forecast.forecast(values, start_at=START, step_seconds=86_400, horizon=7, rival=knows)
    assert made.model == "decomposed"
    assert made.rival is not None
    assert made.rival.mae is not None
    assert made.evaluation.mae == 0
    assert made.rival.mae > 0


def test_a_night_tries_a_bounded_number_and_those_that_took_it_every_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavier, "installed", lambda: True)
    ids = [UUID(int=at) for at in range(1000)]
    nights = [heavier.Trials(1000, day, most=120) for day in range(17)]
    tried = [{one for one in ids if night.take(one, None)} for night in nights]
    assert set().union(*tried) == set(ids), "each has its turn"
    assert all(len(each) <= 120 for each in tried)
    assert heavier.Trials(1000, 3).take(ids[0], "decomposed")
    slow = heavier.Trials(1, 0, most=120, seconds=30)
    first = sum(slow.take(one, None) for one in ids[:4])
    slow.spent(4 * 6.0, first)
    assert (first, sum(slow.take(one, None) for one in ids)) == (4, 1), "thirty seconds hold five trials of six"
    monkeypatch.setattr(heavier, "installed", lambda: False)
    assert not heavier.Trials(1, 0).take(ids[0], "decomposed")


def test_a_spike_and_a_short_outage_are_no_season_and_no_level() -> None:
    pytest.importorskip("statsmodels")
    hours = np.arange(8 * 168)
    noise = np.exp(0.05 * np.random.default_rng(2).standard_normal(len(hours)))
    calm = 100 * (1 + 0.5 * np.sin(2 * np.pi * hours / 24)) * noise
    slot = np.arange(9 * 168) % 168
    plain, _ = heavier.Decomposed(calm, slot, 24)(len(calm), len(calm) + 168)
    odd = calm.copy()
    odd[-150] *= 50
    odd[-10:] = 0
    told, _ = heavier.Decomposed(odd, slot, 24)(len(odd), len(odd) + 168)
    assert np.abs(told / plain - 1).max() < 0.2
