"""Judging forecasts at past origins: log ratios of what came to what was told, and intervals that adapt to them.

The method is that of `forecast`; here it is played over the past, knowing at each origin only what was before it. What
is judged is what is delivered: each lead day that is judged has a width of its own, which follows its own misses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

NOMINAL = 0.90
MISS = 1 - NOMINAL
STEP = 0.5
"""How far the log of the width follows a day's misses: one that missed all of its steps widens it by half, ten that
missed none narrow it by as much."""
MOST_STRETCH = 1.0
"""The log of the width moves within these bounds: far ahead, misses are known late, and would be answered too often."""
LEAD_DAYS = 7
LEADS_JUDGED = (1, 3, 7)
"""Days ahead at which coverage is told."""
OFFSET = 0.05
_MEMORY = 28
_FLOOR = 0.02
_FEW = 20

Tell = Callable[[int, int], tuple[Any, float]]
"""(origin, end) → (values of the steps between, level), knowing only what was before the origin."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How day-ahead forecasts did at past origins: coverage of the 90% interval and mean absolute error.

    ``naive_*`` is the seasonal naive baseline (the value a week before) with intervals made the same way, at the very
    same steps. ``days`` is how many origins were judged; coverages are None before there is one. ``ahead`` is the
    coverage one, three and seven days ahead, the first being ``coverage``. ``peak_coverage`` is the share of days whose
    busiest step lay under the 95% bound of the day before, on which headroom stands.
    """

    days: int
    coverage: float | None
    mae: float | None
    naive_coverage: float | None
    naive_mae: float | None
    ahead: tuple[float | None, ...] = ()
    peak_coverage: float | None = None


class Scores:
    """Log ratios by origin (oldest first), lead day and step of the day; and those of each day's busiest step.

    ``since`` is the first origin that is judged: those before it only teach.
    """

    def __init__(  # noqa: PLR0917  one caller
        self, ratios: Any, peaks: Any, naive: Any, errors: tuple[float, float], judged: int, since: int = 0
    ) -> None:
        self.ratios = ratios
        self.peaks = peaks
        self.naive = naive
        self.errors = errors
        self.judged = judged
        self.since = since
        self._played = [_play(ratios[:, days - 1], lag=days - 1, since=since) for days in LEADS_JUDGED]
        self._peaks_played = self._play_peaks()

    def evaluation(self) -> Evaluation:
        naive_coverage, _, _ = _play(self.naive, since=self.since)
        mae, naive_mae = self.errors
        return Evaluation(
            days=self._played[0][1],
            coverage=self._played[0][0],
            mae=mae if self.judged else None,
            naive_coverage=naive_coverage,
            naive_mae=naive_mae if self.judged else None,
            ahead=tuple(coverage for coverage, _, _ in self._played),
            peak_coverage=self._peaks_played[0],
        )

    def quantiles(self) -> tuple[Any, Any]:
        """(low, high) log ratio by lead day; the widths of days that are not judged lie between their neighbours'."""
        lows, highs = np.empty(LEAD_DAYS), np.empty(LEAD_DAYS)
        stretches = np.interp(
            np.arange(1, LEAD_DAYS + 1), LEADS_JUDGED, [stretch for _, _, stretch in self._played]
        )
        for lead in range(LEAD_DAYS):
            known = self.ratios[max(0, len(self.ratios) - lead - _MEMORY) : max(0, len(self.ratios) - lead), lead]
            lows[lead], highs[lead] = _interval(known, float(stretches[lead]))
        return lows, highs

    def peak_quantiles(self) -> Any:
        """(median, 95%) log ratio of the day's peak by lead day, shape (leads, 2)."""
        _, stretch = self._peaks_played
        found = np.array([_peak_bound(self.peaks[:, lead], stretch) for lead in range(LEAD_DAYS)])
        found[:, 1] = np.maximum.accumulate(found[:, 1])
        return found

    def _play_peaks(self) -> tuple[float | None, float]:
        """(share of days whose busiest step lay under the bound of the day before, log of its width's factor now)."""
        stretch, hits = 0.0, []
        for row in range(7, len(self.peaks)):
            came = self.peaks[row, 0]
            if not np.isfinite(came):
                continue
            under = bool(came <= _peak_bound(self.peaks[:row, 0], stretch)[1])
            stretch = float(np.clip(stretch + STEP * ((0.0 if under else 1.0) - MISS / 2), -MOST_STRETCH, MOST_STRETCH))
            if row >= self.since:
                hits.append(under)
        return (sum(hits) / len(hits) if hits else None), stretch


