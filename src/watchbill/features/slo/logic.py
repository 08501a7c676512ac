"""Decide the state of every SLO at once. No I/O, no clock: sums over windows and the previous states go in.

A pair of windows is *over* when bad/total exceeds factor × (1 − target) (Google SRE workbook, chapter 5).
In exact arithmetic: bad · q > p · total, for the threshold p/q. It is computed in floating point first, and
what comes within a billionth of the threshold is decided with integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np
import numpy.typing as npt

from watchbill.features.slo import certainty
from watchbill.features.slo.history import BUDGET, FRESH, WINDOWS, Sums
from watchbill.features.slo.model import STATES, Plan, Tier

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

OK, FIRING, RECOVERING, UNMEASURED = range(len(STATES))
NO_TIER, TICKET, PAGE = 0, 1, 2
TIERS: tuple[Tier | None, ...] = (None, "ticket", "page")

PAIRS = 4
MIN_COVERAGE = 0.5
"""Less than half of the slices measured is not enough to say that all is well."""


class Plans(msgspec.Struct, frozen=True):
    """The burn windows of many SLOs as arrays of shape (SLOs, 4); an absent pair has ``is_page`` -1.

    ``unit`` is how many of the counts are one event (None: 1), where a time slice counts as many.
    """

    is_page: Ints
    threshold: Floats
    exact: Sequence[Sequence[Fraction]]
    share: Floats
    shares: Sequence[Fraction]
    unit: Ints | None = None


class Previous(msgspec.Struct, frozen=True):
    """What each SLO's state was: state and tier codes, and whether it fires because its traffic is lost."""

    state: Ints
    tier: Ints
    by_traffic: Bools


class Verdicts(msgspec.Struct, frozen=True):
    """The new states. Arrays of shape (SLOs,) or (SLOs, 4); ``frozen`` means kept for want of data."""

    state: Ints
    tier: Ints
    by_traffic: Bools
    frozen: Bools
    over_short: Bools
    over_long: Bools
    fresh: Bools
    single: Bools


def window_lengths(plan: Plan, *, window_slices: int, fresh_slices: int) -> list[int]:
    """The lengths of the `WINDOWS` windows of one SLO in slices, as `CountHistory.define` takes them."""
    lengths = [0] * WINDOWS
    for pair, window in enumerate(plan.windows):
        lengths[2 * pair], lengths[2 * pair + 1] = window.short_slices, window.long_slices
    lengths[BUDGET] = window_slices
    lengths[FRESH] = max(fresh_slices, lengths[0])
    return lengths


def stack_plans(plans: Sequence[Plan], shares: Sequence[Fraction], units: Sequence[int] | None = None) -> Plans:
    """Many plans as arrays; ``shares`` are the budget shares 1 − target, ``units`` as in `Plans`."""
    is_page = np.full((len(plans), PAIRS), -1, dtype=np.int64)
    threshold = np.full((len(plans), PAIRS), np.inf)
    exact: list[list[Fraction]] = []
    for row, (plan, share) in enumerate(zip(plans, shares, strict=True)):
        exact.append([window.factor * share for window in plan.windows])
        for pair, window in enumerate(plan.windows):
            is_page[row, pair] = window.tier == "page"
            threshold[row, pair] = float(exact[row][pair])
    share_of = np.array([float(share) for share in shares], dtype=np.float64)
    return Plans(
        is_page, threshold, exact, share_of, shares, None if units is None else np.array(units, dtype=np.int64)
    )


