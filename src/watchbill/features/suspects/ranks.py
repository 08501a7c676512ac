"""The Wilcoxon–Mann–Whitney comparison of two samples: a confidence interval for the shift between them.

Source: the large-sample interval of R's ``wilcox.test`` (normal approximation, ties and continuity corrected), which
Kayenta's judge uses as well. The statistic is a step function of the shift that changes only at differences of pairs,
so the interval's ends are found among those differences instead of by a root finder with a tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """``experiment − control``: the Hodges–Lehmann estimate, and the interval that covers it with ``confidence``."""

    estimate: float
    low: float
    high: float
    confidence: float


def shift_between(experiment: Sequence[float], control: Sequence[float], *, confidence: float) -> Shift:
    """How far ``experiment`` lies above ``control``, in the samples' own unit.

    Raises:
        ValueError: one of them is empty.
    """
    import numpy as np

    x, y = np.asarray(experiment, dtype=float), np.asarray(control, dtype=float)
    if x.size == 0 or y.size == 0:
        raise ValueError("two samples are needed")
    quantile = NormalDist().inv_cdf((1 - confidence) / 2)
    differences = np.unique(np.subtract.outer(x, y).ravel())
    return Shift(
        estimate=_crossing(x, y, differences, 0.0),
        low=_crossing(x, y, differences, -quantile),
        high=_crossing(x, y, differences, quantile),
        confidence=confidence,
    )


def _crossing(x: Numbers, y: Numbers, differences: Numbers, level: float) -> float:
    """The shift at which the falling standardised statistic passes ``level``; the middle where it stays on it."""
    first, last = 0, len(differences) - 1
    if _standardised(x, y, float(differences[first])) <= level:
        return float(differences[first])
    if _standardised(x, y, float(differences[last])) >= level:
        return float(differences[last])
    while last - first > 1:
        middle = (first + last) // 2
        if _standardised(x, y, float(differences[middle])) > level:
            first = middle
        else:
            last = middle
    between = (float(differences[first]) + float(differences[last])) / 2
    above = _standardised(x, y, between) > level
    return float(differences[last]) if above else float(differences[first])


def _standardised(x: Numbers, y: Numbers, shift: float) -> float:
    import numpy as np

    n, m = len(x), len(y)
    moved = np.concatenate([x - shift, y])
    # Ties that a subtraction has parted by its last bits are ties.
    together: Any = np.round(moved / (float(np.abs(moved).max()) or 1.0), 12)
    _, position, counts = np.unique(together, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[position]
    statistic = float(ranks[:n].sum()) - n * (n + 1) / 2 - n * m / 2
    ties = float((counts.astype(float) ** 3 - counts).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * ((n + m + 1) - ties)
    if variance <= 0:
        return 0.0  # all are tied at this shift: it is the shift
    correction = 0.5 * float(np.sign(statistic))
    return float((statistic - correction) / variance**0.5)
