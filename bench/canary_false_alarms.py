"""How often two equal versions are called different, looked at again and again: ours, and Kayenta's rule alone.

Once with failures that come one by one, once in bursts that meet either version by itself: minute by minute its failure
rate is multiplied by a gamma of mean 1 and a standard deviation of 0.6. The peer is what Kayenta's rule does when it is
asked as often, with its default effect size.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from bench.results import Result
from watchbill.features.suspects.kayenta import MetricRule, classify
from watchbill.features.suspects.model import Point
from watchbill.features.suspects.verdict import judge_versions

NAMES = ("canary_false_alarms_bursts",)
RUNS = 200
MINUTES = 60
LOOKS = range(5, MINUTES + 1, 5)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BURSTS = 0.6


def run() -> list[Result]:
    """Traffic of 20 to 2,000 requests a minute, bad shares from 0.1% to 20%, splits from 5% to 50%."""
    return [_measure("canary_false_alarms", 0.0), _measure("canary_false_alarms_bursts", BURSTS)]


def _measure(name: str, bursts: float) -> Result:
    random = np.random.default_rng(20261124)
    ours = theirs = 0
    for _ in range(RUNS):
        points = _rollout(random, bursts)
        # What is said at any minute is said: the evidence at the end remembers its highest.
        verdict = judge_versions(points, canary="canary", control="control", slow_ms=300.0)
        looks = (
            judge_versions(points[: 2 * look], canary="canary", control="control", slow_ms=300.0) for look in LOOKS
        )
        ours += verdict.answer == "worse" or any(each.answer == "worse" for each in looks)
        shares = {
            version: [point.bad / point.total if point.total else 0.0 for point in points if point.version == version]
            for version in ("canary", "control")
        }
        rule = MetricRule(direction="increase")
        theirs += any(
            classify(shares["control"][:look], shares["canary"][:look], rule).classification == "high" for look in LOOKS
        )
    return Result(
        name=name,
        value=round(ours / RUNS, 4),
        unit="of equal pairs called worse" + (", failures in bursts" if bursts else ""),
        better="lower",
        peer="Kayenta's rule, asked every five minutes",
        peer_value=round(theirs / RUNS, 4),
        ratio=round(ours / max(theirs, 1), 3),
        limit="5% over a rollout",
        limit_value=0.05,
    )


def _rollout(random: np.random.Generator, bursts: float) -> list[Point]:
    bad = float(random.choice([0.001, 0.01, 0.05, 0.2]))
    rate, split = int(random.integers(20, 2000)), float(random.uniform(0.05, 0.5))
    points = []
    for minute in range(MINUTES):
        for version, share in (("canary", split), ("control", 1 - split)):
            total = int(random.poisson(rate * share))
            burst = float(random.gamma(1 / bursts**2, bursts**2)) if bursts else 1.0
            failed, slow = int(random.binomial(total, min(0.9, bad * burst))), int(random.binomial(total, 0.05))
            at = START + timedelta(minutes=minute)
            points.append(Point(at=at, version=version, total=total, bad=failed, slow=slow))
    return points
