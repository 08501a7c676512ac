# ruff: noqa: RUF012  msgspec copies an empty list or dict default for each instance
"""Read Pyrra's ``ServiceLevelObjective`` (``pyrra.dev/v1alpha1``).

Source: https://github.com/pyrra-dev/pyrra, kubernetes/api/v1alpha1. Its metrics are selectors of counters, which become
counts over ``$window`` here; ``latency`` divides a bucket by the count, ``latencyNative`` reads a native histogram and
``boolGauge`` counts samples.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from watchbill.features.slo import same_bounds
from watchbill.kernel.durations import parse_duration
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.promql import WINDOW
from watchbill.manifest.openslo.sloth import Period, length
from watchbill.manifest.openslo.spec import Goal, Indicator, Query, SloSpec, Window
from watchbill.manifest.words import Part
from watchbill.runtime.yaml import Path

GROUP = "pyrra.dev/v1alpha1"
_LABELS = "pyrra.dev/"
_OFFSET = re.compile(r"\s+(offset\s+\S+)\s*$")


class Metric(Part, frozen=True, kw_only=True):
    """A selector."""

    metric: str


class Ratio(Part, frozen=True, kw_only=True):
    """Errors of all."""

    errors: Metric
    total: Metric
    grouping: list[str] | None = None


class Latency(Part, frozen=True, kw_only=True):
    """A bucket of all."""

    success: Metric
    total: Metric
    grouping: list[str] | None = None


class Native(Part, frozen=True, kw_only=True):
    """Of a native histogram, what is within ``latency``."""

    latency: Period
    total: Metric
    grouping: list[str] | None = None


class Gauge(Part, frozen=True, kw_only=True):
    """Samples that are 1, of all samples."""

    metric: str
    grouping: list[str] | None = None


class Indicators(Part, frozen=True, kw_only=True):
    """One of four."""

    ratio: Ratio | None = None
    latency: Latency | None = None
    latency_native: Native | None = None
    bool_gauge: Gauge | None = None


class Spec(Part, frozen=True, kw_only=True):
    """The resource's spec; ``target`` is a percent."""

    target: Decimal
    window: Period
    indicator: Indicators
    description: str | None = None
    alerting: dict[str, Any] = {}


def read(place: Place) -> SloSpec | None:
    """The SLO of one resource."""
    metadata: Any = place.data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        place.note("pyrra.missing", "'metadata.name' is missing", ("metadata",), "add metadata: with a name")
        return None
    spec = place.read(Spec, ("spec",), lenient=True)
    if spec is None:
        if not place.problems:
            place.note("pyrra.missing", "'spec' is missing", (), "add spec: with target, window and indicator")
        return None
    if not 0 < spec.target < 100:
        place.note("pyrra.target", f"a target of {spec.target}", ("spec", "target"), "a percent such as 99.5")
    elif spec.target < 1:
        mend = f"if you meant the ratio, write {(spec.target * 100).normalize():f}"
        place.lint("pyrra.target", f"{spec.target} is a percent", ("spec", "target"), mend)
    kinds = [kind for kind in ("ratio", "latency", "latency_native", "bool_gauge") if getattr(spec.indicator, kind)]
    at: Path = ("spec", "indicator")
    if len(kinds) != 1:
        hint = "write one of ratio, latency, latencyNative and boolGauge"
        place.note("pyrra.indicator", f"{len(kinds)} indicators", at, hint)
    if place.broken:
        return None
    if spec.alerting:
        hint = "Watchbill's usual windows keep the same shares of budget for any period"
        place.lint("pyrra.alerting", "alerting is read past", ("spec", "alerting"), hint)
    one = getattr(spec.indicator, kinds[0])
    if one.grouping:
        hint = "write one SLO for each group, with the group in its selectors"
        said = f"grouping by {', '.join(one.grouping)} is added up into one SLO"
        place.lint("pyrra.grouping", said, at, hint)
    labels = {key: str(value) for key, value in (metadata.get("labels") or {}).items()}
    return SloSpec(
        name=name,
        service=_service(labels, metadata),
        description=spec.description,
        labels={key: [value] for key, value in labels.items()},
        annotations={key: str(value) for key, value in (metadata.get("annotations") or {}).items()},
        method="Occurrences",
        window=Window(span=length(spec.window)),
        indicator=_indicator(name, one),
        goals=[Goal(target=spec.target / 100)],
    )


def _service(labels: dict[str, str], metadata: dict[str, Any]) -> str:
    for key in (_LABELS + "service", "service", "app.kubernetes.io/name", "app"):
        if key in labels:
            return labels[key]
    return str(metadata["name"])


def _indicator(name: str, one: Any) -> Indicator:
    if isinstance(one, Ratio):
        return _of(name, bad=_increase(one.errors.metric), total=_increase(one.total.metric))
    if isinstance(one, Latency):
        return _of(name, good=same_bounds(_increase(one.success.metric)), total=_increase(one.total.metric))
    if isinstance(one, Native):
        seconds = Decimal(str(parse_duration(one.latency).total_seconds())).normalize()
        over = f"sum(increase({one.total.metric}[{WINDOW}]))"
        total = f"histogram_count({over})"
        return _of(name, good=f"histogram_fraction(0, {seconds:f}, {over}) * {total}", total=total)
    return _of(
        name,
        good=f"sum(sum_over_time({one.metric}[{WINDOW}]))",
        total=f"sum(count_over_time({one.metric}[{WINDOW}]))",
    )


def _increase(metric: str) -> str:
    """An ``offset`` stands behind the range."""
    found = _OFFSET.search(metric)
    selector, offset = (metric[: found.start()], f" {found[1]}") if found else (metric.strip(), "")
    return f"sum(increase({selector}[{WINDOW}]{offset}))"


def _of(name: str, *, total: str, good: str | None = None, bad: str | None = None) -> Indicator:
    def query(text: str) -> Query:
        return Query(kind="Prometheus", spec={"query": text})

    return Indicator(
        name=name,
        counter=True,
        good=query(good) if good else None,
        bad=query(bad) if bad else None,
        total=query(total),
    )
