"""Anytime-valid comparison of two versions by counts: look every minute, and the false alarms stay below ``alpha``.

In each slice of time both versions answered requests and some of them were bad. Given how many were bad in all, the
canary's part of them follows from its share of the requests, and from how many times worse it is (``theta``). The
evidence is the likelihood under a fixed mixture of thetas against ``theta = 1``: a non-negative martingale while the
versions are alike, so that the chance of its ever reaching ``1/alpha`` is at most ``alpha`` (Ville's inequality),
whenever and however often one looks.

Sources: Ville 1939; Robbins 1970 (method of mixtures); Lindon & Malek, "Anytime-Valid Inference for Multinomial Count
Data", NeurIPS 2022, of which this is the two-arm case with an exposure that varies. Bad requests are drawn without
replacement from those answered; the binomial used here spreads wider, so the promise holds (Hoeffding 1963, theorem 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

_SCALE = 1.0
"""Standard deviation of log(theta) in the mixture: it looks best for about twice to five times as bad."""
_POINTS = 48
_STEADY = 4
"""So many slices' worth of the belief that requests are independent."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and bad ones of both versions in one slice of time."""

    canary_total: float
    canary_bad: float
    control_total: float
    control_bad: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the counts say.

    ``e_value`` is the evidence now, ``highest`` the highest it has been; ``p_value`` (``1 / highest``, at most 1) may
    be read at any time. ``ratio`` is how many times the control's bad share the canary's is, with a half event added
    to each side so that it is finite; shares are None without requests. ``unsteady`` is how many times as much the
    counts scatter from slice to slice as independent requests would: 1 when they do not scatter more.
    """

    e_value: float
    highest: float
    p_value: float
    ratio: float
    canary_share: float | None
    control_share: float | None
    unsteady: float = 1.0


def compare(slices: Sequence[Slice]) -> Evidence:
    """Evidence that the canary is *worse* than the control, slice by slice; one without both teaches nothing."""
    import numpy as np

    # Half of a normal distribution over log(theta), at evenly likely points: worse only.
    normal = NormalDist(0, _SCALE)
    thetas = np.exp([normal.inv_cdf(0.5 + (i + 0.5) / (2 * _POINTS)) for i in range(_POINTS)])
    log_likelihood = np.zeros(_POINTS)
    total = Slice(canary_total=0, canary_bad=0, control_total=0, control_bad=0)
    path, told = [], []
    for each in slices:
        total = Slice(**{name: getattr(total, name) + getattr(each, name) for name in Slice.__struct_fields__})
        if each.canary_total <= 0 or each.control_total <= 0:
            continue
        share = each.canary_total / (each.canary_total + each.control_total)
        weight = thetas * share + 1 - share
        log_likelihood = (
            log_likelihood + each.canary_bad * np.log(thetas) - (each.canary_bad + each.control_bad) * np.log(weight)
        )
        path.append(log_likelihood)
        told.append(each)
    unsteady = unsteadiness(told, ratio=_ratio(total))
    highest = now = 1.0
    for each_log in path:
        tempered = each_log / unsteady
        top = float(tempered.max())
        log_now = top + math.log(float(np.exp(tempered - top).mean()))
        now = math.exp(min(log_now, 700.0))
        highest = max(highest, now)
    return Evidence(
        e_value=now,
        highest=highest,
        p_value=min(1.0, 1 / highest),
        ratio=_ratio(total),
        canary_share=total.canary_bad / total.canary_total if total.canary_total else None,
        control_share=total.control_bad / total.control_total if total.control_total else None,
        unsteady=unsteady,
    )


def unsteadiness(slices: Sequence[Slice], *, ratio: float) -> float:
    """How much more the canary's part of the bad requests scatters than chance would have it; at least 1.

    Failures come in bursts: requests are not independent, and a burst that meets one side only is no difference between
    versions. Pearson's dispersion of the canary's part in each slice around what ``ratio`` explains (McCullagh &
    Nelder, "Generalized Linear Models", 1989, section 4.5), drawn towards 1 while slices are few. Evidence is divided
    by it (on the scale of logarithms), as a quasi-likelihood; a power of at most 1 of a martingale keeps its promise.
    """
    scatter = float(_STEADY)
    count = 0
    for each in slices:
        bad = each.canary_bad + each.control_bad
        if bad <= 0:
            continue
        exposed = ratio * each.canary_total
        part = exposed / (exposed + each.control_total)
        spread = bad * part * (1 - part)
        if spread > 0:
            scatter += (each.canary_bad - bad * part) ** 2 / spread
            count += 1
    return max(1.0, scatter / max(1, count - 1 + _STEADY))


def _ratio(total: Slice) -> float:
    if not total.canary_total or not total.control_total:
        return 1.0
    canary = (total.canary_bad + 0.5) / (total.canary_total + 1)
    return canary / ((total.control_bad + 0.5) / (total.control_total + 1))


class MeanEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of ``canary − control`` over paired samples, with an interval that holds at every look at once."""

    mean: float
    low: float
    high: float
    pairs: int


def compare_means(canary: Sequence[float], control: Sequence[float], *, alpha: float = 0.05) -> MeanEvidence:
    """For pushed samples of any unit, paired in time (sample i of both is of the same moment).

    An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences", Annals of Statistics 2024, theorem 2.2), narrowest at about 60 pairs.
    It covers nothing before there are five pairs: the interval is then infinite.
    """
    import numpy as np

    pairs = min(len(canary), len(control))
    if pairs < 5:
        mean = float(np.mean(np.subtract(canary[:pairs], control[:pairs]))) if pairs else 0.0
        return MeanEvidence(mean=mean, low=-math.inf, high=math.inf, pairs=pairs)
    differences = np.subtract(np.asarray(canary[:pairs], dtype=float), np.asarray(control[:pairs], dtype=float))
    mean, spread = float(differences.mean()), float(differences.std())
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 60)
    at = pairs * rho**2 + 1
    half = spread * math.sqrt(2 * at / (pairs * rho) ** 2 * math.log(math.sqrt(at) / alpha))
    return MeanEvidence(mean=mean, low=mean - half, high=mean + half, pairs=pairs)
