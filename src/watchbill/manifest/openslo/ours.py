"""Watchbill's own SLOs as the formats' common words, so that they can be written as OpenSLO.

A source that is not a Prometheus has the type ``watchbill``, and its ``spec`` says which: ``spans`` of an operation,
a ``probe``, or counts that are ``pushed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from watchbill.features.slo import MetricSource, ProbeSource, PrometheusSource, PushedSource, Slo
from watchbill.kernel.durations import format_duration
from watchbill.manifest.openslo import noted
from watchbill.manifest.openslo.rules import slug
from watchbill.manifest.openslo.spec import Alert, Goal, Indicator, Method, Query, SloSpec, Span, Window

KIND = "watchbill"
_METHODS: dict[str, Method] = {
    "occurrences": "Occurrences",
    "timeslices": "Timeslices",
    "ratio_timeslices": "RatioTimeslices",
}


STEM = 50
"""Names that agree so far are given a ``suffix``: what is made of them would be the same."""


def spec_of(
    slo: Slo, *, service: str, operation: str, team: str, match: Mapping[str, Any], suffix: str = ""
) -> SloSpec:
    """One SLO of ours; read again it becomes the same SLO. ``suffix`` tells its name from another's."""
    measure = slo.measure
    method = _METHODS[measure.method] if measure else "Occurrences"
    name = slug(f"{service}-{operation}-{slo.name}")
    if suffix:
        name = f"{name[:STEM].rstrip('-')}-{suffix}"
    return SloSpec(
        name=name,
        title=f"{operation}: {slo.name}",
        service=service,
        annotations={
            noted.SERVICE: service,
            noted.OPERATION: operation,
            noted.OBJECTIVE: slo.name,
            noted.OWNER: team,
        },
        method=method,
        window=_window(slo),
        indicator=_indicator(slo, f"{name[:59]}-sli", match),
        goals=[
            Goal(
                target=slo.target / 100,
                slice_target=measure.slice_target / 100 if measure and measure.slice_target is not None else None,
                slice_length=_span(measure.slice_seconds) if measure and method != "Occurrences" else None,
            )
        ],
        alerts=[
            Alert(
                tier=one.tier,
                burn=Decimal(one.burn),
                long=_span(one.long_seconds),
                short=None if one.short_seconds is None else _span(one.short_seconds),
            )
            for one in slo.alerts or ()
        ],
    )


def _window(slo: Slo) -> Window:
    calendar = slo.calendar
    if calendar is None:
        return Window(span=_span(slo.window_seconds))
    start = calendar.start.replace("T", " ")
    if len(start) <= len("2024-01-01"):
        start += " 00:00:00"
    return Window(
        span=Span(calendar.amount, calendar.unit),
        start=start if start.count(":") == 2 else f"{start}:00",
        zone=calendar.zone,
    )


def _span(seconds: int) -> Span:
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds % size == 0:
            return Span(seconds // size, unit)  # type: ignore[arg-type]  # one of the units
    return Span(max(1, seconds // 60), "m")


def _indicator(slo: Slo, name: str, match: Mapping[str, Any]) -> Indicator:
    source = slo.source
    threshold = None if slo.threshold_ms is None else format_duration(timedelta(milliseconds=slo.threshold_ms))
    if isinstance(source, PrometheusSource):
        server = None if source.server == "default" else source.server

        def query(text: str | None) -> Query | None:
            return None if text is None else Query(kind="Prometheus", spec={"query": text}, source=server)

        return Indicator(
            name=name, counter=True, good=query(source.good), bad=query(source.bad), total=query(source.total)
        )
    spec: dict[str, Any]
    if isinstance(source, ProbeSource):
        spec = {"probe": {"url": source.url} | ({} if source.status is None else {"status": source.status})}
    elif isinstance(source, MetricSource):
        counters = {"total": source.total, "good": source.good, "bad": source.bad, "gauge": source.gauge}
        bounds = {"atMost": source.at_most, "atLeast": source.at_least}
        spec = {
            "metric": {
                word: {"name": one.name, "where": {match.key: list(match.values) for match in one.where}}
                for word, one in counters.items()
                if one is not None
            }
            | {word: bound for word, bound in bounds.items() if bound is not None}
        }
    elif isinstance(source, PushedSource):
        spec = {"pushed": True}
    else:
        spec = {"spans": dict(match)}
    if threshold is not None:
        spec["threshold"] = threshold
    if slo.measure is not None and slo.measure.degraded != "good":
        spec["degraded"] = slo.measure.degraded
    return Indicator(
        name=name,
        counter=True,
        good=Query(kind=KIND, spec={**spec, "outcome": "good"}),
        total=Query(kind=KIND, spec=spec),
    )
