"""Crossing a threshold of the error budget policy: once per window and direction, with hysteresis, and why."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.gates import Facts, Policy, SloFact, decide
from watchbill.features.gates.model import BudgetRule, Override
from watchbill.features.slo.policy import BudgetPolicy, Level, Rule, Standing, cross, effective, rise_at

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WINDOW = 30 * 86400


def standing(bad: int, *, target: str = "99.9", without: int | None = None, begin=None) -> Standing:
    total = 100_000
    share = 1 - Fraction(Decimal(target)) / 100
    return Standing(
        slo_id=UUID(int=1),
        remaining=1 - Fraction(bad) / (share * total),
        without=1 - Fraction(bad if without is None else without) / (share * total),
        bad=bad,
        total=total,
        target=Decimal(target),
        window_seconds=WINDOW,
        period_begin=begin,
    )


def after(level: Level, crossed, at: datetime, of: Standing) -> Level:
    told = {f"{crossed.direction}_at": at} if crossed.told else {}
    kept = {"down_at": level.down_at, "up_at": level.up_at} | told
    return Level(
        below=crossed.direction == "down", since_at=at, target=of.target, window_seconds=of.window_seconds, **kept
    )


@given(
    steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 120)), min_size=1, max_size=60),
    percent=st.sampled_from([0, 20, 50, 98]),
    calendar=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_threshold_is_told_once_per_window_and_direction_and_its_level_always_holds(steps, percent, calendar):
    """slo.budget_policy: for every course of a budget, in rolling windows and calendar months."""
    threshold, level, now = Fraction(percent, 100), Level(), NOW
    told: list[tuple[str, datetime]] = []
    for days, bad in steps:
        now += timedelta(days=days)
        begin = now.replace(day=1, hour=0) if calendar else None
        here = standing(bad, begin=begin)
        before, crossed = level.below, cross(threshold, level, here, now=now)
        if crossed is not None:
            level = after(level, crossed, now, here)
            if crossed.told:
                told.append((crossed.direction, now))
        # the level is what the rule says, however often it was told
        if here.remaining <= threshold:
            assert level.below
        elif here.remaining >= rise_at(threshold):
            assert not level.below
        else:
            assert level.below == before
    for direction in ("down", "up"):
        at = [when for side, when in told if side == direction]
        for first, second in itertools.pairwise(at):
            if calendar:
                assert first < second.replace(day=1, hour=0)
            else:
                assert second - first >= timedelta(seconds=WINDOW)


BELOW = Level(below=True, since_at=NOW, down_at=NOW, target=Decimal("99.9"), window_seconds=WINDOW)


@pytest.mark.parametrize(
    ("level", "here", "direction", "cause"),
    [
        (Level(), standing(80), "down", "spent"),
        (Level(target=Decimal(99), window_seconds=WINDOW), standing(80), "down", "target"),
        (BELOW, standing(70), "up", "time"),
        (BELOW, standing(80, target="99"), "up", "target"),
        (BELOW, standing(10, without=90), "up", "exclusion"),
        (BELOW, standing(0, begin=NOW + timedelta(hours=1)), "up", "period"),
    ],
)
def test_what_lifts_or_lowers_a_budget_is_found_by_taking_it_away(level, here, direction, cause):
    crossed = cross(Fraction(20, 100), level, here, now=NOW + timedelta(days=1))
    assert crossed is not None
    assert (crossed.direction, crossed.cause) == (direction, cause)


def test_a_service_replaces_the_rules_of_its_team_as_a_whole():
    rule = Rule(remaining=Decimal(20), do=("freeze",))
    team = BudgetPolicy(rules=(rule,), exclude_alone=Decimal(10))
    assert effective(None, team).rules == (rule,)
    assert effective(BudgetPolicy(rules=()), team).rules == ()
    assert effective(BudgetPolicy(rules=()), team).exclude_alone == 10
    assert effective(None, None).exclude_alone == 50


def override() -> Override:
    return Override(
        id=UUID(int=5), service_id=UUID(int=3), environment="production", version=None, reason="asked",
        signed_by=UUID(int=7), created_at=NOW, expires_at=NOW + timedelta(hours=1), withdrawn_at=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("freeze", "signed", "fix", "answer"),
    [
        (True, False, False, "no-go"),
        (True, True, False, "no-go"),
        (True, False, True, "go"),
        (False, False, False, "no-go"),
        (False, True, False, "go"),
    ],
)
def test_the_gate_names_the_rule_that_stops_it_and_a_freeze_is_not_signed_away(freeze, signed, fix, answer):
    fact = SloFact(
        name="pay · availability", state="ok", remaining=0.12, rules=(BudgetRule(remaining=20, freeze=freeze),)
    )
    facts = Facts(
        service="payments", tier=1, environment="production", version="1", is_rollback=False, is_fix=fix,
        policy=Policy(), slos=(fact,), incidents=(), overrides=(override(),) if signed else (), stale=None,
    )  # fmt: skip
    decision = decide(facts, now=NOW + timedelta(minutes=1))
    assert decision.answer == answer
    if answer == "no-go":
        assert "error budget policy" in decision.summary
        assert "20%" in decision.summary
        assert "12.0% are left" in decision.summary
