"""Objectives as written: defaults, windows for any period, and what cannot work."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from watchbill.features.slo import Objective, check_objective, default_objectives
from watchbill.features.slo.objectives import plan_windows

DAY = 86_400


@pytest.mark.parametrize(("tier", "target"), [(1, "99.95"), (2, "99.9"), (3, "99.5"), (4, "99.0")])
def test_the_default_promise_follows_the_tier(tier, target):
    [objective] = default_objectives(tier)
    assert (objective.name, objective.target, objective.window) == ("availability", Decimal(target), timedelta(days=30))


@pytest.mark.parametrize(
    ("days", "slice_seconds", "pairs"),
    [
        (30, 60, [(5, 60), (30, 360), (120, 1440), (360, 4320)]),
        (1, 5, [(2, 24), (12, 144), (48, 576), (144, 1728)]),
    ],
)
def test_windows_scale_with_the_period_and_factors_stay(days, slice_seconds, pairs):
    plan = plan_windows(budget_share=Fraction(1, 1000), window_seconds=days * DAY, slice_seconds=slice_seconds)
    assert [(window.short_slices, window.long_slices) for window in plan.windows] == pairs
    assert [float(window.factor) for window in plan.windows] == [14.4, 6, 3, 1]


@pytest.mark.parametrize(
    ("target", "window", "code", "severity"),
    [
        ("100", timedelta(days=30), "slo_target", "error"),
        ("0", timedelta(days=30), "slo_target", "error"),
        ("0.999", timedelta(days=30), "slo_target", "warning"),
        ("90", timedelta(days=30), "slo_window_dropped", "warning"),
        ("99.9", timedelta(days=1), "slo_window_dropped", "warning"),
        ("99.9", timedelta(minutes=5), "slo_never_fires", "error"),
        ("99.9", timedelta(seconds=1), "slo_window", "error"),
    ],
)
def test_what_cannot_work_is_said(target, window, code, severity):
    problems = check_objective(Objective(name="availability", target=Decimal(target), window=window))
    assert (code, severity) in [(problem.code, problem.severity) for problem in problems]


def test_a_sound_objective_has_no_problems():
    assert check_objective(default_objectives(1)[0]) == []
