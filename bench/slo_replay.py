"""Replay a year of minutes for 100 SLOs: which pages and tickets an objective would have raised."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from bench.results import Result
from watchbill.features.slo.objectives import plan_windows
from watchbill.features.slo.replay import Recorded, replay

SLOS = 100
MINUTES = 365 * 1440
WINDOW_SECONDS = 30 * 86_400


def run() -> list[Result]:
    """Traffic with a day and a week, a floor of errors, and a dozen outages and leaks for each SLO."""
    share = Fraction(1, 1000)
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=60)
    chance = np.random.default_rng(4)
    minute = np.arange(MINUTES)
    rate = 300 * (1.2 + np.sin(minute * 2 * np.pi / 1440)) * (1 - 0.4 * ((minute // 1440) % 7 >= 5))
    spent, told = 0.0, 0
    for _ in range(SLOS):
        total = chance.poisson(rate)
        ratio = np.full(MINUTES, 0.0002)
        for _outage in range(12):
            start, length = chance.integers(0, MINUTES - 2000), chance.integers(5, 240)
            ratio[start : start + length] = chance.choice([0.003, 0.01, 0.1, 1.0])
        recorded = Recorded(
            first=29_000_000,
            slice_seconds=60,
            bad=chance.binomial(total, ratio),
            total=total,
            measured=np.ones(MINUTES, bool),
        )
        began = time.perf_counter()
        told += len(replay(recorded, plan=plan, share=share, window_seconds=WINDOW_SECONDS))
        spent += time.perf_counter() - began
    print(f"  {told} alerts told over {SLOS} years of minutes")
    return [
        Result(
            name="slo_replay",
            value=round(spent, 3),
            unit="s for a year of minutes of 100 SLOs",
            better="lower",
            limit="at most 10 s",
            limit_value=10.0,
        )
    ]
