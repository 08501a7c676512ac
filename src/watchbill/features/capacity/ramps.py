"""Judging a load ramp while it runs: requests at once, throughput and latency of each step, and when it is enough.

Requests at once are the sum of durations by the length of the step (Little's law). Nothing here knows the clock or the
database; scipy is imported by the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from watchbill.features.capacity import usl
from watchbill.features.telemetry import LoadStep
from watchbill.kernel.errors import Invalid

RampState = Literal["watching", "fitted", "refused", "stopped"]
MOST_FAILED = 0.05
"""Beyond this share of failures a step says nothing of what is carried: errors are often quicker than answers."""
_SAME_LOAD = 0.08
_PAST_PEAK = 1.1


class RampStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one replica: requests at once, requests per second, their mean and 95% latency, the share that
    failed. ``efficiency`` is throughput for each request at once, by that of the lightest step: 1 is no queueing."""

    number: int
    load: float
    throughput: float
    mean_ms: float
    p95_ms: float
    failed: float
    efficiency: float


class Ramp(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp as kept. ``replicas`` None: as many as spans name instances."""

    id: UUID
    service_id: UUID
    operation: str
    environment: str
    replicas: int | None
    step_seconds: int
    latency_ms: float | None
    save: bool
    started_at: datetime
    ends_at: datetime
    state: RampState
    reason: str
    steps: list[RampStep]
    fit: dict[str, Any] | None
    capacity: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now, and why."""

    state: RampState
    reason: str
    fit: usl.Fit | None = None
    capacity: float | None = None
    points: tuple[tuple[float, float], ...] = ()


def steps_of(seen: Sequence[LoadStep], *, step_seconds: int, replicas: int | None) -> list[RampStep]:
    """Whole steps, by replica; [] where neither replicas are given nor spans name instances."""
    made: list[RampStep] = []
    most = max((one.instances for one in seen), default=0)
    count = replicas or most
    if count == 0:
        return []
    for one in seen:
        if one.requests <= 0 or one.busy_seconds <= 0:
            continue
        made.append(
            RampStep(
                number=one.number,
                load=one.busy_seconds / step_seconds / count,
                throughput=one.requests / step_seconds / count,
                mean_ms=1000 * one.busy_seconds / one.requests,
                p95_ms=one.p95_ms,
                failed=one.failed / one.requests,
                efficiency=0.0,
            )
        )
    if not made:
        return []
    lightest = min(made, key=lambda one: one.load)
    alone = lightest.throughput / lightest.load
    return [msgspec.structs.replace(one, efficiency=one.throughput / one.load / alone) for one in made]


def points_of(steps: Sequence[RampStep]) -> list[tuple[float, float]]:
    """(load, throughput) of steps that did not fail; neighbours of nearly one load are one point."""
    good = sorted((one.load, one.throughput) for one in steps if one.failed <= MOST_FAILED)
    groups: list[list[tuple[float, float]]] = []
    for load, rate in good:
        if groups and load <= groups[-1][0][0] * (1 + _SAME_LOAD):
            groups[-1].append((load, rate))
        else:
            groups.append([(load, rate)])
    return [(sum(n for n, _ in one) / len(one), sum(x for _, x in one) / len(one)) for one in groups]


def judge(
    steps: Sequence[RampStep], *, latency_ms: float | None, over: bool, alarm: str | None = None
) -> Verdict:
    """Go on watching, enough, or no answer; ``over`` is whether its time is up, ``alarm`` what somebody is paged for.

    It is enough when the law's peak lies behind what was tested, when the latency that is asked for was passed, when
    requests fail, or when the service's own alerts say so: an objective that burns.
    """
    points = points_of(steps)
    failing = [one for one in steps[-3:] if one.failed > MOST_FAILED]
    enough = over or len(failing) >= 2 or alarm is not None
    why = "its time is up" if over else f"{100 * failing[-1].failed:.0f}% of the requests fail" if failing else ""
    why = why if alarm is None else alarm
    if len(points) < usl.FEWEST:
        said = f"{len(points)} of at least {usl.FEWEST} loads were seen"
        if not steps:
            said = "nothing was seen: no spans of it arrive, or they name no instance and no replicas were given"
        if not enough:
            return Verdict(state="watching", reason=said, points=tuple(points))
        return Verdict(state="refused", reason=f"{why}; {said}: no curve is fitted", points=tuple(points))
    try:
        fitted = usl.fit(points, bootstrap=False)
    except Invalid as error:
        state: RampState = "refused" if enough else "watching"
        return Verdict(state=state, reason=error.problem.message, points=tuple(points))
    if not enough:
        passed = latency_ms is not None and max(one.mean_ms for one in steps) > 1.5 * latency_ms
        behind = fitted.peak_load is not None and fitted.tested_load >= _PAST_PEAK * fitted.peak_load
        enough = passed or behind
        why = f"requests took over {1.5 * latency_ms:g} ms" if passed and latency_ms else "throughput is past its peak"
    if not enough:
        return Verdict(
            state="watching",
            reason=f"{len(points)} loads up to {fitted.tested_load:.3g} at once; throughput still grows: go on",
            fit=fitted,
            points=tuple(points),
        )
    try:
        capacity = usl.capacity_at_latency(fitted, None if latency_ms is None else latency_ms / 1000)
    except Invalid as error:
        return Verdict(
            state="refused", reason=f"{why}; {error.problem.message}", fit=fitted, points=tuple(points)
        )
    fitted = usl.fit(points)
    within = "" if latency_ms is None else f" within {latency_ms:g} ms"
    return Verdict(
        state="fitted",
        reason=f"{why}; one replica carries {capacity:.4g}/s{within}, by {len(points)} loads",
        fit=fitted,
        capacity=capacity,
        points=tuple(points),
    )
