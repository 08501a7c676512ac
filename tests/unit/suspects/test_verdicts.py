"""Verdicts in words with numbers; looking every minute keeps its promise about false alarms."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.suspects.model import Point
from watchbill.features.suspects.sequential import Slice, compare, compare_means
from watchbill.features.suspects.verdict import judge_before_after, judge_samples, judge_versions

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def points(version: str, bad_share: float, *, minutes: int = 20, total: int = 200, seed: int = 1) -> list[Point]:
    random = np.random.default_rng(seed)
    return [
        Point(
            at=START + timedelta(minutes=minute),
            version=version,
            total=total,
            bad=int(random.binomial(total, bad_share)),
            slow=int(random.binomial(total, 0.05)),
            p50_ms=float(random.normal(20, 1)),
        )
        for minute in range(minutes)
    ]


def test_looking_every_minute_raises_few_false_alarms_between_equal_versions() -> None:
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        totals = random.integers(1, 300, size=(30, 2))
        bad = random.binomial(totals, random.choice([0.002, 0.02, 0.2]))
        slices = [
            Slice(canary_total=float(t[0]), canary_bad=float(b[0]), control_total=float(t[1]), control_bad=float(b[1]))
            for t, b in zip(totals, bad, strict=True)
        ]
        alarms += compare(slices).highest >= 20
    assert alarms <= 10  # 5% of 200; the measured rate is far below


def test_bursts_that_meet_one_version_by_chance_are_no_difference_and_a_steady_one_still_is() -> None:
    """Failures of equal versions that come in bursts; without regard to that 20 of 100 pairs are called different."""
    random = np.random.default_rng(11)

    def minutes(worse: float) -> list[Slice]:
        rates = np.minimum(0.9, 0.02 * random.gamma(1.5, 1 / 1.5, size=(40, 2)) * [worse, 1.0])
        bad = random.binomial(400, rates)
        return [
            Slice(canary_total=400, canary_bad=float(one[0]), control_total=400, control_bad=float(one[1]))
            for one in bad
        ]

    equal, worse = ([compare(minutes(times)) for _ in range(60)] for times in (1.0, 6.0))
    assert sum(each.highest >= 40 and each.ratio >= 1.5 for each in equal) <= 3
    assert sum(each.highest >= 40 for each in worse) >= 57
    assert all(each.unsteady > 2 for each in equal)


@given(st.floats(1.1, 8.0), st.integers(20, 2000), st.integers(20, 2000))
@settings(max_examples=50)
def test_a_shared_bad_share_is_never_evidence_however_traffic_is_split(scale: float, canary: int, control: int) -> None:
    exact = Slice(
        canary_total=canary * scale, canary_bad=canary * scale * 0.01, control_total=control, control_bad=control * 0.01
    )
    assert compare([exact] * 10).e_value <= 1.0


def test_a_worse_canary_is_said_with_its_numbers() -> None:
    verdict = judge_versions([*points("v2", 0.3), *points("v1", 0.01, seed=2)], canary="v2", control="v1")
    assert verdict.answer == "worse"
    assert verdict.confidence > 0.99
    assert verdict.words.startswith("v2 is worse than v1: 29% failed against 0.83%, 34.9 times")
    assert "4000 against 4000 requests, at the same time" in verdict.words
    assert verdict.judge is not None
    assert verdict.judge.groups["errors"] == 0.0


def test_equal_versions_are_no_worse() -> None:
    verdict = judge_versions([*points("v2", 0.01), *points("v1", 0.01, seed=2)], canary="v2", control="v1")
    assert verdict.answer == "no worse"


def test_a_significant_but_tiny_difference_is_not_worse() -> None:
    many = {"total": 50_000}
    found = judge_versions(
        [*points("v2", 0.0024, **many), *points("v1", 0.001, seed=2, **many)], canary="v2", control="v1"
    )
    assert found.measures[0].significant
    assert found.answer != "worse"


def test_without_a_control_before_and_after_are_compared() -> None:
    before = points("v1", 0.01, minutes=60)
    after = points("v2", 0.4, minutes=3, seed=2)
    verdict = judge_before_after(before, after, canary="v2", control="v1")
    assert verdict.answer == "worse"
    assert "before and after" in verdict.words


def test_an_after_longer_than_the_before_is_compared_too() -> None:
    verdict = judge_before_after(points("v1", 0.01, minutes=3), points("v2", 0.4, minutes=9), canary="v2", control="v1")
    assert verdict.answer == "worse"
    assert "1800 against 600 requests" in verdict.words


def test_a_few_requests_are_not_enough_data() -> None:
    few = [*points("v2", 0.9, minutes=1, total=10), *points("v1", 0.0, minutes=1, total=10)]
    assert judge_versions(few, canary="v2", control="v1").answer == "not enough data"
    assert judge_versions([], canary="v2", control="v1").answer == "not enough data"


def test_pushed_samples_are_judged_by_their_means() -> None:
    random = np.random.default_rng(3)
    control, worse = random.normal(100, 5, 60), random.normal(200, 5, 60)
    assert judge_samples(list(worse), list(control), canary="b", control="a").answer == "worse"
    assert judge_samples(list(control), list(control[::-1]), canary="b", control="a").answer == "no worse"
    assert judge_samples([1.0], [2.0], canary="b", control="a").answer == "not enough data"


def test_the_interval_of_means_is_open_until_there_are_five_pairs_and_then_narrows() -> None:
    random = np.random.default_rng(3)
    values = list(random.normal(0, 1, 200))
    assert math.isinf(compare_means(values[:4], [0.0] * 4).high)
    wide, narrow = compare_means(values[:10], [0.0] * 10), compare_means(values, [0.0] * 200)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow.low < 0 < narrow.high
