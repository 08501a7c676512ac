"""A watched ramp: enough, go on, or an honest refusal."""

from __future__ import annotations

import pytest

from watchbill.features.capacity import ramps, usl
from watchbill.features.telemetry import LoadStep

LAW = (0.03, 2e-4, 50.0)


def seen(loads: list[float], *, law: tuple[float, float, float] = LAW, failed: float = 0.0) -> list[LoadStep]:
    """Steps of 10 s on two instances at these loads of each, by the law."""
    made = []
    for number, load in enumerate(loads):
        rate = usl.throughput(*law, load)
        made.append(
            LoadStep(
                number=number, requests=2 * rate * 10, busy_seconds=2 * load * 10, p95_ms=1500 * load / rate,
                failed=failed * 2 * rate * 10, instances=2,
            )
        )  # fmt: skip
    return made


def steps(loads: list[float], **given: object) -> list[ramps.RampStep]:
    return ramps.steps_of(seen(loads, **given), step_seconds=10, replicas=None)  # type: ignore[arg-type]  # by name


def test_a_step_is_requests_at_once_and_done_for_each_replica() -> None:
    first, last = steps([1, 40])
    assert (first.load, first.throughput, first.efficiency) == (1, pytest.approx(50), 1)
    assert last.load == pytest.approx(40)
    assert last.mean_ms == pytest.approx(1000 * last.load / last.throughput)
    assert last.efficiency < 0.5


def test_with_few_loads_it_goes_on_and_is_refused_when_its_time_is_up() -> None:
    few = steps([1, 2, 4])
    assert ramps.judge(few, latency_ms=None, over=False).state == "watching"
    ended = ramps.judge(few, latency_ms=None, over=True)
    assert (ended.state, ended.fit) == ("refused", None)
    assert "3 of at least 6 loads" in ended.reason


def test_it_is_enough_once_throughput_is_past_its_peak() -> None:
    loads = [1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    assert ramps.judge(steps(loads[:6]), latency_ms=None, over=False).state == "watching"
    made = ramps.judge(steps(loads), latency_ms=None, over=False)
    assert made.state == "fitted"
    assert made.fit is not None
    assert (made.fit.alpha, made.fit.beta) == (pytest.approx(LAW[0], rel=1e-3), pytest.approx(LAW[1], rel=1e-3))
    assert made.capacity == pytest.approx(made.fit.peak_throughput)


def test_latency_that_was_passed_is_enough_and_the_capacity_is_that_within_it() -> None:
    made = ramps.judge(steps([1, 3, 6, 9, 12, 16, 20]), latency_ms=20, over=False)
    assert made.state in {"fitted", "watching"}
    ended = ramps.judge(steps([1, 3, 6, 9, 12, 16, 20]), latency_ms=25, over=True)
    assert ended.state == "fitted"
    assert "within 25 ms" in ended.reason


def test_a_ramp_that_never_saturates_is_refused() -> None:
    linear = (0.0, 0.0, 50.0)
    ended = ramps.judge(steps([1, 2, 3, 4, 5, 6, 7], law=linear), latency_ms=None, over=True)
    assert (ended.state, ended.capacity) == ("refused", None)
    assert "never saturates" in ended.reason


def test_steps_that_fail_are_no_points_and_end_it() -> None:
    good, bad = steps([1, 2, 4]), steps([8, 16, 32], failed=0.4)
    ended = ramps.judge([*good, *bad], latency_ms=None, over=False)
    assert ended.state == "refused"
    assert "40% of the requests fail" in ended.reason
    assert len(ended.points) == 3


def test_an_alert_of_the_service_ends_it_and_what_was_seen_is_fitted() -> None:
    loads = [1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0]
    assert ramps.judge(steps(loads[:3]), latency_ms=None, over=False).state == "watching"
    ended = ramps.judge(steps(loads[:3]), latency_ms=None, over=False, alarm="an alert came: checkout burns")
    assert ended.state == "refused"
    assert ended.reason.startswith("an alert came: checkout burns; 3 of at least 6 loads")
    assert ramps.judge(steps(loads), latency_ms=None, over=False, alarm="an alert came: x").state == "fitted"


def test_silence_says_that_nothing_was_seen() -> None:
    ended = ramps.judge([], latency_ms=None, over=True)
    assert ended.state == "refused"
    assert "nothing was seen" in ended.reason
