"""Forecast of a demand: a robust weekly profile times the last level, with intervals that are calibrated by themselves.

1. The profile is the median of the last weeks, each scaled by its own level, by slot of the local week.
2. The level is that of the last days against the profile; when the last day departs from them, its own is followed.
3. The same is done at past origins, a day apart. The log ratios of what came to what was forecast are the scores; the
   interval of a lead day lies between quantiles of its scores (split conformal prediction, multiplicative).
4. The width follows the misses, so that their share comes out right over time: log w ← log w + .5·(err − .10) after
   each day, one, three and seven days ahead by themselves. That is quantile tracking (A. Angelopoulos, E. Candès,
   R. Tibshirani, *Conformal PID control for time series prediction*, NeurIPS 2023) on the log of the width; moving α
   instead (I. Gibbs, E. Candès, NeurIPS 2021) came half as near to .90 on the series that the method was chosen on.
   The bound of a day's busiest step follows its misses in the same way.

Another model may be tried (`heavier`): it is taken where its error at the same past origins is clearly smaller.

Arrays hold one value per step; NaN is a gap. Nothing here knows the clock or the database.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from watchbill.features.capacity import calendar
from watchbill.features.capacity.calendar import DAY_SECONDS
from watchbill.features.capacity.scoring import LEAD_DAYS, NOMINAL, OFFSET, Evaluation, Scores, Tell, scores_of
from watchbill.kernel.errors import Invalid

PROFILE_WEEKS = 4
LEVEL_DAYS = 3
ORIGINS = 56
FEWEST_DAYS = 14
_WINS = 0.95
"""Another model is taken when its error is below this share of the default's: the choice itself flatters it."""
_FEWEST_TRIED = 14
_TRIED_WEEKS = 4

Rival = Callable[[Any, Any, int], Tell]
"""(values with NaN for gaps, slot of the week by step, steps of a day) → how it tells."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Arrays over the steps after the origin, and over the days: the busiest step's median and 95% quantile."""

    point: Any
    low: Any
    high: Any
    peak: Any
    peak_high: Any
    growth_per_week: float
    growth_sd: float
    evaluation: Evaluation
    notes: tuple[str, ...] = ()
    model: str = "profile"
    rival: Evaluation | None = None
    """The model that was tried and not taken, at the same origins; or the default where the other was taken."""


