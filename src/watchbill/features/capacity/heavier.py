"""The heavier model, an optional extra (`watchbill[forecast]`): a decomposition into daily and weekly seasons.

MSTL (K. Bandara, R. Hyndman, C. Bergmeir, *MSTL: a seasonal-trend decomposition for time series with multiple
seasonal patterns*, 2021) of the log of the last six weeks, done again every week; the level of what is left is followed
by simple exponential smoothing over days. MSTL believes what it is given, so single hours that no other week knows of
(a spike, an outage) are left out before, and hours far from the level do not move it unless they are most of a day.
`forecast` takes the model for a series only where it wins in a back-test.
"""

from __future__ import annotations

import importlib.util
import math
import zlib
from typing import Any
from uuid import UUID

import numpy as np

WEEKS = 6
FEWEST_WEEKS = 4
"""Weeks before the first origin: three for the first decomposition, and one until the next."""
_OFFSET = 0.05
_LEVEL_DAYS = 28
_FAR = 6.0
_TRIALS_A_NIGHT = 120
_SECONDS_A_NIGHT = 180.0
"""Of one core, all trials together; what a trial costs is measured as the night goes on."""
_SECONDS_A_TRIAL = 1.5
_EVERY_DAYS = 7


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("statsmodels") is not None


class Decomposed:
    """Tells what comes after an origin, knowing only what was before it. ``y`` holds NaN for gaps."""

    def __init__(self, y: Any, slot: Any, per_day: int) -> None:
        self._y = y
        self._slot = slot
        self._per_day = per_day
        self._week = 7 * per_day
        self._made: dict[int, tuple[Any, float, float, float]] = {}

    def __call__(self, origin: int, end: int) -> tuple[Any, float]:
        """(values of [origin, end), level); both of a decomposition that is at most a week old."""
        at = len(self._y) - math.ceil((len(self._y) - origin) / self._week) * self._week
        if at not in self._made:
            self._made[at] = self._decompose(at)
        season, smoothing, offset, far = self._made[at]
        first = max(0, origin - _LEVEL_DAYS * self._per_day)
        first += (origin - first) % self._per_day
        rest = np.log(self._y[first:origin] + offset) - season[self._slot[first:origin]]
        level = math.nan
        for day in rest.reshape(-1, self._per_day):
            mean = _near(day[np.isfinite(day)], level, far)
            if math.isfinite(mean):
                level = mean if math.isnan(level) else level + smoothing * (mean - level)
        level = 0.0 if math.isnan(level) else level
        told = np.exp(season[self._slot[origin:end]] + level) - offset
        return np.maximum(0.0, told), max(1e-9, math.exp(level) - offset)

    def _decompose(self, at: int) -> tuple[Any, float, float, float]:
        """(season of the log by slot of the week, weight of the last day, offset under the log, how far is far)."""
        import pandas as pd
        from statsmodels.tsa.holtwinters import SimpleExpSmoothing
        from statsmodels.tsa.seasonal import MSTL

        first = max(0, at - WEEKS * self._week)
        y, slot = self._y[first:at], self._slot[first:at]
        mean = float(np.nanmean(y)) if np.isfinite(y).any() else 0.0
        offset = max(1e-9, _OFFSET * mean)
        logs = _without_gaps(_plain(np.log(y + offset), slot, self._per_day), slot)
        periods = (self._per_day, self._week) if self._per_day > 1 else (self._week,)
        seasonal = np.asarray(MSTL(pd.Series(logs), periods=periods).fit().seasonal)
        both = seasonal.reshape(len(logs), -1).sum(axis=1)
        season = np.zeros(self._week)
        season[slot[-self._week :]] = both[-self._week :]
        days = _daily(logs - both, self._per_day)
        far = max(0.2, _FAR * _spread(logs - both))
        if float(np.ptp(days)) < 1e-9:
            return season, 0.5, offset, far
        fitted = SimpleExpSmoothing(days, initialization_method="heuristic").fit()
        return season, float(np.clip(fitted.params["smoothing_level"], 0.05, 1.0)), offset, far


def _daily(values: Any, per_day: int) -> Any:
    whole = len(values) // per_day
    days = values[len(values) - whole * per_day :].reshape(whole, per_day)
    count = np.isfinite(days).sum(axis=1)
    return np.where(count > 0, np.nansum(days, axis=1) / np.maximum(1, count), np.nan)


def _near(values: Any, level: float, far: float) -> float:
    """The mean of a day without hours far from the level, unless they are most of it: then that is the level now."""
    if not len(values):
        return math.nan
    about = float(np.median(values)) if math.isnan(level) else level
    near = np.abs(values - about) <= far
    return float(values[near].mean()) if 2 * near.sum() >= len(values) else float(values.mean())


def _spread(values: Any) -> float:
    """A robust standard deviation."""
    known = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(known - np.median(known)))) if len(known) else 0.0


def _plain(logs: Any, slot: Any, per_day: int) -> Any:
    """Single steps that no other week knows of become gaps: far from the median of their slot, on a day that is not."""
    if per_day == 1:
        return logs
    rest = np.full_like(logs, np.nan)
    for at in np.unique(slot):
        same = slot == at
        known = logs[same][np.isfinite(logs[same])]
        if len(known) > 2:
            rest[same] = logs[same] - np.median(known)
    for first in range(0, len(rest), per_day):
        day = rest[first : first + per_day]
        if np.isfinite(day).any():
            day -= np.nanmedian(day)
    return np.where(np.abs(rest) > max(0.5, _FAR * _spread(rest)), np.nan, logs)


def _without_gaps(logs: Any, slot: Any) -> Any:
    """Gaps take the median of their slot of the week, and what is still missing the line between its neighbours."""
    known = np.isfinite(logs)
    if known.all():
        return logs
    filled = logs.copy()
    for place in np.flatnonzero(~known):
        same = logs[(slot == slot[place]) & known]
        filled[place] = np.median(same) if len(same) else np.nan
    there = np.flatnonzero(np.isfinite(filled))
    if not len(there):
        return np.zeros_like(filled)
    return np.interp(np.arange(len(filled)), there, filled[there])


class Trials:
    """Which series are tried tonight: each in its turn, those that took the heavier model every night, up to a number
    and a time.

    A trial takes about as long as a hundred forecasts by the default model, so that a night stays a night. When the
    time is up, what was forecast with the heavier model comes back to the default until its next trial.
    """

    def __init__(
        self, services: int, day: int, most: int = _TRIALS_A_NIGHT, seconds: float = _SECONDS_A_NIGHT
    ) -> None:
        self._every = max(_EVERY_DAYS, math.ceil(2 * services / most)) if services > 1 else 1
        self._day = day
        self._left = most if installed() else 0
        self._seconds = seconds
        self._taken = 0
        self._done = 0
        self._spent = 0.0

    def take(self, service_id: UUID, before: str | None) -> bool:
        """Whether to try now; ``before`` is the model that the series was forecast with last."""
        turn = (zlib.crc32(service_id.bytes) + self._day) % self._every == 0
        if self._left <= 0 or not (turn or before == "decomposed"):
            return False
        each = self._spent / self._done if self._done else _SECONDS_A_TRIAL
        if self._spent + (self._taken - self._done + 1) * each > self._seconds:
            return False
        self._left -= 1
        self._taken += 1
        return True

    def spent(self, seconds: float, trials: int) -> None:
        """So long did so many of the taken trials last."""
        self._spent += seconds
        self._done += trials
