"""``operations[].objectives`` of a Service: what is promised. Contributed by the feature *slo*."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from watchbill.features import slo
from watchbill.features.telemetry import Degraded, MetricMatch, MetricSelector
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Problem
from watchbill.manifest.sections.objective_windows import (
    BurnAlert,
    CalendarWindow,
    alerts_of,
    calendar_of,
    wrong_alerts,
    wrong_calendar,
)
from watchbill.manifest.words import Duration, Part, Percent, Text, Url
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, ServiceItem, World


Query = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4000,
        description="PromQL for the number of events in $window: sum(increase(requests_total[$window])).",
        extra={"expected": "PromQL with $window in it"},
    ),
]


class Prometheus(Part, frozen=True, kw_only=True):
    """Counts pulled from a Prometheus: ``total`` and one of ``good`` and ``bad``."""

    total: Query
    good: Query | None = None
    bad: Query | None = None
    server: Annotated[Text, Meta(description="A name of WATCHBILL_PROMETHEUS_URLS.")] = "default"


class Probe(Part, frozen=True, kw_only=True):
    """A GET in every minute: good when it answers in time with this status, or with any below 500."""

    url: Url
    status: Annotated[int, Meta(ge=100, le=599)] | None = None


class Counter(Part, frozen=True, kw_only=True):
    """An OTLP Sum of the service, or those of its streams whose attributes have these values."""

    name: Annotated[Text, Meta(description="The metric's name, such as orders.processed.")]
    where: Annotated[
        dict[Text, Text | list[Text]],
        Meta(description="Attribute: value, or a list of which one is enough; 5* is what begins with 5."),
    ] = msgspec.field(default_factory=dict)


class Metric(Part, frozen=True, kw_only=True):
    """Monotonic counters that the service sends by OTLP: two of total, good and bad. Or a gauge within its bounds."""

    total: Counter | None = None
    good: Counter | None = None
    bad: Counter | None = None
    gauge: Annotated[
        Counter | None,
        Meta(description="A level, such as a queue's depth. Minutes are counted, and good is one in which it held."),
    ] = None
    at_most: Annotated[float | None, Meta(description="The most that the gauge may be.")] = None
    at_least: Annotated[float | None, Meta(description="The least that the gauge may be.")] = None


class TimeSlices(Part, frozen=True, kw_only=True):
    """Count good minutes instead of good events."""

    target: Annotated[Percent, Meta(description="A slice is good when this share of its events is.")] | None = None
    length: Annotated[Duration, Meta(description="From 1m to 15m.")] = "1m"
    weighted: Annotated[bool, Meta(description="Every slice weighs the same, by its share of good events.")] = False


_WINDOW = "30d"


class Objective(Part, frozen=True, kw_only=True):
    """A share of good events over a window; with ``threshold``, good means answered within it."""

    name: Annotated[Text, Meta(description="Such as availability or latency; unique in the operation.")]
    target: Percent
    threshold: Annotated[Duration, Meta(description="Makes it a latency objective.")] | None = None
    window: Duration = _WINDOW
    prometheus: Prometheus | None = None
    metric: Metric | None = None
    probe: Probe | None = None
    pushed: Annotated[bool, Meta(description="Counts are sent to POST /api/v1/slos/{id}/counts.")] = False
    time_slices: TimeSlices | None = None
    alerts: Annotated[list[BurnAlert], Meta(description="Instead of the usual four.")] | None = None
    calendar: CalendarWindow | None = None
    burn_in: Annotated[Duration, Meta(description="For so long after it is new its pages are tickets.")] | None = None
    degraded: Annotated[
        Degraded, Meta(description="Answers marked as doing without a dependency: good, bad, or apart (not counted).")
    ] = "good"


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Each objective can be kept and measured, and is named once in its operation."""
    for item in bundle.services:
        for index, operation in enumerate(item.operations):
            names: set[str] = set()
            for at, objective in enumerate(operation.objectives or ()):
                path = ("spec", "operations", index, "objectives", at)
                if objective.name in names:
                    yield item.problem(
                        "manifest.duplicate",
                        f"the objective '{objective.name}' is given twice for '{operation.name}'",
                        (*path, "name"),
                        "give each objective of an operation its own name",
                    )
                names.add(objective.name)
                yield from _check_one(item, path, objective)