def forecast(
    values: Any,
    *,
    start_at: datetime,
    step_seconds: int,
    horizon: int,
    zone: str = "UTC",
    holidays: Collection[int] = (),
    origins: int = ORIGINS,
    rival: Rival | None = None,
) -> Forecast:
    """Forecast ``horizon`` steps after the last of ``values``, whose first step begins at ``start_at``.

    ``origins`` is how many days back it is judged. ``holidays`` are ordinals of local days: they teach the profile
    nothing, and on coming ones the interval spans that weekday and a Sunday. ``rival`` is tried against the default
    where there is history enough, and taken where it wins.

    Raises:
        Invalid: less than two weeks, or mostly gaps.
    """
    given = np.asarray(values, dtype=float)
    y, notes = _cleaned(given)
    per_day = DAY_SECONDS // step_seconds
    _check_enough(y, per_day)
    total = len(y) + horizon
    slot, day = calendar.slots(start_at, step_seconds, total, zone)
    free = np.isin(day, np.fromiter(holidays, dtype=np.int64)) if holidays else np.zeros(total, dtype=bool)
    taught = np.where(free[: len(y)], np.nan, y)
    week = 7 * per_day
    scores = scores_of(y, per_day, origins, _profile_tells(taught, slot, per_day))
    profile, level, shifted = _model(taught, slot, len(y), per_day)
    ahead = slot[len(y) :]
    point = profile[ahead] * level
    name, other = "profile", None
    if rival is not None and not shifted:
        tells = rival(taught, slot, per_day)
        theirs, other = _contest(y, per_day, origins, _profile_tells(taught, slot, per_day), tells)
        if theirs is not None:
            name, scores, point = "decomposed", theirs, tells(len(y), total)[0]
    evaluation = scores.evaluation()
    leads = np.minimum(np.arange(horizon) // per_day, LEAD_DAYS - 1)
    lows, highs = scores.quantiles()
    growth, growth_sd = _growth(y, week)
    weeks = np.arange(horizon) / week
    wider = np.sqrt(np.maximum(1.0, weeks))
    drift = np.where(weeks > 1, weeks, 0.0)
    offset = OFFSET * level
    scale = np.exp(growth * drift)
    low = (point * scale + offset) * np.exp(lows[leads] * wider - 1.645 * growth_sd * drift) - offset
    high = (point * scale + offset) * np.exp(highs[leads] * wider + 1.645 * growth_sd * drift) - offset
    point = point * scale
    coming = free[len(y) :]
    if coming.any():
        sunday = profile[6 * per_day + ahead % per_day] * level * scale
        point, low, high = _spanning(
            coming, (point, low, high), sunday, (np.exp(lows[leads]), np.exp(highs[leads]))
        )  # fmt: skip
        notes.append("holidays ahead: their interval spans the weekday and a Sunday")
    peaks = scores.peak_quantiles()
    peak, peak_high = _peaks(point, per_day, peaks, growth_sd, max(offset, 1e-9))
    if shifted:
        # One day may be the new normal, or an outage: the interval spans both levels.
        ratio = shifted / level
        low, high = np.minimum(low, low * ratio), np.maximum(high, high * ratio)
        peak_high = np.maximum(peak_high, peak_high * ratio)
        notes.append("the level has shifted within the last day; it is followed, and the interval spans both levels")
    if np.nanmax(y[-2 * week :]) == np.nanmin(y[-2 * week :]):
        notes.append("the same value for two weeks: a constant teaches nothing about its changes; is the source stuck?")
        high, peak_high = np.maximum(high, 1.25 * point), np.maximum(peak_high, 1.25 * peak)
        low = np.minimum(low, 0.75 * point)
    notes += _doubts(evaluation, days=len(y) // per_day)
    return Forecast(
        point=point,
        low=np.maximum(0.0, low),
        high=high,
        peak=peak,
        peak_high=peak_high,
        growth_per_week=growth,
        growth_sd=growth_sd,
        evaluation=evaluation,
        notes=(*notes, *(["the heavier model is used: it won in a back-test"] if name != "profile" else [])),
        model=name,
        rival=other,
    )


def _doubts(evaluation: Evaluation, *, days: int) -> list[str]:
    """What a reader should know before believing it."""
    said = []
    if evaluation.mae is not None and evaluation.naive_mae is not None and evaluation.mae > evaluation.naive_mae:
        said.append("a seasonal-naive forecast, the hour of a week before, was nearer on past days")
    if days < 28:
        said.append(f"only {days} days of history: the interval is wide for it")
    return said


def _contest(
    y: Any, per_day: int, origins: int, usual: Tell, tells: Tell
) -> tuple[Scores | None, Evaluation | None]:
    """(the other model's scores where it wins, what the loser did); (None, None) with too little history."""
    least = _TRIED_WEEKS * 7 * per_day
    if len(y) < least + _FEWEST_TRIED * per_day:
        return None, None
    ours = scores_of(y, per_day, origins, usual, least=least).evaluation()
    theirs = scores_of(y, per_day, origins, tells, least=least)
    judged = theirs.evaluation()
    return (theirs, ours) if wins(judged, ours) else (None, judged)


def wins(theirs: Evaluation, ours: Evaluation) -> bool:
    """Whether another model is taken: clearly less error at the same origins, and intervals that cover as much."""
    if theirs.mae is None or ours.mae is None or theirs.coverage is None or ours.coverage is None:
        return False
    return theirs.mae < _WINS * ours.mae and theirs.coverage >= min(NOMINAL, ours.coverage) - 0.02


def compare(
    values: Any, *, start_at: datetime, step_seconds: int, rivals: Collection[Rival], zone: str = "UTC", since: int = 0
) -> list[Evaluation]:
    """The default and each rival at the same origins, a day apart, from step ``since`` on (after four weeks). What came
    between teaches the intervals, and is not judged."""
    y, _ = _cleaned(np.asarray(values, dtype=float))
    per_day = DAY_SECONDS // step_seconds
    slot, _ = calendar.slots(start_at, step_seconds, len(y), zone)
    least = _TRIED_WEEKS * 7 * per_day
    all_of = [_profile_tells(y, slot, per_day), *(rival(y, slot, per_day) for rival in rivals)]
    return [scores_of(y, per_day, len(y), tells, least=least, since=since).evaluation() for tells in all_of]


def _spanning(coming: Any, told: tuple[Any, Any, Any], sunday: Any, ratios: tuple[Any, Any]) -> tuple[Any, Any, Any]:
    """(point, low, high) that on holidays to come lie between the weekday's and a Sunday's."""
    point, low, high = told
    return (
        np.where(coming, (point + sunday) / 2, point),
        np.where(coming, np.minimum(low, sunday * ratios[0]), low),
        np.where(coming, np.maximum(high, sunday * ratios[1]), high),
    )


def _cleaned(values: Any) -> tuple[Any, list[str]]:
    notes = []
    y = np.where(np.isfinite(values), values, np.nan)
    negative = y < 0
    if negative.any():
        y = np.where(negative, np.nan, y)
        notes.append(f"{int(negative.sum())} negative values are taken for gaps (a counter that was reset?)")
    gaps = int(np.isnan(y).sum())
    if gaps > 0.02 * len(y):
        notes.append(f"{100 * gaps / len(y):.0f}% of the steps are gaps")
    return y, notes


def _check_enough(y: Any, per_day: int) -> None:
    days = len(y) // per_day
    if days < FEWEST_DAYS:
        raise Invalid(
            f"{days} days of history are less than two weeks",
            code="history_too_short",
            hint="wait, or push older counts with `watchbill capacity push`",
        )
    recent = y[-FEWEST_DAYS * per_day :]
    measured = float(np.isfinite(recent).mean())
    if measured < 0.5:
        raise Invalid(
            f"only {100 * measured:.0f}% of the last two weeks are measured",
            code="history_full_of_gaps",
            hint="see why the source was silent; half of two weeks is the least",
        )


def _model(y: Any, slot: Any, origin: int, per_day: int) -> tuple[Any, float, float]:
    """(profile by slot with mean about 1, level, level before it just shifted or 0) as known at ``origin``."""
    week = 7 * per_day
    rows = min(PROFILE_WEEKS, max(1, origin // week))
    by_slot = np.full((rows, week), np.nan)
    for row in range(rows):
        at = slice(max(0, origin - (row + 1) * week), origin - row * week)
        by_slot[row, slot[at]] = y[at]
    measured = np.isfinite(by_slot).sum(axis=1)
    sums = np.nansum(by_slot, axis=1)
    means = np.where(measured > 0, sums / np.maximum(1, measured), np.nan)
    if rows > 1:
        # A week with gaps is scaled at the slots that it shares with the others, not by a mean of what is left.
        reference = _median0(by_slot / np.where(means > 0, means, np.nan)[:, None])
        shared = np.where(np.isfinite(by_slot), reference[None, :], np.nan)
        weight = np.nansum(shared, axis=1)
        seen = np.nansum(np.where(np.isfinite(shared), by_slot, 0), axis=1)
        means = np.where(weight > 0, seen / np.where(weight > 0, weight, 1.0), means)
    usable = (measured >= week // 4) & (means > 0)
    if not usable.any():
        return np.ones(week), float(np.nanmean(y[max(0, origin - week) : origin]) if measured.any() else 0.0), 0.0
    profile = _filled(_median0(by_slot[usable] / means[usable, None]), per_day)
    return profile, *_level(y, slot, origin, per_day, profile)


def _level(y: Any, slot: Any, origin: int, per_day: int, profile: Any) -> tuple[float, float]:
    def over(days: int) -> float:
        at = slice(max(0, origin - days * per_day), origin)
        expected = np.where(np.isfinite(y[at]), profile[slot[at]], 0.0)
        weight = float(expected.sum())
        return float(np.nansum(y[at])) / weight if weight > 0.25 * days * per_day * 0.5 else math.nan

    level = over(7)
    near = over(LEVEL_DAYS)
    if math.isnan(level):
        last = y[max(0, origin - 7 * per_day) : origin]
        level = float(np.nanmean(last)) if np.isfinite(last).any() else math.nan
    if math.isnan(near):
        return (0.0 if math.isnan(level) else level), 0.0
    blended = math.sqrt(level * near) if level > 0 and near > 0 else near
    newest = over(1) if per_day > 1 else math.nan
    shifted = newest > 0 and blended > 0 and abs(math.log(newest / blended)) > 0.4
    return (newest, blended) if shifted else (blended, 0.0)


def _median0(table: Any) -> Any:
    """Median over the first axis without NaN; NaN where nothing is. Much faster than nanmedian on few rows."""
    ordered = np.sort(table, axis=0)
    count = np.isfinite(table).sum(axis=0)
    columns = np.arange(table.shape[1])
    low, high = np.maximum(0, (count - 1) // 2), np.minimum(count // 2, table.shape[0] - 1)
    return np.where(count > 0, (ordered[low, columns] + ordered[high, columns]) / 2, np.nan)


def _filled(profile: Any, per_day: int) -> Any:
    """Slots that were never measured take the mean of their hour on other days, else 1."""
    if np.isfinite(profile).all():
        return profile
    days = profile.reshape(7, per_day)
    count = np.isfinite(days).sum(axis=0)
    hourly = np.where(count > 0, np.nansum(days, axis=0) / np.maximum(1, count), 1.0)
    return np.where(np.isfinite(profile), profile, np.tile(hourly, 7))


def _profile_tells(taught: Any, slot: Any, per_day: int) -> Tell:
    def tell(origin: int, end: int) -> tuple[Any, float]:
        profile, level, _ = _model(taught, slot, origin, per_day)
        return profile[slot[origin:end]] * level, level

    return tell


def _growth(y: Any, week: int) -> tuple[float, float]:
    """Log growth per week by Theil–Sen over the weeks' means, and its standard deviation.

    With less than six weeks no growth is believed, and its uncertainty is that of the levels seen.
    """
    count = min(13, len(y) // week)
    tail = y[len(y) - count * week :].reshape(count, week)
    measured = np.isfinite(tail).mean(axis=1) > 0.5
    means = np.where(measured, np.nansum(tail, axis=1) / np.maximum(1, np.isfinite(tail).sum(axis=1)), np.nan)
    at = np.flatnonzero(measured & (means > 0))
    if len(at) < 3:
        return 0.0, 0.03
    levels = np.log(means[at])
    one, two = np.triu_indices(len(at), 1)
    slope = float(np.median((levels[two] - levels[one]) / (at[two] - at[one])))
    rest = levels - slope * at
    noise = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    sd = max(0.005, noise / math.sqrt(float(((at - at.mean()) ** 2).sum())))
    return (slope, sd) if len(at) >= 6 else (0.0, max(sd, abs(slope)))


def _peaks(point: Any, per_day: int, quantiles: Any, growth_sd: float, offset: float) -> tuple[Any, Any]:
    """(median, 95%) of each day's busiest step; with the offset of the scores, so that nothing but zeros stays zero."""
    days = len(point) // per_day
    tops = point[: days * per_day].reshape(days, per_day).max(axis=1) if days else np.zeros(0)
    leads = np.minimum(np.arange(days), LEAD_DAYS - 1)
    weeks = (np.arange(days) + 1) / 7
    wider = np.sqrt(np.maximum(1.0, weeks))
    middle = quantiles[leads, 0]
    spread = quantiles[leads, 1] - middle
    drift = 1.645 * growth_sd * np.where(weeks > 1, weeks, 0.0)
    high = np.exp(middle + np.sqrt((spread * wider) ** 2 + drift**2))
    return np.maximum(0.0, (tops + offset) * np.exp(middle) - offset), np.maximum(0.0, (tops + offset) * high - offset)