def _peak_bound(pool: Any, stretch: float) -> tuple[float, float]:
    """(median, 95%) of log ratios, the bound ``e ** stretch`` times as far from the median."""
    pool = np.sort(pool[np.isfinite(pool)])
    if len(pool) < 3:
        return 0.0, 0.5
    middle, high = float(np.median(pool)), _quantile(pool, 0.95)
    if len(pool) < _FEW:
        # So few days do not show their own twentieth: as a normal's next value, by Student's t.
        reach = _student(len(pool) - 1) * float(pool.std(ddof=1)) * math.sqrt(1 + 1 / len(pool))
        high = max(high, middle + reach)
    return middle, middle + max(_FLOOR * (1 + _FEW / len(pool)), (high - middle) * math.exp(stretch))


def scores_of(y: Any, per_day: int, most: int, tells: Tell, *, least: int = 0, since: int = 0) -> Scores:
    """Play the last ``most`` days, from step ``least`` on; those before step ``since`` teach, and are not judged."""
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
        if origin < since:
            continue
        errors.append(np.abs(came[:per_day] - told[:per_day])[both])
        naive_errors.append(np.abs(came[:per_day] - before)[both])
    flat, naive_flat = (np.concatenate(each) if each else np.zeros(0) for each in (errors, naive_errors))
    both_errors = (float(flat.mean()), float(naive_flat.mean())) if len(flat) else (math.nan, math.nan)
    return Scores(ratios, peaks, naive, both_errors, len(flat), sum(origin < since for origin in origins))


def _play(scores: Any, *, lag: int = 0, since: int = 0) -> tuple[float | None, int, float]:
    """Play the past: (coverage, days judged, log of the width's factor now).

    An origin knows only what had come by then: with ``lag`` days more to go ahead, the scores of origins so much
    earlier; and the width follows as late.
    """
    stretch, hits, judged = 0.0, 0.0, 0
    late: list[float] = []
    for row in range(len(scores)):
        known = scores[max(0, row - lag - _MEMORY) : max(0, row - lag)]
        came = scores[row][np.isfinite(scores[row])]
        if np.isfinite(known).any(axis=1).sum() < 7 or not len(came):
            continue
        low, high = _interval(known, stretch)
        err = float(((came < low) | (came > high)).mean())
        late.append(err)
        if len(late) > lag:
            stretch = float(np.clip(stretch + STEP * (late[-1 - lag] - MISS), -MOST_STRETCH, MOST_STRETCH))
        if row >= since:
            hits += 1 - err
            judged += 1
    return (hits / judged if judged else None), judged, stretch


def _interval(scores: Any, stretch: float) -> tuple[float, float]:
    """Quantiles of the pooled scores, two-sided, ``e ** stretch`` times as wide about their middle; wider where few
    days speak, and never narrower than a floor."""
    pool = scores[np.isfinite(scores)]
    if len(pool) < 3:
        return -0.7, 0.7
    pool = np.sort(pool)
    low, high = _quantile(pool, MISS / 2), _quantile(pool, 1 - MISS / 2)
    middle, half = (low + high) / 2, (high - low) / 2 * math.exp(stretch)
    low, high = middle - half, middle + half
    days = len(scores)
    if days < 14:
        low, high = (low - abs(low) * 2 / days, high + abs(high) * 2 / days)
    return min(low, -_FLOOR), max(high, _FLOOR)


def _student(freedom: int) -> float:
    """The 95% quantile of Student's t, to a hundredth from two degrees of freedom on (1.645 is the normal's)."""
    return 1.645 + 1.5 / freedom + 2.1 / freedom**2


def _quantile(pool: Any, share: float) -> float:
    """The quantile of sorted values, between neighbours."""
    at = share * (len(pool) - 1)
    under = int(at)
    above = min(under + 1, len(pool) - 1)
    return float(pool[under] + (at - under) * (pool[above] - pool[under]))
