"""Write SLOs as OpenSLO v1, strictly: as its SDK validates it. What v1 cannot say goes into annotations.

Rules kept: names are RFC 1123 labels, descriptions at most 1050 characters, ``op`` and ``value`` only with a threshold,
one time window, one condition in a policy, at least one target in a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import yaml

from watchbill.manifest.openslo import noted
from watchbill.manifest.openslo.rules import slug
from watchbill.manifest.openslo.spec import Goal, Indicator, Query, SloSpec

VERSION = "openslo/v1"


class _Dumper(yaml.SafeDumper):
    """Decimals as plain numbers; nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (the signature is PyYAML's)
        return True


def _represent(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = number(value)
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(Decimal, _represent)


def number(value: Decimal) -> str:
    """Exact, never in scientific notation."""
    return f"{value.normalize():f}"


def write(specs: Sequence[SloSpec]) -> str:
    """A file of several documents: the DataSources that are referred to come with the SLOs that name their type."""
    documents = [_slo(spec) for spec in specs]
    sources: dict[str, str] = {}
    for spec in specs:
        for query in queries(spec):
            if query.source:
                sources.setdefault(slug(query.source), query.kind)
    services = {slug(spec.service): None for spec in specs}
    head: list[dict[str, Any]] = [
        {"apiVersion": VERSION, "kind": "Service", "metadata": {"name": name}, "spec": {}} for name in services
    ]
    head += [
        {
            "apiVersion": VERSION,
            "kind": "DataSource",
            "metadata": {"name": name},
            "spec": {"type": kind, "connectionDetails": {}},
        }
        for name, kind in sources.items()
    ]
    return as_yaml(head + documents)


def as_yaml(documents: Iterable[dict[str, Any]]) -> str:
    """Documents as YAML, numbers exact."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, explicit_start=True)


def queries(spec: SloSpec) -> list[Query]:
    """Everything that is asked of sources."""
    indicators = [spec.indicator, *(goal.indicator for goal in spec.goals)]
    return [
        query
        for one in indicators
        if one is not None
        for query in (one.good, one.bad, one.total, one.raw, one.value)
        if query is not None
    ]


def _slo(spec: SloSpec) -> dict[str, Any]:
    notes = dict(spec.annotations)
    if spec.alerts:
        notes[noted.ALERTS] = noted.write_alerts(spec.alerts)
    if spec.tell:
        notes[noted.TELL] = ", ".join(spec.tell)
    metadata: dict[str, Any] = {"name": slug(spec.name)}
    title = spec.title or (spec.name if slug(spec.name) != spec.name else None)
    if title:
        metadata["displayName"] = title
    if spec.labels:
        metadata["labels"] = spec.labels
    if notes:
        metadata["annotations"] = notes
    window: dict[str, Any] = {"duration": str(spec.window.span), "isRolling": spec.window.rolling}
    if not spec.window.rolling:
        window["calendar"] = {"startTime": spec.window.start, "timeZone": spec.window.zone}
    body: dict[str, Any] = {}
    if spec.description:
        body["description"] = spec.description[:1050]
    body["service"] = slug(spec.service)
    if spec.indicator is not None:
        body["indicator"] = _indicator(spec.indicator)
    body["timeWindow"] = [window]
    body["budgetingMethod"] = spec.method
    body["objectives"] = [_goal(spec, goal) for goal in spec.goals]
    return {"apiVersion": VERSION, "kind": "SLO", "metadata": metadata, "spec": body}


def _goal(spec: SloSpec, goal: Goal) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if goal.title:
        written["displayName"] = goal.title
    indicator = goal.indicator or spec.indicator
    if indicator is not None and indicator.value is not None:
        written["op"], written["value"] = goal.op, goal.value
    written["target"] = goal.target
    if spec.method != "Occurrences":
        if goal.slice_target is not None:
            written["timeSliceTarget"] = goal.slice_target
        written["timeSliceWindow"] = str(goal.slice_length)
    if goal.indicator is not None:
        written["indicator"] = _indicator(goal.indicator)
    if goal.weight is not None:
        written["compositeWeight"] = goal.weight
    return written


def _indicator(one: Indicator) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": slug(one.name)}
    if one.title:
        metadata["displayName"] = one.title
    spec: dict[str, Any] = {"description": one.description[:1050]} if one.description else {}
    if one.value is not None:
        spec["thresholdMetric"] = _metric(one.value)
    elif one.raw is not None:
        spec["ratioMetric"] = {"rawType": one.raw_type, "raw": _metric(one.raw)}
    else:
        spec["ratioMetric"] = {"counter": one.counter} | {
            name: _metric(query) for name in ("good", "bad", "total") if (query := getattr(one, name)) is not None
        }
    return {"metadata": metadata, "spec": spec}


def _metric(query: Query) -> dict[str, Any]:
    source: dict[str, Any] = {}
    if query.source:
        source["metricSourceRef"] = slug(query.source)
    source |= {"type": query.kind, "spec": query.spec}
    return {"metricSource": source}
