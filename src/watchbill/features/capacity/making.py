"""The long part of a night, without a database: forecasts of a batch of services, in whichever process.

numpy is imported here: only the worker, its crew and the command line come this way.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import structlog

from watchbill.features import catalog
from watchbill.features.capacity import forecast, heavier, reads
from watchbill.features.capacity.calendar import holidays
from watchbill.features.capacity.model import WHOLE, Stored, no_forecast
from watchbill.kernel.errors import Invalid

log = structlog.get_logger("watchbill.capacity")

HORIZON_HOURS = 14 * 24
HORIZON_DAYS = 120

Key = tuple[UUID, str, str]
"""(service, operation, kind)."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day of a demand: the mean of each hour and its busiest bucket; None is a gap."""

    day_at: datetime
    mean: list[float | None]
    peak: list[float | None]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What forecasts of a batch of services need, read in one short transaction."""

    now: datetime
    days: dict[UUID, dict[tuple[str, str], list[Day]]]
    zones: dict[UUID, str]
    before: dict[Key, str | None]

    @property
    def today(self) -> datetime:
        """The UTC day that has begun."""
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    def keys(self, service_id: UUID) -> list[Key]:
        """The series of a service; several operations have a sum, the whole."""
        days = self.days.get(service_id, {})
        found = {(service_id, operation, kind) for operation, kind in days}
        if sum(kind == "rate" for _, kind in days) > 1:
            found.add((service_id, WHOLE, "rate"))
        return sorted(found)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts, and how many seconds went into trying the heavier model on ``tried`` of them."""

    stored: list[Stored]
    tried: int
    trial_seconds: float


def forecast_batch(services: Sequence[catalog.Service], loaded: Loaded, tried: Collection[Key]) -> Made:
    """Forecast every series of these services; the heavier model is tried on those of ``tried``."""
    stored: list[Stored] = []
    trials, spent, today = 0, 0.0, loaded.today
    for service in services:
        series = _series(loaded.days.get(service.id, {}), today)
        rated = [key for key in series if key[1] == "rate" and key[0] != WHOLE]
        for (operation, kind), (first_at, mean, peak) in sorted(series.items(), reverse=True, key=lambda each: each[0]):
            if (operation, kind) == (WHOLE, "rate") and len(rated) == 1 and series[rated[0]][0] == first_at:
                # The only operation is the whole, unless the whole was pushed too.
                same = next(one for one in reversed(stored) if one.operation == rated[0][0] and one.kind == "rate")
                if np.array_equal(mean, series[rated[0]][1], equal_nan=True):
                    stored.append(msgspec.structs.replace(same, operation=WHOLE))
                    continue
            trying = (service.id, operation, kind) in tried
            began = time.perf_counter()
            try:
                made = _one(
                    service, operation, kind, first_at=first_at, mean=mean, peak=peak, zone=loaded.zones[service.id],
                    now=loaded.now, tried=trying,
                )  # fmt: skip
            except Exception as error:  # one series that nobody foresaw must not end the night of all others
                log.exception("a forecast failed", service=service.name, operation=operation, kind=kind)
                made = no_forecast(
                    service_id=service.id, operation=operation, kind=kind, now=loaded.now, days=len(mean) // 24,
                    why=f"it failed ({type(error).__name__}); the worker's log says more",
                )  # fmt: skip
            stored.append(made)
            if trying:
                trials, spent = trials + 1, spent + time.perf_counter() - began
    return Made(stored=stored, tried=trials, trial_seconds=spent)


Series = dict[tuple[str, Any], tuple[datetime, Any, Any]]


def _series(days: dict[tuple[str, str], list[Day]], today: datetime) -> Series:
    """(first hour, means, peaks) by operation and kind; the whole service's rate is the sum of its operations'."""
    found: Series = {}
    for key, rows in days.items():
        first = rows[0].day_at
        mean = np.full(((today - first).days, 24), np.nan)
        peak = np.full_like(mean, np.nan)
        for row in rows:
            at = (row.day_at - first).days
            if at < len(mean):
                mean[at] = np.array(row.mean, dtype=float)
                peak[at] = np.array(row.peak, dtype=float)
        if len(mean):
            found[key] = (first, mean.ravel(), peak.ravel())
    rates = [value for (operation, kind), value in found.items() if kind == "rate" and operation != WHOLE]
    if rates and (WHOLE, "rate") not in found:
        first = min(each[0] for each in rates)
        hours = (today - first).days * 24
        padded = []
        for begun, mean, peak in rates:
            ahead = np.full(hours - len(mean), np.nan)
            padded.append((np.concatenate([ahead, mean]), np.concatenate([ahead, peak])))
            del begun
        means = np.array([each[0] for each in padded])
        peaks = np.array([each[1] for each in padded])
        silent = np.isnan(means).all(axis=0)
        found[WHOLE, "rate"] = (
            first,
            np.where(silent, np.nan, np.nansum(means, axis=0)),
            np.where(silent, np.nan, np.nansum(peaks, axis=0)),
        )
    return found


def _one(
    service: catalog.Service,
    operation: str,
    kind: Any,
    *,
    first_at: datetime,
    mean: Any,
    peak: Any,
    zone: str,
    now: datetime,
    tried: bool = False,
) -> Stored:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    empty = no_forecast(
        service_id=service.id, operation=operation, kind=kind, now=now, days=len(mean) // 24, why=None
    )
    notes: list[str] = []
    free: frozenset[int] = frozenset()
    country = reads.declared_of(service).holidays
    if country:
        try:
            free = holidays(country, first_at.year, today.year + 1)
        except (NotImplementedError, KeyError):
            notes.append(f"the holidays of '{country}' are not known")
    try:
        made = forecast.forecast(
            mean, start_at=first_at, step_seconds=3600, horizon=HORIZON_DAYS * 24, zone=zone, holidays=free,
            rival=heavier.Decomposed if tried else None,
        )  # fmt: skip
    except Invalid as error:
        return msgspec.structs.replace(empty, refused=error.problem.message)
    judged = made.evaluation
    return msgspec.structs.replace(
        empty,
        point=_rounded(made.point[:HORIZON_HOURS]),
        low=_rounded(made.low[:HORIZON_HOURS]),
        high=_rounded(made.high[:HORIZON_HOURS]),
        peak=_rounded(made.peak),
        peak_high=_rounded(made.peak_high),
        burst=_burst(mean, peak),
        growth_per_week=made.growth_per_week,
        coverage=judged.coverage,
        mae=judged.mae,
        naive_coverage=judged.naive_coverage,
        naive_mae=judged.naive_mae,
        notes=[*made.notes, *notes],
        model=made.model,
        rival_mae=made.rival.mae if made.rival else None,
        ahead=list(judged.ahead),
        peak_coverage=judged.peak_coverage,
    )


def _rounded(values: Any) -> list[float]:
    """Five digits: a forecast that says more pretends."""
    return [float(f"{value:.5g}") for value in values]


def _burst(mean: Any, peak: Any) -> float:
    """How far the busiest bucket of a busy hour lies above its mean: the median over the busiest tenth of hours."""
    known = np.isfinite(mean) & np.isfinite(peak) & (mean > 0)
    recent = known[-28 * 24 :]
    means, peaks = mean[-28 * 24 :][recent], peak[-28 * 24 :][recent]
    if len(means) < 10:
        return 1.0
    busy = means >= np.quantile(means, 0.9)
    return float(max(1.0, np.median(peaks[busy] / means[busy])))
