"""Fan-out from traces, with an interval and a warning where it changes with load."""

from __future__ import annotations

import random

import pytest

from watchbill.features.capacity import fanout
from watchbill.features.telemetry import TraceCalls


def traces(count: int, *, cached_under_load: bool = False) -> list[TraceCalls]:
    draw = random.Random(3)
    found = []
    for _ in range(count):
        load = draw.choice([10.0, 100.0])
        calls = 1 if cached_under_load and load > 50 else draw.choice([2, 3, 4])
        found.append(
            TraceCalls(weight=1.0, load=load, calls={"shop": 1, "stock": calls}, busy_ms={"shop": 30, "stock": 12})
        )
    return found


def test_the_mean_of_calls_has_an_interval_around_it() -> None:
    shop, stock = fanout.estimate(traces(400))
    assert (shop.component, shop.mean, shop.low, shop.high) == ("shop", 1, 1, 1)
    assert stock.low < 3 < stock.high
    assert stock.mean == pytest.approx(3, abs=0.15)
    assert stock.busy_ms == pytest.approx(12)
    assert not stock.depends_on_load


def test_calls_that_a_cache_saves_under_load_are_warned_of() -> None:
    shop, stock = fanout.estimate(traces(400, cached_under_load=True))
    assert stock.depends_on_load
    assert not shop.depends_on_load


def test_a_sampled_trace_counts_for_those_it_stands_for() -> None:
    heavy = [TraceCalls(weight=9.0, load=1, calls={"a": 2}, busy_ms={})] * 20
    light = [TraceCalls(weight=1.0, load=1, calls={"a": 0}, busy_ms={})] * 20
    assert fanout.estimate([*heavy, *light])[0].mean == pytest.approx(1.8)


def test_under_thirty_traces_say_nothing() -> None:
    assert fanout.estimate(traces(29)) == []
