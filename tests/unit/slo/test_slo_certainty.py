"""A few failures wake nobody unless they are more than chance: the bound against an exact reference."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.slo import certainty


def exact_tail(bad: int, total: int, share: Fraction) -> Fraction:
    """P(X ≥ bad), term by term with Python's integers."""
    return sum((comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(bad, total + 1)), Fraction(0))


def enough(bad: int, total: int, threshold: float) -> bool:
    return bool(certainty.enough(np.array([bad]), np.array([total]), np.array([threshold]))[0])


@given(st.integers(1, 200), st.integers(0, 200), st.fractions("1/5000", "9/10", max_denominator=5000))
def test_the_bound_is_above_the_limit_exactly_when_the_tail_says_so(total: int, bad: int, share: Fraction) -> None:
    bad = min(bad, total)
    exact = exact_tail(bad, total, share)
    assert certainty.tail(bad, total, float(share)) == pytest.approx(float(exact), rel=1e-9, abs=1e-15)
    if abs(exact - Fraction(1, 20)) > Fraction(1, 10**9):
        sure = certainty.sure(np.array([bad]), np.array([total]), np.array([float(share)]))[0]
        assert sure == (exact < Fraction(1, 20) and bad > share * total)


@pytest.mark.parametrize(
    ("bad", "total", "threshold", "pages"),
    [
        (1, 10, 0.0144, False),
        (2, 10, 0.0144, True),
        (1, 5, 0.144, False),
        (5, 5, 0.144, True),
        (1, 1, 0.0144, False),
        (2, 60, 0.0144, False),
        (4, 60, 0.0144, True),
        (520, 36_000, 0.0144, True),
        (0, 0, 0.0144, False),
    ],
)
def test_how_many_failures_wake_somebody(bad: int, total: int, threshold: float, pages: bool) -> None:
    """slo.low_traffic: at 99.9 % and 99 %; where the limit stands for forty failures the ratio alone decides."""
    assert enough(bad, total, threshold) is pages