def _check_one(item: ServiceItem, path: tuple[str | int, ...], objective: Objective) -> Iterator[Problem]:
    if objective.name == "latency" and objective.threshold is None:
        yield item.problem(
            "manifest.missing",
            "a latency objective needs a threshold",
            path,
            "add threshold: 300ms (answered within that counts as good)",
        )
        return
    wrong = list(_wrong_measure(item, path, objective))
    yield from wrong
    if wrong:
        return
    for problem in _problems_of(_as_objective(objective)):
        where = (*path, problem.field) if problem.field else path
        yield item.problem(problem.code, problem.message, where, problem.hint or "", severity=problem.severity)


def _wrong_measure(item: ServiceItem, path: tuple[str | int, ...], objective: Objective) -> Iterator[Problem]:
    for code, message, at, hint in (
        *wrong_alerts(objective.alerts or ()),
        *(wrong_calendar(objective.calendar, objective.window, _WINDOW) if objective.calendar else ()),
    ):
        yield item.problem(code, message, (*path, *at), hint)
    sources = [name for name in ("prometheus", "metric", "probe", "pushed") if getattr(objective, name)]
    if len(sources) > 1:
        yield item.problem(
            "manifest.conflict",
            f"the objective '{objective.name}' has {len(sources)} sources: {', '.join(sources)}",
            (*path, sources[1]),
            "keep one of them",
        )
    if objective.metric is not None:
        yield from _wrong_metric(item, path, objective.metric, timed=objective.threshold is not None)
    pulled = objective.prometheus
    if pulled is not None and (pulled.good is None) == (pulled.bad is None):
        yield item.problem(
            "manifest.conflict",
            "prometheus needs exactly one of good and bad beside total",
            (*path, "prometheus"),
            "say which events are good, or which are bad",
        )
    if pulled is not None:
        for name in ("total", "good", "bad"):
            query = getattr(pulled, name)
            if query is not None and "$window" not in query:
                yield item.problem(
                    "manifest.value",
                    f"the {name} query does not say $window, so it does not count a minute's events",
                    (*path, "prometheus", name),
                    "write sum(increase(requests_total[$window]))",
                )
    if objective.degraded != "good" and sources:
        yield item.problem(
            "manifest.conflict",
            f"the objective '{objective.name}' has its counts from {sources[0]}, where nothing is marked as degraded",
            (*path, "degraded"),
            "leave out the one or the other",
        )
    slices = objective.time_slices
    if slices is None:
        return
    if (slices.target is None) != slices.weighted:
        yield item.problem(
            "manifest.conflict",
            "time slices need either a target or weighted: true",
            (*path, "timeSlices"),
            "a target such as 95, or weighted: true",
        )
    if slices.target is not None and not 0 < slices.target <= 100:
        yield item.problem(
            "slo_target", f"{slices.target} is no percent of a slice", (*path, "timeSlices", "target"), "such as 95"
        )
    length = parse_duration(slices.length).total_seconds()
    if not 60 <= length <= 900 or length % 60:
        yield item.problem(
            "slo_window",
            f"a time slice of {slices.length} is not whole minutes from 1m to 15m",
            (*path, "timeSlices", "length"),
            "5m is usual",
        )


def _wrong_metric(
    item: ServiceItem, objective_path: tuple[str | int, ...], counted: Metric, *, timed: bool
) -> Iterator[Problem]:
    path = (*objective_path, "metric")
    counters = sum(one is not None for one in (counted.total, counted.good, counted.bad))
    bounds = [one for one in (counted.at_least, counted.at_most) if one is not None]
    if counted.gauge is None:
        if counters != 2:
            yield item.problem(
                "manifest.conflict",
                "metric needs exactly two of total, good and bad (or a gauge)",
                path,
                "say which counter has all events and which the good (or bad) ones",
            )
        if bounds:
            yield item.problem(
                "manifest.conflict",
                "atMost and atLeast are bounds of a gauge, and there is none",
                path,
                "name the gauge, or leave the bounds out: a counter is a number of events",
            )
        return
    if counters:
        yield item.problem(
            "manifest.conflict",
            "a gauge is a level, not a number of events: it cannot stand beside total, good or bad",
            (*path, "gauge"),
            "keep the gauge with its bounds, or the counters",
        )
    if timed:
        yield item.problem(
            "manifest.conflict",
            "a gauge is no duration of an answer, so threshold says nothing of it",
            (*objective_path, "threshold"),
            "write the bound as atMost, in the gauge's own unit",
        )
    if not bounds or not all(isfinite(one) for one in bounds) or bounds != sorted(bounds):
        yield item.problem(
            "manifest.value",
            "no value of the gauge says when it is good" if not bounds else "no value is within the gauge's bounds",
            (*path, "gauge"),
            "write atMost: 100 (or atLeast; or both, the lower one as atLeast)",
        )


