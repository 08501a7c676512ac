"""Whether so few events are enough to wake somebody: a Clopper-Pearson bound on the share that failed.

The one-sided lower bound of a binomial proportion at 95 % lies above a threshold exactly when that threshold would give
so many failures with a probability under 5 %: P(X ≥ k | n, threshold) < 0.05 (Clopper and Pearson, 1934). A pair of
windows is tested again every minute, which inflates the 5 %; `bench/low_traffic.py` measures by how much
(docs/decisions/0016).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ALPHA = 0.05
MIN_BAD = 2
"""One failure at three in the morning is a ticket, however high the ratio."""
FEW = 40
"""Where a limit is reached only by so many failures, the ratio speaks for itself and the bound would only delay it."""
_ENOUGH = 1e-15


def enough(bad: Ints, total: Ints, threshold: Floats) -> npt.NDArray[np.bool_]:
    """Whether these failures may wake somebody: two at least, and few only with the bound above ``threshold``."""
    found: npt.NDArray[np.bool_] = (bad >= MIN_BAD) & (threshold * total >= FEW)
    unsure = (bad >= MIN_BAD) & ~found
    found[unsure] = sure(bad[unsure], total[unsure], threshold[unsure])
    return found


def sure(bad: Ints, total: Ints, threshold: Floats) -> npt.NDArray[np.bool_]:
    """Whether the lower bound of bad/total is above ``threshold``; arrays of one shape (n,).

    Most are settled by Chernoff's bound, P(X ≥ k) ≤ exp(−n·KL(k/n ‖ threshold)); the rest by the sum of the tail.
    """
    known = (total > 0) & (bad > threshold * total) & (threshold < 1)
    found = np.zeros(bad.shape, bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = bad / np.maximum(total, 1)
        apart = share * np.log(share / threshold)
        apart += np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - threshold)), 0.0)
        certain = known & (total * apart > -math.log(ALPHA))
    found[certain] = True
    for place in np.flatnonzero(known & ~certain):
        found[place] = tail(int(bad[place]), int(total[place]), float(threshold[place])) < ALPHA
    return found


def tail(bad: int, total: int, share: float) -> float:
    """P(X ≥ bad) of a binomial of ``total`` trials with probability ``share``, 0 < share < 1."""
    if bad <= 0:
        return 1.0
    if bad > total:
        return 0.0
    log_term = (
        math.lgamma(total + 1)
        - math.lgamma(bad + 1)
        - math.lgamma(total - bad + 1)
        + bad * math.log(share)
        + (total - bad) * math.log1p(-share)
    )
    term = math.exp(log_term)
    whole, odds = 0.0, share / (1 - share)
    for k in range(bad, total + 1):
        whole += term
        term *= (total - k) / (k + 1) * odds
        if term < _ENOUGH * whole and k > share * total:
            break
    return min(whole, 1.0)
