"""From what the observer counted to a verdict: beside another version where both serve, else before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from watchbill.features.suspects.model import Point, Verdict
from watchbill.features.suspects.verdict import DEFAULT_GATE, Gate, judge_before_after, judge_versions
from watchbill.features.telemetry import GetVersions, Versions

BEFORE = timedelta(hours=1)
"""How much of the time before a change is its control."""
_BESIDE = 0.05
"""Another version that still answers this share of the requests is a control."""
_TOGETHER = 3
"""In so many slices at least; fewer are one version taking over from another."""
_SLICES = 40


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A change of ``service_name`` (as telemetry calls it), from ``changed_at`` until it was undone."""

    service_name: str
    environment: str
    changed_at: datetime
    version: str | None
    previous_version: str | None
    until: datetime | None = None


def question(of: Measurement, *, now: datetime) -> GetVersions:
    """Ask for the hour before the change and all since, in slices that are fine enough for a young change."""
    end_at = min(now, of.until or now)
    since = max(timedelta(seconds=1), end_at - of.changed_at)
    seconds = int(min(60, max(5, since.total_seconds() // _SLICES)))
    return GetVersions(
        service_name=of.service_name,
        environment=of.environment,
        start_at=of.changed_at - BEFORE,
        end_at=max(end_at, of.changed_at + timedelta(seconds=1)),
        reference_end_at=of.changed_at,
        slice_seconds=seconds,
    )


def judge(of: Measurement, found: Versions, *, gate: Gate = DEFAULT_GATE) -> Verdict:
    """Canary against control when both answered since the change; else before and after."""
    points = [_point(each) for each in found.slices]
    first = min((p.at for p in points if p.version == of.version and p.at >= of.changed_at - _EARLY), default=None)
    if of.version is not None and first is not None:
        new = {p.at: p.total for p in points if p.version == of.version and p.at > first}
        others = [p for p in points if p.version != of.version and p.total >= _BESIDE * new.get(p.at, math.inf)]
        if len({p.at for p in others}) >= _TOGETHER:
            control = _most(others, of.previous_version)
            return judge_versions(points, canary=of.version, control=control, gate=gate, slow_ms=found.slow_ms)
    began = first or of.changed_at
    before = [p for p in points if p.at < began and (of.version is None or p.version != of.version)]
    after = [p for p in points if p.at >= began and (first is None or p.version == of.version)]
    return judge_before_after(
        before,
        after,
        canary=of.version or "after",
        control=of.previous_version or (_most(before, None) if before else "") or "before",
        gate=gate,
        slow_ms=found.slow_ms,
    )


_EARLY = timedelta(minutes=2)
"""Clocks differ, and a slice begins before what is in it."""


def _most(points: Sequence[Point], wanted: str | None) -> str:
    """``wanted`` when it is among them, else the version with most requests."""
    totals: dict[str, float] = {}
    for point in points:
        totals[point.version] = totals.get(point.version, 0) + point.total
    return wanted if wanted in totals else max(totals, key=lambda version: totals[version])


def _point(each: object) -> Point:
    given = msgspec.structs.asdict(each)  # type: ignore[arg-type]  # a VersionSlice: the same fields, one named anew
    return Point(at=given.pop("slice_at"), **given)
