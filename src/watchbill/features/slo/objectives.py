"""Objectives as data: the defaults by tier, the burn windows, and which of them are mathematically alive.

The windows are the multi-window, multi-burn-rate recipe of the Google SRE workbook (chapter 5) for 30
days: page when 2 % of the budget goes in an hour or 5 % in six, ticket when 10 % goes in a day or in
three. For another period the shares of budget stay and the windows scale with it, so the factors stay
too: p·W/L is the same when L scales with W.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from watchbill.features.slo.model import (
    AlertWindow,
    BurnWindow,
    DroppedWindow,
    Objective,
    Plan,
    Slo,
    Tier,
)
from watchbill.kernel.durations import format_duration
from watchbill.kernel.errors import Problem

DEFAULT_WINDOW = timedelta(days=30)
_DEFAULT_TARGETS = {1: Decimal("99.95"), 2: Decimal("99.9"), 3: Decimal("99.5"), 4: Decimal("99.0")}


class Recipe(msgspec.Struct, frozen=True):
    """One pair as shares: its long window is ``period``/``long_part``, its short one a twelfth of that."""

    tier: Tier
    budget: Fraction
    long_part: int

    @property
    def factor(self) -> Fraction:
        """How many times faster than sustainable: budget share × W/L."""
        return self.budget * self.long_part


RECIPES = (
    Recipe("page", Fraction(2, 100), 720),
    Recipe("page", Fraction(5, 100), 120),
    Recipe("ticket", Fraction(10, 100), 30),
    Recipe("ticket", Fraction(10, 100), 10),
)
"""30 days: 5m/1h ×14.4, 30m/6h ×6, 2h/1d ×3, 6h/3d ×1."""


def default_objectives(tier: int) -> list[Objective]:
    """What is promised for an operation that says nothing: availability by the service's tier, over 30 days."""
    return [Objective(name="availability", target=_DEFAULT_TARGETS[tier], window=DEFAULT_WINDOW)]


class _Pair(msgspec.Struct, frozen=True):
    """One pair before it is known whether it can work."""

    tier: Tier
    factor: Fraction
    long_seconds: int
    short_seconds: Fraction


