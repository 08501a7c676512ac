"""Canary judgement with the semantics of Kayenta's judge: classify each metric, score the groups, judge the whole.

Source: the NetflixACAJudge of spinnaker/kayenta (Apache-2.0), re-implemented from its behaviour; its own classifier
suite is a test of ours. What differs on purpose: an effect size is expected (`MetricRule`), because without one any
small and steady shift is called a failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from watchbill.features.suspects.ranks import Shift, shift_between

Classification = Literal["pass", "high", "low", "no data"]
Direction = Literal["increase", "decrease", "either"]
Judgement = Literal["pass", "marginal", "fail", "no data"]
_NOISE = 1e-5
_IQR_FACTOR = 3.0


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Only a change of at least this size counts.

    As ``mean ratio`` (experiment's mean over control's) or ``cles`` (the chance that a value of the experiment is
    above one of the control; a half is no difference).
    """

    measure: Literal["mean ratio", "cles"] = "mean ratio"
    decrease: float = 1.0
    increase: float = 1.0


class MetricRule(msgspec.Struct, frozen=True, kw_only=True):
    """How one metric is judged.

    ``tolerance`` is a share of the estimated shift that the interval must clear; ``critical`` fails the whole
    canary when the metric fails beyond ``critical_effect``; ``must_have_data`` when it has no data.
    """

    direction: Direction = "either"
    missing: Literal["remove", "zero"] = "remove"
    outliers: Literal["keep", "remove"] = "keep"
    tolerance: float = 0.25
    confidence: float = 0.98
    effect: Effect = Effect()
    critical: bool = False
    critical_effect: Effect | None = None
    must_have_data: bool = False


class MetricJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one metric. ``deviation`` is the effect; NaN when one of the means is zero."""

    classification: Classification
    reason: str
    deviation: float
    critical: bool = False
    shift: Shift | None = None


def classify(control: Sequence[float], experiment: Sequence[float], rule: MetricRule) -> MetricJudgement:
    """Judge one metric: prepare both samples, then compare, with the critical effect first when there is one."""
    ready_control, ready_experiment = prepare(control, rule), prepare(experiment, rule)
    if not ready_control or not ready_experiment:
        if rule.missing == "zero":
            return MetricJudgement(classification="pass", reason="no values, which count as zero", deviation=1.0)
        which = [n for n, v in (("control", ready_control), ("experiment", ready_experiment)) if not v]
        return MetricJudgement(
            classification="no data",
            reason=f"no values of the {' and the '.join(which)}",
            deviation=1.0,
            critical=rule.critical or rule.must_have_data,
        )
    if rule.critical:
        effect = rule.critical_effect or Effect(measure=rule.effect.measure)
        found = _compare(ready_control, ready_experiment, rule, effect)
        if found.classification in ("high", "low"):
            return msgspec.structs.replace(found, critical=True)
    return _compare(ready_control, ready_experiment, rule, rule.effect)


def prepare(values: Sequence[float], rule: MetricRule) -> list[float]:
    """Without gaps (or with zeros in their place), and without outliers when the rule says so."""
    if rule.missing == "zero":
        ready = [0.0 if math.isnan(value) else float(value) for value in values]
    else:
        ready = [float(value) for value in values if not math.isnan(value)]
    return without_outliers(ready) if rule.outliers == "remove" else ready


def without_outliers(values: Sequence[float]) -> list[float]:
    """Drop what lies beyond three interquartile ranges, but never what is within the 1st to 99th percentile."""
    import numpy as np

    if len(values) < 2:
        return list(values)
    # Kayenta takes Commons Math's percentiles, which are numpy's "weibull".
    p1, q1, q3, p99 = (float(np.percentile(values, p, method="weibull")) for p in (1, 25, 75, 99))
    spread = _IQR_FACTOR * (q3 - q1)
    low, high = min(q1 - spread, p1), max(q3 + spread, p99)
    return [value for value in values if low <= value <= high]


def _compare(control: list[float], experiment: list[float], rule: MetricRule, effect: Effect) -> MetricJudgement:
    if sorted(control) == sorted(experiment):
        return MetricJudgement(classification="pass", reason="both are the same", deviation=1.0)
    if len({*control, *experiment}) == 1:
        return MetricJudgement(classification="pass", reason="there is one value only", deviation=1.0)
    noisy_control, noisy_experiment = control, experiment
    if len(set(control)) == 1 and len(set(experiment)) == 1:
        noisy_control, noisy_experiment = _with_noise(control), _with_noise(experiment)
    shift = shift_between(noisy_experiment, noisy_control, confidence=rule.confidence)
    size = effect_size(control, experiment, effect)
    bound = rule.tolerance * abs(shift.estimate)
    unknown = math.isnan(size)
    if rule.direction != "decrease" and shift.low > bound and (unknown or size >= effect.increase):
        return _judged("high", shift, size)
    if rule.direction != "increase" and shift.high < -bound and (unknown or size <= effect.decrease):
        return _judged("low", shift, size)
    return MetricJudgement(classification="pass", reason="no difference that counts", deviation=size, shift=shift)


def _judged(classification: Literal["high", "low"], shift: Shift, size: float) -> MetricJudgement:
    """The words of a failed metric, with the numbers."""
    reason = f"{classification}: shifted by {shift.estimate:.4g} ({shift.low:.4g} to {shift.high:.4g})"
    return MetricJudgement(classification=classification, reason=reason, deviation=size, shift=shift)


def _with_noise(values: list[float]) -> list[float]:
    """Two constants have no spread to judge by; a spread far below any that matters, the same at every run."""
    middle = (len(values) - 1) / 2
    return [value + _NOISE * (at - middle) / max(1, len(values)) for at, value in enumerate(values)]


def effect_size(control: Sequence[float], experiment: Sequence[float], effect: Effect) -> float:
    """The size by its measure; 1 (or a half) is no difference, NaN is a ratio to, or of, nothing."""
    import numpy as np

    if effect.measure == "cles":
        above = np.sign(np.subtract.outer(np.asarray(experiment, dtype=float), np.asarray(control, dtype=float)))
        return float(((above + 1) / 2).mean())
    mean_control, mean_experiment = float(np.mean(control)), float(np.mean(experiment))
    if mean_control == mean_experiment:
        return 1.0
    return math.nan if 0.0 in (mean_control, mean_experiment) else mean_experiment / mean_control


class CanaryScore(msgspec.Struct, frozen=True, kw_only=True):
    """Of all metrics: 0 to 100, what that means, and each group's own score (None: no data in it)."""

    score: float
    judgement: Judgement
    reason: str
    groups: dict[str, float | None]


