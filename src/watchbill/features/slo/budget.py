"""Arithmetic of one error budget: exact, on integers and fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from watchbill.features.slo.model import Budget


def budget(*, bad: int, total: int, share: Fraction) -> Budget:
    """The error budget of a window, exact. Without events nothing is spent."""
    allowed = share * total
    spent = Fraction(bad) / allowed if total else Fraction(0)
    return Budget(bad=bad, total=total, allowed=allowed, spent=spent, remaining=1 - spent)


def period_budget(
    *, bad: int, total: int, share: Fraction, elapsed: Fraction, whole: int | None = None
) -> tuple[Budget, Fraction]:
    """The budget of a calendar's period that is not over, and what of the whole period's remains if traffic goes on.

    How many events the whole period will have is not known before its end, so what is spent is told of the events so
    far. Time slices are known: ``whole`` is how many there will be, and the budget is told of them.

    Args:
        elapsed: the share of the period that has passed, in (0, 1].
    """
    if whole is not None:
        known = budget(bad=bad, total=max(whole, total), share=share)
        return known, known.remaining
    so_far = budget(bad=bad, total=total, share=share)
    return so_far, 1 - so_far.spent * elapsed


def as_decimal(value: Fraction, *, places: int = 6) -> Decimal:
    """A fraction for people and for the database, rounded half to even to ``places``."""
    return Decimal(round(value * 10**places)).scaleb(-places)


def seconds_to_exhaustion(*, remaining: Fraction, burn: float, window_seconds: int) -> float | None:
    """R·W/burn: from what *remains*, not from the whole. 0 when nothing remains, None when nothing burns."""
    if remaining <= 0:
        return 0.0
    if not burn > 0:
        return None
    return float(remaining) * window_seconds / burn


def seconds_to_reset(*, short_seconds: float, threshold: float, error_ratio: float) -> float:
    """How long the short window stays over once failures stop, at constant traffic: S·(1 − f·b/e)."""
    if error_ratio <= threshold:
        return 0.0
    return short_seconds * (1 - threshold / error_ratio)
