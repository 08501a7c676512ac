"""Budgets of time slices, as counts: so every window, chart, replay and report works on them unchanged.

OpenSLO's methods: with *Timeslices* the SLI is good slices over all slices, with *RatioTimeslices* the mean of the
slices' ratios. A slice without events is left out of both: silence is told by lost traffic and by "unmeasured".
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from watchbill.features.slo.model import PARTS, Measure, Slo

Ints = npt.NDArray[np.int64]


def longest(slos: Sequence[Slo], slice_seconds: int) -> int:
    """How many of the evaluator's slices the longest time slice is made of; at least 1."""
    return max(
        (
            slo.measure.slice_seconds // slice_seconds
            for slo in slos
            if slo.measure is not None and slo.measure.method != "occurrences"
        ),
        default=1,
    ) or 1


def slice_row(
    measure: Measure, bad: Ints, total: Ints, measured: Ints, *, first: int, slice_seconds: int
) -> None:
    """Turn one SLO's counts of consecutive slices from number ``first`` into counts of its time slices, in place.

    The count of a time slice stands in the last slice of it; the others are measured and empty. A time slice that is
    not over yet, or whose start is not here, is left unmeasured, and so is one of which any part is.
    """
    per = max(1, measure.slice_seconds // slice_seconds)
    start = -first % per
    whole = (bad.size - start) // per
    inside = slice(start, start + whole * per)
    events = total[inside].reshape(whole, per).sum(axis=1)
    failed = bad[inside].reshape(whole, per).sum(axis=1)
    known = measured[inside].reshape(whole, per).min(axis=1, initial=1)
    if measure.method == "timeslices":
        share = 1 - Fraction(measure.slice_target or 100) / 100
        # bad / events > p / q, in integers
        over = failed * share.denominator > share.numerator * events
        events, failed = (events > 0).astype(np.int64), (over & (events > 0)).astype(np.int64)
    else:
        failed = np.where(events > 0, (failed * PARTS + events // 2) // np.maximum(events, 1), 0)
        events = np.where(events > 0, PARTS, 0)
    bad[:], total[:] = 0, 0
    measured[:start], measured[start + whole * per :] = 0, 0
    measured[inside] = np.repeat(known, per)
    ends = np.arange(whole) * per + start + per - 1
    bad[ends], total[ends] = np.where(known, failed, 0), np.where(known, events, 0)