def score(
    metrics: Sequence[tuple[Sequence[str], MetricJudgement]],
    *,
    weights: Mapping[str, float] | None = None,
    pass_at: float = 75.0,
    marginal_at: float = 50.0,
) -> CanaryScore:
    """Score metrics in their groups: the share that passed, weighted; groups without a weight share the rest of 100.

    A failed critical metric makes the score 0; half of the metrics without data, or more, is no judgement but a
    failure, because nobody looked.
    """
    groups: dict[str, list[MetricJudgement]] = {}
    for names, found in metrics:
        for name in names:
            groups.setdefault(name, []).append(found)
    scores = {name: _group_score(found) for name, found in sorted(groups.items())}
    found_all = [found for _, found in metrics]
    critical = [found for found in found_all if found.critical and found.classification != "pass"]
    if critical:
        return CanaryScore(score=0.0, judgement="fail", reason=f"critical: {critical[0].reason}", groups=scores)
    without = sum(found.classification == "no data" for found in found_all)
    if not found_all or without * 2 >= len(found_all):
        reason = f"{without} of {len(found_all)} metrics have no data"
        nothing: Judgement = "no data" if without == len(found_all) else "fail"
        return CanaryScore(score=0.0, judgement=nothing, reason=reason, groups=scores)
    given = dict(weights or {})
    unnamed = [name for name in scores if name not in given]
    shared = max(0.0, 100.0 - sum(given.values())) / len(unnamed) if unnamed else 0.0
    total = sum(found * given.get(name, shared) / 100 for name, found in scores.items() if found is not None)
    judgement: Judgement = "pass" if total >= pass_at else "marginal" if total >= marginal_at else "fail"
    return CanaryScore(score=total, judgement=judgement, reason=f"{total:.0f} of 100", groups=scores)


def _group_score(found: Sequence[MetricJudgement]) -> float | None:
    counted = [each for each in found if each.classification != "no data"]
    if not counted:
        return None
    return 100.0 * sum(each.classification == "pass" for each in counted) / len(counted)