def _pairs(window_seconds: int, alerts: Sequence[AlertWindow] | None) -> list[_Pair]:
    """The usual pairs, scaled to the window, or those that are written; the shortest first."""
    if alerts is None:
        lengths = [(recipe, window_seconds // recipe.long_part) for recipe in RECIPES]
        return [_Pair(recipe.tier, recipe.factor, long, Fraction(long, 12)) for recipe, long in lengths]
    written = sorted(alerts, key=lambda one: one.long_seconds)
    return [
        _Pair(
            one.tier,
            Fraction(one.burn),
            one.long_seconds,
            Fraction(one.short_seconds) if one.short_seconds else Fraction(one.long_seconds, 12),
        )
        for one in written
    ]


def plan_of(slo: Slo, *, slice_seconds: int) -> Plan:
    """The burn windows of an SLO that is kept."""
    return plan_windows(
        budget_share=slo.budget_share,
        window_seconds=slo.window_seconds,
        slice_seconds=slice_seconds,
        alerts=slo.alerts,
        unit_seconds=slo.unit_seconds,
    )


def plan_windows(
    *,
    budget_share: Fraction,
    window_seconds: int,
    slice_seconds: int,
    retention_seconds: int | None = None,
    alerts: Sequence[AlertWindow] | None = None,
    unit_seconds: int = 0,
) -> Plan:
    """The pairs of windows that can work for this objective; the others with the reason they cannot.

    Dead is: a threshold factor·b of 1 or more (even a total outage does not exceed it), a factor below 1
    (nags a service that keeps its promise), a short window under two slices (nothing to average), and a
    long window longer than the counts are kept.

    Args:
        alerts: pairs written with the objective, instead of the usual ones.
        unit_seconds: the length of time slices, when those are counted and are longer than the evaluator's.
    """
    windows: list[BurnWindow] = []
    dropped: list[DroppedWindow] = []
    for pair in _pairs(window_seconds, alerts):
        short_slices = round(pair.short_seconds / slice_seconds)
        long_slices = round(Fraction(pair.long_seconds, slice_seconds))
        reason = _dead(
            pair,
            threshold=pair.factor * budget_share,
            short_slices=short_slices,
            slice_seconds=slice_seconds,
            unit_seconds=max(unit_seconds, slice_seconds),
            retention_seconds=retention_seconds,
        )
        if reason:
            dropped.append(
                DroppedWindow(tier=pair.tier, long_seconds=pair.long_seconds, factor=pair.factor, reason=reason)
            )
        else:
            windows.append(
                BurnWindow(tier=pair.tier, short_slices=short_slices, long_slices=long_slices, factor=pair.factor)
            )
    return Plan(windows=tuple(windows), dropped=tuple(dropped))


def _dead(
    pair: _Pair,
    *,
    threshold: Fraction,
    short_slices: int,
    slice_seconds: int,
    unit_seconds: int,
    retention_seconds: int | None,
) -> str | None:
    if threshold >= 1:
        return (
            f"a burn of {float(pair.factor):g}× would need {float(threshold) * 100:g} % of requests to fail,"
            " so even a total outage would not fire it"
        )
    if pair.factor < 1:
        return f"a burn of {float(pair.factor):g}× is within the promise, so it would nag"
    if short_slices * slice_seconds < 2 * unit_seconds:
        return (
            f"its short window of {format_duration(timedelta(seconds=float(pair.short_seconds)))} is under two slices"
            f" of {format_duration(timedelta(seconds=unit_seconds))}"
        )
    if pair.short_seconds >= pair.long_seconds:
        return "its short window is not shorter than its long one"
    if retention_seconds is not None and pair.long_seconds > retention_seconds:
        return (
            f"its long window of {format_duration(timedelta(seconds=pair.long_seconds))} is longer than counts are kept"
            f" ({format_duration(timedelta(seconds=retention_seconds))})"
        )
    return None


def check_objective(
    objective: Objective, *, slice_seconds: int = 60, retention_seconds: int | None = None
) -> list[Problem]:
    """What is wrong with an objective as written (errors), and what of it will not work (warnings).

    ``field`` of each problem is relative to the objective: ``target``, ``window`` or ``threshold``.
    """
    problems: list[Problem] = []
    if not objective.target.is_finite() or not 0 < objective.target < 100:
        whole = objective.target == 100
        hint = "100 % leaves no budget: promise 99.9 or 99.99" if whole else "write a percent such as 99.9"
        problems.append(
            Problem(
                code="slo_target",
                message=f"target {objective.target} is not between 0 and 100 percent",
                field="target",
                hint=hint,
            )
        )
    elif objective.target < 1:
        problems.append(
            Problem(
                code="slo_target",
                message=f"target {objective.target} is a percent, so this promises almost nothing",
                field="target",
                hint=f"if you meant the ratio, write {(objective.target * 100).normalize():f}",
                severity="warning",
            )
        )
    if objective.threshold is not None and objective.threshold <= timedelta(0):
        problems.append(
            Problem(code="slo_threshold", message="threshold is not positive", field="threshold", hint="write 300ms")
        )
    if objective.window > timedelta(days=366) or objective.window < timedelta(minutes=1):
        problems.append(
            Problem(
                code="slo_window",
                message=f"window {format_duration(objective.window)} is not between 1m and 366d",
                field="window",
                hint="30d is what most teams use",
            )
        )
    if any(problem.severity == "error" for problem in problems):
        return problems
    measure = objective.measure
    plan = plan_windows(
        budget_share=1 - Fraction(objective.target) / 100,
        window_seconds=int(objective.window.total_seconds()),
        slice_seconds=slice_seconds,
        retention_seconds=retention_seconds,
        alerts=measure.alerts if measure else None,
        unit_seconds=measure.slice_seconds if measure and measure.method != "occurrences" else 0,
    )
    if not plan.windows:
        problems.append(
            Problem(
                code="slo_never_fires",
                message=f"no alert on this objective could ever fire: {plan.dropped[0].reason}",
                field="window",
                hint="lengthen the window" if measure is None or measure.alerts is None else "change its alerts",
            )
        )
        return problems
    problems.extend(
        Problem(
            code="slo_window_dropped",
            message=(
                f"the {dropped.tier} alert on {format_duration(timedelta(seconds=dropped.long_seconds))} is left out:"
                f" {dropped.reason}"
            ),
            field="target" if "outage" in dropped.reason else "window",
            severity="warning",
        )
        for dropped in plan.dropped
    )
    return problems
