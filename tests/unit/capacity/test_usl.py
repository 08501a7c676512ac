"""The Universal Scalability Law: golden fits, its inverse, and what it refuses to say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.capacity import usl
from watchbill.kernel.errors import Invalid

SPECSDM91 = [(1, 64.9), (18, 995.9), (36, 1652.4), (72, 1853.2), (108, 1828.9), (144, 1775.0), (216, 1702.2)]
RAYTRACER = [(1, 20), (4, 78), (8, 130), (12, 170), (16, 190), (20, 200)]


@pytest.fixture(scope="module")
def specsdm91() -> usl.Fit:
    return usl.fit(SPECSDM91)


def test_specsdm91_is_fitted_as_published(specsdm91: usl.Fit) -> None:
    assert specsdm91.alpha == pytest.approx(0.02773, abs=5e-5)
    assert specsdm91.beta == pytest.approx(1.044e-4, abs=5e-7)
    assert specsdm91.gamma == pytest.approx(90.00, abs=0.01)
    assert specsdm91.peak_load == pytest.approx(96.5, abs=0.1)
    assert specsdm91.peak_throughput == pytest.approx(1884, abs=1)
    assert specsdm91.peak_throughput_interval is not None
    assert specsdm91.peak_throughput_interval.low < 1884 < (specsdm91.peak_throughput_interval.high or 0)


def test_raytracer_is_fitted_as_published_and_its_contention_is_not_told_from_none() -> None:
    found = usl.fit(RAYTRACER)
    assert found.alpha == pytest.approx(0.02444, abs=5e-5)
    assert found.beta == pytest.approx(0.00163, abs=5e-6)
    assert found.gamma == pytest.approx(20.856, abs=2e-3)
    assert found.alpha_interval.low == 0
    assert any("includes 0" in note for note in found.notes)


@settings(max_examples=50)
@given(
    st.floats(0.0, 0.3), st.floats(1e-5, 0.01), st.floats(1.0, 1e4), st.floats(0.02, 1.0)
)
def test_the_inverse_is_the_smaller_load_with_that_throughput(
    alpha: float, beta: float, gamma: float, share: float
) -> None:
    top = usl.peak_load(alpha, beta)
    assert top is not None
    made = _made(alpha, beta, gamma, tested=top)
    wanted = max(share * top, 1.0)
    x = usl.throughput(alpha, beta, gamma, wanted)
    found = usl.load_for(made, min(x, made.peak_throughput or x))
    assert usl.throughput(alpha, beta, gamma, found) == pytest.approx(x, rel=1e-6)
    assert found <= top * (1 + 1e-6)


def test_the_inverse_at_11048_of_cisco_is_not_the_wrong_one_of_a_known_library() -> None:
    made = _made(0.02671591, 7.690945e-4, 995.6486, tested=32)
    assert usl.load_for(made, 11048) == pytest.approx(19.92, abs=0.02)


@settings(max_examples=50)
@given(st.floats(0.001, 0.3), st.floats(1e-5, 0.01), st.floats(1.1, 20))
def test_at_the_capacity_for_a_latency_requests_take_just_that_long(alpha: float, beta: float, times: float) -> None:
    gamma = 100.0
    top = usl.peak_load(alpha, beta)
    assert top is not None
    made = _made(alpha, beta, gamma, tested=top)
    limit = times / gamma
    x = usl.capacity_at_latency(made, limit)
    assert x <= (made.peak_throughput or 0) * (1 + 1e-9)
    n = usl.load_for(made, x * (1 - 1e-12))
    assert n / x <= limit * (1 + 1e-4)


def test_nothing_is_said_beyond_one_and_a_half_times_the_tested_load(specsdm91: usl.Fit) -> None:
    assert usl.throughput_at(specsdm91, 324) > 0
    with pytest.raises(Invalid, match="beyond"):
        usl.throughput_at(specsdm91, 325)


def test_a_load_test_that_never_saturates_gives_no_peak_but_what_was_seen() -> None:
    found = usl.fit([(n, 50 * n - 0.1 * n) for n in (1, 2, 4, 8, 16, 32)])
    assert found.peak_load is None
    assert found.refused is not None
    assert "never saturates" in found.refused
    with pytest.raises(Invalid) as refused:
        usl.capacity_at_latency(found)
    assert refused.value.problem.code == "load_test_unsaturated"


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([(1, 2), (2, 3), (3, 4), (4, 4), (5, 4)], "too few"),
        ([(1, 2)] * 20, "too few"),
        ([(n, 7.0) for n in range(1, 9)], "same throughput"),
        ([(-1, 2), *((n, 2.0 * n) for n in range(1, 8))], "point 1"),
        ([*((n, 2.0 * n) for n in range(1, 8)), (9, float("nan"))], "point 8"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused_with_the_reason(points: list[tuple[float, float]], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        usl.fit(points)


def test_one_request_alone_slower_than_the_limit_is_said(specsdm91: usl.Fit) -> None:
    with pytest.raises(Invalid, match="alone"):
        usl.capacity_at_latency(specsdm91, 0.001)


def _made(alpha: float, beta: float, gamma: float, *, tested: float) -> usl.Fit:
    top = usl.peak_load(alpha, beta)
    none = usl.Interval(low=0, high=None)
    return usl.Fit(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        alpha_interval=none,
        beta_interval=none,
        gamma_interval=none,
        r_squared=1,
        points=9,
        tested_load=tested,
        tested_throughput=1,
        peak_load=top,
        peak_throughput=None if top is None else usl.throughput(alpha, beta, gamma, top),
    )
