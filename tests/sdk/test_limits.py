"""The limit algorithms against values worked out by hand from their formulas, and against what must always hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill_sdk import AIMD, ConfigError, Fixed, Gradient2, Limiter, Overloaded, Priority, Vegas
from watchbill_sdk.limiter import SHARES, admits
from watchbill_sdk.limits import Algorithm, Probing, Sample
from watchbill_sdk.throttles import reject_probability

samples = st.builds(
    Sample,
    rtt=st.floats(1e-6, 60),
    inflight=st.integers(0, 500),
    dropped=st.booleans(),
    rate=st.floats(0, 1e5),
    shed=st.floats(0, 1),
)


def test_gradient2_grows_by_a_fifth_of_the_queue_while_latency_is_steady() -> None:
    """20·0.8 + 0.2·(20·1 + 4) = 20.8, then 20.8·0.8 + 0.2·(20.8 + 4) = 21.6."""
    first = Gradient2().step(Sample(0.1, 20))
    assert first.estimate == pytest.approx(20.8)
    assert first.step(Sample(0.1, 20)).estimate == pytest.approx(21.6)


def test_gradient2_shrinks_by_the_ratio_of_slow_to_fast_average() -> None:
    """Eleventh sample of 0.4 after ten of 0.1: long (0.1·599 + 0.4·2)/601 = 0.100998; max(½, 1.5·long/0.4) = ½.
    with 0.2: long = 0.1003328, gradient = 0.752496, 100·0.8 + 0.2·(75.2496 + 4) = 95.8499."""
    ten = Gradient2(estimate=100.0, long_rtt=0.1, samples=10)
    assert ten.step(Sample(0.4, 100)).estimate == pytest.approx(100 * 0.8 + 0.2 * (50 + 4))
    step = ten.step(Sample(0.2, 100))
    assert step.long_rtt == pytest.approx(0.1003327787)
    assert step.estimate == pytest.approx(95.8499168)


def test_gradient2_forgets_a_slow_past_by_a_twentieth_a_step() -> None:
    """long/short > 2: long 1.0 becomes (1.0·599 + 0.1·2)/601·0.95 = 0.9471547; the gradient stays at its most, 1."""
    step = Gradient2(estimate=50.0, long_rtt=1.0, samples=10).step(Sample(0.1, 50))
    assert step.long_rtt == pytest.approx(0.95 * (599 + 0.2) / 601)
    assert step.estimate == pytest.approx(50.8)


def test_gradient2_learns_nothing_from_half_empty_windows_but_the_latency() -> None:
    step = Gradient2(estimate=100.0).step(Sample(0.1, 49))
    assert step.estimate == 100.0
    assert step.long_rtt == 0.1


def test_vegas_by_its_queue() -> None:
    """limit 100, l = 2, rtt₀ 0.1, queue = ⌈100(1 − 0.1/rtt)⌉.

    rtt 0.1: queue 0, +12; 0.1031: 4, +2; 0.1087: 8, nothing; 0.2: 50, −2.
    """
    vegas = Vegas(estimate=100.0, rtt_noload=0.1)
    assert vegas.step(Sample(0.1, 100)).estimate == 112
    assert vegas.step(Sample(0.1031, 100)).estimate == 102
    assert vegas.step(Sample(0.1087, 100)).estimate == 100
    assert vegas.step(Sample(0.2, 100)).estimate == 98
    assert vegas.step(Sample(0.1, 100, dropped=True)).estimate == 98
    assert vegas.step(Sample(0.1, 49)).estimate == 100


def test_vegas_takes_its_best_latency_anew_after_thirty_limits_of_samples() -> None:
    """0.75·30·20 = 450 samples."""
    vegas = Vegas(rtt_noload=0.001, since_probe=448)
    assert vegas.step(Sample(0.5, 20)).rtt_noload == 0.001
    probed = Vegas(rtt_noload=0.001, since_probe=449).step(Sample(0.5, 20))
    assert (probed.rtt_noload, probed.since_probe) == (0.5, 0)
    assert 0.5 <= probed.jitter <= 1


def test_aimd_adds_one_and_takes_a_tenth() -> None:
    assert AIMD(limit=50).step(Sample(0.1, 25)).limit == 51
    assert AIMD(limit=50).step(Sample(0.1, 24)).limit == 50
    assert AIMD(limit=50).step(Sample(0.1, 50, dropped=True)).limit == 45
    assert AIMD(limit=50).step(Sample(5.1, 50)).limit == 45
    assert AIMD(limit=20).step(Sample(0.1, 20, dropped=True)).limit == 20


def overloaded(limit: int, rate: float) -> Sample:
    return Sample(limit / rate, limit, rate=rate, shed=0.6)


def tried(probing: Probing, rate: Callable[[int], float], windows: int) -> tuple[Probing, list[int]]:
    """What a server does whose throughput at a limit is ``rate``; the limits of the windows."""
    limits = []
    for _ in range(windows):
        limits.append(probing.limit)
        probing = probing.step(overloaded(probing.limit, rate(probing.limit)))
    return probing, limits


def test_probing_takes_the_half_that_gets_as_much_done_as_the_new_limit_and_its_latency_as_normal() -> None:
    """Gradient2 goes from 20 to 17 in three windows; then 8 are tried for two. All that time 70/s: nine only waited."""
    start = Probing(Gradient2(estimate=20.0, long_rtt=0.1, samples=10))
    probing, limits = tried(start, lambda _: 70.0, 5)
    assert (limits[0], limits[3:]) == (20, [8, 8])
    assert (probing.trial, probing.gradient.samples) == ("", 10)
    assert probing.gradient.long_rtt == pytest.approx(8 / 70)
    assert probing.limit == 8


def test_probing_tries_twice_as_many_where_half_as_many_get_half_as_much_done() -> None:
    """No queue: throughput is 20 a second for each that may run, up to 80 at once."""
    start = Probing(Gradient2(estimate=20.0, long_rtt=0.05, samples=10))
    _, limits = tried(start, lambda limit: 20.0 * min(limit, 80), 20)
    assert max(limits) >= 80
    assert limits[3] < limits[2] < limits[7]


@pytest.mark.parametrize("seconds", [0.014, 0.05])
def test_probing_started_under_overload_ends_the_queue_within_a_minute_and_keeps_it_short_for_an_hour(
    seconds: float,
) -> None:
    """Gradient2 alone takes the queue it finds for normal, and fills it up to its most."""
    probing, gradient = Probing(), Gradient2()
    for second in range(3600):
        if second > 60:
            assert probing.limit <= 14
        probing = probing.step(overloaded(probing.limit, 1 / seconds))
        gradient = gradient.step(overloaded(gradient.limit, 1 / seconds))
    assert gradient.limit == 200


def test_probing_tries_nothing_while_bursts_are_shed() -> None:
    probing = Probing(Gradient2(estimate=20.0, long_rtt=0.1, samples=10))
    for _ in range(50):
        probing = probing.step(Sample(0.1, 20, rate=70.0, shed=0.1))
        assert probing.trial == ""


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([Gradient2(), Probing(), Vegas(), AIMD(), Fixed(7)]), st.lists(samples, max_size=60))
def test_no_algorithm_ever_leaves_its_bounds_or_stops_letting_one_through(
    algorithm: Algorithm, seen: list[Sample]
) -> None:
    for sample in seen:
        algorithm = algorithm.step(sample)
        assert 1 <= algorithm.limit <= 1000


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 300))
def test_whenever_a_lesser_priority_is_admitted_every_greater_one_would_be(limit: int, inflight: int) -> None:
    admitted = [admits(limit=limit, inflight=inflight, part=SHARES[priority]) for priority in Priority]
    assert admitted == sorted(admitted, reverse=True)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_throttle_never_acts_while_half_is_accepted(requests: float, accepts: float) -> None:
    chance = reject_probability(requests=requests, accepts=accepts)
    assert 0 <= chance < 1
    if requests <= 2 * accepts:
        assert chance == 0


def test_the_throttle_formula() -> None:
    """(100 − 2·10)/101."""
    assert reject_probability(requests=100, accepts=10) == pytest.approx(80 / 101)


def test_a_limiter_sheds_the_least_important_first_and_says_when_to_come_back() -> None:
    limiter = Limiter("shed-order", Fixed(10))
    held = [limiter.begin(Priority.CRITICAL) for _ in range(5)]
    with pytest.raises(Overloaded, match="best_effort") as refused:
        limiter.begin(Priority.BEST_EFFORT)
    assert refused.value.retry_after == 1.0
    held += [limiter.begin(Priority.LOW) for _ in range(2)]
    with pytest.raises(Overloaded):
        limiter.begin(Priority.LOW)
    held += [limiter.begin(Priority.CRITICAL) for _ in range(3)]
    with pytest.raises(Overloaded):
        limiter.begin(Priority.CRITICAL)
    for each in held:
        limiter.end(each, None)
    assert limiter.inflight == 0


def test_a_limiter_learns_from_windows_of_good_calls_only() -> None:
    now = [0.0]
    limiter = Limiter("window", Gradient2(), window=1, clock=lambda: now[0])

    def ten(seconds: float, error: Exception | None) -> None:
        held = [limiter.begin(Priority.CRITICAL) for _ in range(15)]
        now[0] += seconds
        for each in held:
            limiter.end(each, error)

    ten(0.5, None)
    assert limiter.limit == 20, "the window is not over"
    ten(0.6, None)
    assert limiter._algorithm.step(Sample(0.5, 1)).samples == 2  # type: ignore[attr-defined]  # one step was taken
    before = limiter._algorithm
    ten(5.0, ValueError())
    assert limiter._algorithm is before


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gradient2(estimate=float("nan")),
        lambda: Gradient2(least=0),
        lambda: Gradient2(smoothing=0),
        lambda: Probing(every=0),
        lambda: Vegas(estimate=2000),
        lambda: AIMD(backoff=1.0),
        lambda: AIMD(timeout=float("nan")),
        lambda: Fixed(0),
        lambda: Limiter("x", window=0),
        lambda: Limiter("x", shares={Priority.CRITICAL: 1.0}),
    ],
)
def test_a_limit_that_cannot_work_is_refused_when_it_is_made(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]  # the parameters are callables
