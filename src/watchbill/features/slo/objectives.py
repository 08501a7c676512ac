"""Objectives as data: the defaults by tier, the burn windows, and which of them are mathematically alive.

The windows are the multi-window, multi-burn-rate recipe of the Google SRE workbook (chapter 5) for 30
days: page when 2 % of the budget goes in an hour or 5 % in six, ticket when 10 % goes in a day or in
three. For another period the shares of budget stay and the windows scale with it, so the factors stay
too: p·W/L is the same when L scales with W.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from watchbill.features.slo.model import BurnWindow, DroppedWindow, Objective, Plan, Tier
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


def plan_windows(
    *, budget_share: Fraction, window_seconds: int, slice_seconds: int, retention_seconds: int | None = None
) -> Plan:
    """The pairs of windows that can work for this objective; the others with the reason they cannot.

    Dead is: a threshold factor·b of 1 or more (even a total outage does not exceed it), a factor below 1
    (nags a service that keeps its promise), a short window under two slices (nothing to average), and a
    long window longer than the counts are kept.
    """
    windows: list[BurnWindow] = []
    dropped: list[DroppedWindow] = []
    for recipe in RECIPES:
        long_seconds = window_seconds // recipe.long_part
        short_slices = round(Fraction(long_seconds, 12 * slice_seconds))
        long_slices = round(Fraction(long_seconds, slice_seconds))
        reason = _dead(
            recipe,
            threshold=recipe.factor * budget_share,
            short_slices=short_slices,
            long_seconds=long_seconds,
            slice_seconds=slice_seconds,
            retention_seconds=retention_seconds,
        )
        if reason:
            dropped.append(
                DroppedWindow(tier=recipe.tier, long_seconds=long_seconds, factor=recipe.factor, reason=reason)
            )
        else:
            windows.append(
                BurnWindow(
                    tier=recipe.tier, short_slices=short_slices, long_slices=long_slices, factor=recipe.factor
                )
            )
    return Plan(windows=tuple(windows), dropped=tuple(dropped))


def _dead(
    recipe: Recipe,
    *,
    threshold: Fraction,
    short_slices: int,
    long_seconds: int,
    slice_seconds: int,
    retention_seconds: int | None,
) -> str | None:
    if threshold >= 1:
        return (
            f"a burn of {float(recipe.factor):g}× would need {float(threshold) * 100:g} % of requests to fail,"
            " so even a total outage would not fire it"
        )
    if recipe.factor < 1:
        return f"a burn of {float(recipe.factor):g}× is within the promise, so it would nag"
    if short_slices < 2:
        short = timedelta(seconds=long_seconds / 12)
        return (
            f"its short window of {format_duration(short)} is under two slices of"
            f" {format_duration(timedelta(seconds=slice_seconds))}"
        )
    if retention_seconds is not None and long_seconds > retention_seconds:
        return (
            f"its long window of {format_duration(timedelta(seconds=long_seconds))} is longer than counts are kept"
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
    plan = plan_windows(
        budget_share=1 - Fraction(objective.target) / 100,
        window_seconds=int(objective.window.total_seconds()),
        slice_seconds=slice_seconds,
        retention_seconds=retention_seconds,
    )
    if not plan.windows:
        problems.append(
            Problem(
                code="slo_never_fires",
                message=f"no alert on this objective could ever fire: {plan.dropped[0].reason}",
                field="window",
                hint="lengthen the window",
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