_seen: dict[slo.Objective, tuple[Problem, ...]] = {}


def _problems_of(objective: slo.Objective) -> tuple[Problem, ...]:
    """`slo.check_objective`, remembered: ten thousand services promise the same few things."""
    if objective not in _seen:
        if len(_seen) > 1000:
            _seen.clear()
        # the length of a slice is a setting of the server; what fails with the finest one fails with any
        _seen[objective] = tuple(slo.check_objective(objective, slice_seconds=1))
    return _seen[objective]


def apply(tx: Tx, applying: Applying) -> None:
    """Hand the objectives of every service that is written to *slo*; those of removed services are retired."""
    wanted = [
        slo.ObjectiveSpec(
            operation_id=applying.operation_ids[applying.service_ids[item.name], operation.name],
            service_id=applying.service_ids[item.name],
            environment=operation.environment,
            **{name: getattr(objective, name) for name in ("name", "target", "window", "threshold", "measure")},
        )
        for item in applying.services
        for operation in item.operations
        for objective in _objectives(operation.objectives, item.manifest.spec.tier)
    ]
    service_ids = [applying.service_ids[item.name] for item in applying.services] + applying.removed_services
    if service_ids:
        slo.sync_all(tx, service_ids=service_ids, objectives=wanted, actor=applying.actor)


def _objectives(written: list[Objective] | None, tier: int) -> list[slo.Objective]:
    """As written; by tier where nothing is written; none where the list is empty."""
    return slo.default_objectives(tier) if written is None else [_as_objective(each) for each in written]


def _as_objective(written: Objective) -> slo.Objective:
    return slo.Objective(
        name=written.name,
        target=written.target,
        window=_window(written),
        threshold=None if written.threshold is None else parse_duration(written.threshold),
        measure=_measure(written),
    )


def _window(written: Objective) -> timedelta:
    if written.calendar is not None:
        return slo.usual_length(calendar_of(written.calendar))
    return parse_duration(written.window)


def _measure(written: Objective) -> slo.Measure | None:
    source: slo.Source | None = None
    if written.prometheus is not None:
        source = slo.PrometheusSource(**msgspec.structs.asdict(written.prometheus))
    elif written.metric is not None:
        source = slo.MetricSource(
            total=_selector(written.metric.total),
            good=_selector(written.metric.good),
            bad=_selector(written.metric.bad),
            gauge=_selector(written.metric.gauge),
            at_most=written.metric.at_most,
            at_least=written.metric.at_least,
        )
    elif written.probe is not None:
        source = slo.ProbeSource(**msgspec.structs.asdict(written.probe))
    elif written.pushed:
        source = slo.PushedSource()
    alerts = None if written.alerts is None else alerts_of(written.alerts, _window(written))
    calendar = None if written.calendar is None else calendar_of(written.calendar)
    burn_in = None if written.burn_in is None else int(parse_duration(written.burn_in).total_seconds())
    slices = written.time_slices
    if slices is None and written.metric is not None and written.metric.gauge is not None:
        slices = TimeSlices(target=Decimal(100))  # a level is judged by the minute, however fine slices are
    if slices is None:
        made = slo.Measure(
            source=source, alerts=alerts, calendar=calendar, burn_in_seconds=burn_in, degraded=written.degraded
        )
        return None if made == slo.Measure() else made
    return slo.Measure(
        source=source,
        burn_in_seconds=burn_in,
        degraded=written.degraded,
        alerts=alerts,
        calendar=calendar,
        method="ratio_timeslices" if slices.weighted else "timeslices",
        slice_target=slices.target,
        slice_seconds=int(parse_duration(slices.length).total_seconds()),
    )


def _selector(written: Counter | None) -> MetricSelector | None:
    if written is None:
        return None
    return MetricSelector(
        name=written.name,
        where=tuple(
            MetricMatch(key=key, values=(values,) if isinstance(values, str) else tuple(values))
            for key, values in sorted(written.where.items())
        ),
    )
