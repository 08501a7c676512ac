"""Judging forecasts at past origins: log ratios of what came to what was told, and intervals that adapt to them.

The method is that of `forecast`; here it is played over the past, knowing at each origin only what was before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

NOMINAL = 0.90
MISS = 1 - NOMINAL
ADAPT = 0.05
LEAD_DAYS = 7
LEADS_JUDGED = (1, 3, 7)
"""Days ahead at which coverage is told."""
OFFSET = 0.05
_MEMORY = 28
_FLOOR = 0.02

Tell = Callable[[int, int], tuple[Any, float]]
"""(origin, end) → (values of the steps between, level), knowing only what was before the origin."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How day-ahead forecasts did at past origins: coverage of the 90% interval and mean absolute error.

    ``naive_*`` is the seasonal naive baseline (the value a week before) with intervals made the same way, at the very
    same steps. ``days`` is how many origins were judged; coverages are None before there is one. ``ahead`` is the
    coverage one, three and seven days ahead, the first being ``coverage``.
    """

    days: int
    coverage: float | None
    mae: float | None
    naive_coverage: float | None
    naive_mae: float | None
    ahead: tuple[float | None, ...] = ()


class Scores:
    """Log ratios by origin (oldest first), lead day and step of the day; and those of each day's busiest step."""

    def __init__(self, ratios: Any, peaks: Any, naive: Any, errors: tuple[float, float], judged: int) -> None:
        self.ratios = ratios
        self.peaks = peaks
        self.naive = naive
        self.errors = errors
        self.judged = judged
        self._adapted = _adapt(ratios[:, 0])

    def evaluation(self) -> Evaluation:
        coverage, judged, _ = self._adapted
        ahead = (coverage, *(_adapt(self.ratios[:, days - 1], lag=days - 1)[0] for days in LEADS_JUDGED[1:]))
        naive_coverage, _, _ = _adapt(self.naive)
        mae, naive_mae = self.errors
        return Evaluation(
            days=judged,
            coverage=coverage,
            mae=mae if self.judged else None,
            naive_coverage=naive_coverage,
            naive_mae=naive_mae if self.judged else None,
            ahead=ahead,
        )

    def quantiles(self, *, leads_of: int) -> tuple[Any, Any]:
        lows, highs = np.empty(leads_of), np.empty(leads_of)
        _, _, miss = self._adapted
        for lead in range(leads_of):
            lows[lead], highs[lead] = _interval(self.ratios[:, lead][-_MEMORY:], miss)
        # A later day is never known better than an earlier one.
        return np.minimum.accumulate(lows), np.maximum.accumulate(highs)

    def peak_quantiles(self) -> Any:
        """(median, 95%) log ratio of the day's peak by lead day, shape (leads, 2)."""
        found = np.zeros((LEAD_DAYS, 2))
        for lead in range(LEAD_DAYS):
            pool = self.peaks[:, lead]
            pool = np.sort(pool[np.isfinite(pool)])
            if len(pool) < 3:
                found[lead] = (0.0, 0.5)
                continue
            middle = float(np.median(pool))
            found[lead] = (middle, max(middle + _FLOOR, _quantile(pool, 0.95)))
        found[:, 1] = np.maximum.accumulate(found[:, 1])
        return found


def scores_of(y: Any, per_day: int, most: int, tells: Tell, *, least: int = 0) -> Scores:
    week = 7 * per_day
    first = max(week, least, len(y) - most * per_day)
    first += (len(y) - first) % per_day
    origins = range(first, len(y), per_day)
    ratios = np.full((len(origins), LEAD_DAYS, per_day), np.nan)
    naive = np.full((len(origins), per_day), np.nan)
    peaks = np.full((len(origins), LEAD_DAYS), np.nan)
    errors, naive_errors = [], []
    for row, origin in enumerate(origins):
        end = min(len(y), origin + LEAD_DAYS * per_day)
        came = y[origin:end]
        told, level = tells(origin, end)
        offset = max(OFFSET * level, 1e-9)
        score = np.log((came + offset) / (told + offset))
        days = (end - origin) // per_day
        ratios[row, :days] = score[: days * per_day].reshape(days, per_day)
        highest = came[: days * per_day].reshape(days, per_day)
        whole = np.isfinite(highest).mean(axis=1) > 0.75
        tops = np.where(whole, np.nanmax(np.where(np.isfinite(highest), highest, -np.inf), axis=1), np.nan)
        expected = told[: days * per_day].reshape(days, per_day).max(axis=1)
        peaks[row, :days] = np.log((tops + offset) / (expected + offset))
        before = y[origin - week : origin - week + per_day]
        naive_offset = max(OFFSET * level, 1e-9)
        naive[row] = np.log((came[:per_day] + naive_offset) / (before + naive_offset))
        both = np.isfinite(before) & np.isfinite(came[:per_day])
        errors.append(np.abs(came[:per_day] - told[:per_day])[both])
        naive_errors.append(np.abs(came[:per_day] - before)[both])
    flat, naive_flat = (np.concatenate(each) if each else np.zeros(0) for each in (errors, naive_errors))
    both_errors = (float(flat.mean()), float(naive_flat.mean())) if len(flat) else (math.nan, math.nan)
    return Scores(ratios, peaks, naive, both_errors, len(flat))


def _adapt(scores: Any, lag: int = 0) -> tuple[float | None, int, float]:
    """Play the past: (coverage, days judged, α now). An origin knows only what had come by then: with ``lag`` days
    more to go ahead, the scores of origins so much earlier; and α follows as late."""
    miss, hits, judged = MISS, 0.0, 0
    late: list[float] = []
    for row in range(len(scores)):
        known = scores[max(0, row - lag - _MEMORY) : max(0, row - lag)]
        came = scores[row][np.isfinite(scores[row])]
        if np.isfinite(known).any(axis=1).sum() < 7 or not len(came):
            continue
        low, high = _interval(known, miss)
        err = float(((came < low) | (came > high)).mean())
        late.append(err)
        if len(late) > lag:
            miss += ADAPT * (MISS - late[-1 - lag])
        hits += 1 - err
        judged += 1
    return (hits / judged if judged else None), judged, miss


def _interval(scores: Any, miss: float) -> tuple[float, float]:
    """Quantiles of the pooled scores, two-sided; wider where few days speak, and never narrower than a floor."""
    pool = scores[np.isfinite(scores)]
    if len(pool) < 3:
        return -0.7, 0.7
    pool = np.sort(pool)
    low, high = -_quantile(-pool[::-1], 1 - miss / 2), _quantile(pool, 1 - miss / 2)
    days = len(scores)
    if days < 14:
        low, high = (low - abs(low) * 2 / days, high + abs(high) * 2 / days)
    return min(low, -_FLOOR), max(high, _FLOOR)


def _quantile(pool: Any, share: float) -> float:
    """The quantile of sorted values; past the last, the largest and a tenth of the spread for each hundredth more."""
    if share >= 1:
        return float(pool[-1] + (share - 0.99) * 10 * max(_FLOOR, pool.std()))
    at = max(0.5, share) * (len(pool) - 1)
    under = int(at)
    above = min(under + 1, len(pool) - 1)
    return float(pool[under] + (at - under) * (pool[above] - pool[under]))
