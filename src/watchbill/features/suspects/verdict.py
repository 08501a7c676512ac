"""A verdict on a version, from counts of its requests beside another's: pure, in words with the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from watchbill.features.suspects import kayenta, sequential
from watchbill.features.suspects.model import Answer, Comparison, Measure, Method, Point, Verdict
from watchbill.features.suspects.sequential import Slice
from watchbill.kernel.durations import rough_duration

_WELL_FOR = timedelta(seconds=60)
_BURSTS = 2.0
"""From this unsteadiness on it is worth a word."""
_CHUNKS = 30
"""A "before" is cut into so many parts, each the control of one slice of the "after"."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as worse.

    ``alpha`` is the chance of a false alarm over the whole rollout, however often one looks, shared by the measures.
    ``ratio`` and ``points`` are the effect gate: at least so many times the bad share, and at least this much more
    of all requests (0.005 is half a percentage point). ``requests`` is the least that each side must have answered.
    """

    alpha: float = 0.05
    ratio: float = 1.5
    points: float = 0.005
    requests: int = 50


DEFAULT_GATE = Gate()


def judge_versions(
    points: Sequence[Point], *, canary: str, control: str, gate: Gate = DEFAULT_GATE, slow_ms: float | None = None
) -> Verdict:
    """Two versions that serve at the same time."""
    pairs: dict[datetime, dict[str, Point]] = {}
    for point in points:
        if point.version in (canary, control):
            pairs.setdefault(point.at, {})[point.version] = point
    ordered = [pairs[at] for at in sorted(pairs)]
    sides = [(pair.get(canary), pair.get(control)) for pair in ordered]
    return _judge(sides, points, method="canary", canary=canary, control=control, gate=gate, slow_ms=slow_ms)


def judge_before_after(
    before: Sequence[Point],
    after: Sequence[Point],
    *,
    canary: str,
    control: str,
    gate: Gate = DEFAULT_GATE,
    slow_ms: float | None = None,
) -> Verdict:
    """A version that replaced another at once: each slice after beside a part of what was before."""
    earlier = sorted(before, key=lambda point: point.at)
    later = sorted(after, key=lambda point: point.at)
    late = _came_later(earlier, later, gate)
    size = max(1, math.ceil(len(earlier) / _CHUNKS))
    parts = [_together(earlier[at : at + size]) for at in range(0, len(earlier), size)]
    count = max(len(parts), len(later))
    sides = [(later[at] if at < len(later) else None, parts[at] if at < len(parts) else None) for at in range(count)]
    if len(later) > len(parts) > 0:  # the before is used up: the last slices of the after share its last part
        rest = _together(later[len(parts) - 1 :])
        sides = [*sides[: len(parts) - 1], (rest, parts[-1])]
    points = [*earlier, *later]
    found = _judge(sides, points, method="before-after", canary=canary, control=control, gate=gate, slow_ms=slow_ms)
    if found.answer != "worse" or late is None:
        return found
    words = f"{found.words}; but only from {rough_duration(late)} after it came: something else may have happened then"
    return msgspec.structs.replace(found, answer="undecided", words=words, confidence=0.0)


def _came_later(earlier: Sequence[Point], later: Sequence[Point], gate: Gate) -> timedelta | None:
    """How long the version did well before it did not; None when it did badly from (nearly) its first requests on.

    Doing well: at least `_WELL_FOR` and twice ``gate.requests`` without an effect that counts.
    """
    before_total = sum(point.total for point in earlier)
    if not later or not before_total:
        return None
    before = sum(point.bad + point.slow for point in earlier) / before_total
    total = bad = 0.0
    well_until = None
    for point in later:
        total, bad = total + point.total, bad + point.bad + point.slow
        share = (bad + 0.5) / (total + 1)
        if share >= gate.ratio * before and share - before >= gate.points:
            break
        if total >= 2 * gate.requests:
            well_until = point.at
    well_for = (well_until - later[0].at) if well_until is not None else timedelta(0)
    return well_for if well_for >= _WELL_FOR else None


def judge_samples(
    canary_values: Sequence[float],
    control_values: Sequence[float],
    *,
    canary: str,
    control: str,
    direction: Literal["increase", "decrease"] = "increase",
    gate: Gate = DEFAULT_GATE,
) -> Verdict:
    """Samples that were pushed, of any unit, paired in time; ``direction`` is the one that is worse."""
    sign = 1 if direction == "increase" else -1
    found = sequential.compare_means(
        [sign * v for v in canary_values], [sign * v for v in control_values], alpha=gate.alpha
    )
    rule = kayenta.MetricRule(
        direction=direction, effect=kayenta.Effect(increase=gate.ratio, decrease=1 / gate.ratio), outliers="remove"
    )
    judged = kayenta.classify(control_values, canary_values, rule)
    large = judged.deviation >= gate.ratio if sign > 0 else judged.deviation <= 1 / gate.ratio
    answer: Answer = "undecided"
    if found.pairs < 5:
        answer = "not enough data"
    elif found.low > 0 and (large or math.isnan(judged.deviation)):
        answer = "worse"
    elif found.pairs >= 30 and not large:
        answer = "no worse"
    ratio = "" if math.isnan(judged.deviation) else f", {judged.deviation:.2f} times the control's mean"
    bounds = f"between {found.low:.4g} and {found.high:.4g}" if math.isfinite(found.low) else "not yet bounded"
    words = (
        f"{canary} against {control} over {found.pairs} pairs of samples: {answer}; the difference is {bounds}{ratio}"
    )
    return Verdict(
        answer=answer,
        words=words,
        confidence=1 - gate.alpha if answer == "worse" else 0.0,
        method="samples",
        canary=canary,
        control=control,
        measures=[],
        judge=kayenta.score([(("samples",), judged)]),
        samples=found,
    )


def _judge(
    sides: Sequence[tuple[Point | None, Point | None]],
    points: Sequence[Point],
    *,
    method: Method,
    canary: str,
    control: str,
    gate: Gate,
    slow_ms: float | None,
) -> Verdict:
    measures = [
        _measure("failed", sides, "bad", gate),
        *([_measure("slow", sides, "slow", gate, f"slower than {slow_ms:.0f} ms")] if slow_ms is not None else []),
    ]
    requests = [sum(side.total for side in each if side) for each in zip(*sides, strict=True)] if sides else [0, 0]
    answer = _answer(measures, requests, gate)
    worst = max((m for m in measures if m.worse), key=lambda m: m.evidence.highest, default=None)
    confidence = max(0.0, 1 - min(1.0, worst.evidence.p_value * len(measures))) if worst else 0.0
    how = {"canary": "at the same time", "before-after": "before and after"}[method]
    said = "; ".join(m.words for m in measures) if min(requests) else "nothing to compare"
    counts = f"{requests[0]:.0f} against {requests[1]:.0f} requests, {how}"
    return Verdict(
        answer=answer,
        words=f"{canary} is {answer} than {control}: {said} ({counts})"
        if answer in ("worse", "no worse")
        else f"{canary} beside {control}: {answer}; {said} ({counts})",
        confidence=confidence,
        method=method,
        canary=canary,
        control=control,
        measures=measures,
        judge=_kayenta(sides, gate),
        points=list(points),
        slow_ms=slow_ms,
    )


def _answer(measures: Sequence[Measure], requests: Sequence[float], gate: Gate) -> Answer:
    if min(requests) < gate.requests:
        return "not enough data"
    if any(measure.worse for measure in measures):
        return "worse"
    if any(measure.large_enough for measure in measures) or min(requests) < 4 * gate.requests:
        return "undecided"
    return "no worse"


def _measure(
    name: str, sides: Sequence[tuple[Point | None, Point | None]], field: str, gate: Gate, words: str | None = None
) -> Measure:
    evidence = sequential.compare(
        [
            Slice(
                canary_total=a.total if a else 0,
                canary_bad=getattr(a, field) if a else 0,
                control_total=b.total if b else 0,
                control_bad=getattr(b, field) if b else 0,
            )
            for a, b in sides
        ]
    )
    canary, control = evidence.canary_share or 0.0, evidence.control_share or 0.0
    large = evidence.ratio >= gate.ratio and canary - control >= gate.points
    significant = evidence.highest >= 2 / gate.alpha  # two measures are looked at: each has half of alpha
    times = f", {evidence.ratio:.1f} times as many" if large else ""
    if evidence.unsteady >= _BURSTS:
        times += f", in bursts ({evidence.unsteady:.1f} times the scatter of chance, so it counts for less)"
    return Measure(
        name=name,
        evidence=evidence,
        significant=significant,
        large_enough=large,
        words=f"{_percent(canary)} {words or name} against {_percent(control)}{times}",
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2g}%" if share < 0.1 else f"{share:.0%}"


def _kayenta(sides: Sequence[tuple[Point | None, Point | None]], gate: Gate) -> kayenta.CanaryScore:
    """Kayenta's judge over the slices: the share of failures, and the median duration."""
    effect = kayenta.Effect(increase=gate.ratio)
    rule = kayenta.MetricRule(direction="increase", effect=effect, outliers="remove")

    def shares(of: int) -> list[float]:
        return [side.bad / side.total for pair in sides if (side := pair[of]) is not None and side.total > 0]

    def medians(of: int) -> list[float]:
        return [side.p50_ms for pair in sides if (side := pair[of]) is not None and side.p50_ms is not None]

    return kayenta.score(
        [
            (("errors",), kayenta.classify(shares(1), shares(0), rule)),
            (("latency",), kayenta.classify(medians(1), medians(0), rule)),
        ]
    )


def _together(points: Sequence[Point]) -> Point:
    """One point of several; its median duration is that of the middle one."""
    middles = sorted(point.p50_ms for point in points if point.p50_ms is not None)
    return Point(
        at=points[0].at,
        version=points[0].version,
        total=sum(point.total for point in points),
        bad=sum(point.bad for point in points),
        slow=sum(point.slow for point in points),
        p50_ms=middles[len(middles) // 2] if middles else None,
    )


def short(verdict: Verdict) -> Comparison:
    """What a ranking needs of a verdict."""
    worst = max((m.evidence.ratio for m in verdict.measures if m.worse), default=1.0)
    return Comparison(answer=verdict.answer, words=verdict.words, confidence=verdict.confidence, ratio=worst)