def decide(plans: Plans, sums: Sums, previous: Previous, *, lost: Bools, current: int, grace_slices: int) -> Verdicts:
    """The state of every SLO.

    1. *Over*: each window's ratio against its pair's threshold.
    2. A pair fires when both its windows are over. To begin to page it needs two failures, and where traffic is low
       a Clopper-Pearson bound above its threshold (`certainty`); else it is a ticket.
    3. After a fast burn, a slow pair fires only when the newest window burns that fast too: until then its
       windows only remember what was already told (docs/decisions/0010).
    4. Freeze: what fires stops only when fresh data says so; what is well and has no fresh data is unmeasured.
    5. Lost traffic fires as a page.

    Args:
        lost: the SLOs whose traffic is lost.
        current: the newest slice.
        grace_slices: the newest slices that may not have arrived yet.
    """
    there = plans.is_page >= 0
    page_pair = plans.is_page == 1
    bad_short, total_short = sums.bad[:, 0:8:2], sums.total[:, 0:8:2]
    bad_long, total_long = sums.bad[:, 1:8:2], sums.total[:, 1:8:2]
    over_short = there & over(plans, bad_short, total_short)
    over_long = there & over(plans, bad_long, total_long)
    both = over_short & over_long

    paged = (previous.state == FIRING) & (previous.tier == PAGE) & ~previous.by_traffic
    enough = _enough(plans, bad_long, total_long, asked=both & page_pair) | paged[:, None]
    page = (both & page_pair & enough).any(axis=1)
    single = (both & page_pair & ~enough).any(axis=1)
    newest_bad = np.broadcast_to(sums.bad[:, :1], bad_short.shape)
    newest_total = np.broadcast_to(sums.total[:, :1], bad_short.shape)
    burning_now = over(plans, newest_bad, newest_total)
    after_burn = (previous.state == RECOVERING) | ((previous.state == FIRING) & (previous.tier == PAGE))
    slow = both & ~page_pair & (burning_now | ~after_burn[:, None])
    ticket = slow.any(axis=1) | (single & ~page)

    fresh = coverage(sums, current=current, grace_slices=grace_slices) >= MIN_COVERAGE
    tier = np.where(page, PAGE, np.where(ticket, TICKET, NO_TIER))
    was_firing = (previous.state == FIRING) & ~previous.by_traffic
    spoken = (sums.total[:, 0] > 0) | (sums.bad[:, :8].sum(axis=1) == 0)
    frozen = was_firing & (tier < previous.tier) & ~(fresh & spoken)
    tier = np.where(frozen, previous.tier, tier)
    tier = np.where(lost, PAGE, tier)

    seen = fresh & (sums.first >= 0) & (sums.total[:, BUDGET] > 0)
    calm = np.where(over_long.any(axis=1), RECOVERING, OK)
    state = np.where(tier > NO_TIER, FIRING, np.where(seen, calm, UNMEASURED))
    return Verdicts(state, tier, lost & ~page, frozen, over_short, over_long, fresh, single & ~page)


def _enough(plans: Plans, bad: Ints, total: Ints, *, asked: Bools) -> Bools:
    """Which pairs have failures enough to wake somebody; only those ``asked`` for are looked at."""
    found = np.zeros(asked.shape, bool)
    rows, pairs = np.nonzero(asked)
    unit = np.ones(rows.size, np.int64) if plans.unit is None else plans.unit[rows]
    found[rows, pairs] = certainty.enough(
        bad[rows, pairs] // unit, total[rows, pairs] // unit, plans.threshold[rows, pairs]
    )
    return found


def over(plans: Plans, bad: Ints, total: Ints) -> Bools:
    """bad/total > threshold, exactly; no events are not over."""
    with np.errstate(invalid="ignore"):
        limit = plans.threshold * total
    result: Bools = (bad > limit) & (total > 0)
    close = (total > 0) & np.isfinite(limit) & (np.abs(bad - limit) <= 1e-9 * limit)
    for row, pair in np.argwhere(close):
        result[row, pair] = int(bad[row, pair]) > plans.exact[row][pair] * int(total[row, pair])
    return result


def coverage(sums: Sums, *, current: int, grace_slices: int) -> Floats:
    """The share of measured slices in the newest data, of those there could be since the first measured one.

    A new SLO is judged by what it has seen, so that it can fire at once.
    """
    could = np.minimum(sums.lengths[:, FRESH], current - sums.first + 1) - grace_slices
    measured: Floats = sums.measured[:, FRESH] / np.maximum(could, 1)
    return np.where(sums.first >= 0, np.minimum(measured, 1.0), 0.0)


def burn_rates(plans: Plans, sums: Sums) -> Floats:
    """Burn of each window, shape (SLOs, 8): 1 spends the whole budget in exactly its period; NaN without events."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rates: Floats = sums.bad[:, :8] / sums.total[:, :8] / plans.share[:, None]
    return rates
