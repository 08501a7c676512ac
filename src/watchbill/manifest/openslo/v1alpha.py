# ruff: noqa: RUF012  msgspec copies an empty list or dict default for each instance
"""Read OpenSLO v1alpha, leniently: kinds Service and SLO, with the ratio inside the objective.

Source: https://github.com/OpenSLO/oslo, pkg/manifest/v1alpha. What became of it in v1 is said as lint.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

from watchbill.manifest.openslo import documents as docs
from watchbill.manifest.openslo import rules
from watchbill.manifest.openslo.openslo import labels_of
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.spec import Goal, Indicator, Method, Operator, Query, SloSpec, Span, Unit, Window
from watchbill.manifest.words import Part
from watchbill.runtime.yaml import Path

VERSION = "openslo/v1alpha"
_UNITS: dict[str, Unit] = {
    "Minute": "m",
    "Hour": "h",
    "Day": "d",
    "Week": "w",
    "Month": "M",
    "Quarter": "Q",
    "Year": "Y",
}


class Asked(Part, frozen=True, kw_only=True):
    """A query of a source."""

    source: str
    query_type: str | None = None
    query: str
    metadata: dict[str, Any] = {}


class Ratios(Part, frozen=True, kw_only=True):
    """Good or bad of total."""

    total: Asked
    good: Asked | None = None
    bad: Asked | None = None
    incremental: bool = False
    counter: bool = False


class Objective(Part, frozen=True, kw_only=True):
    """One objective."""

    target: Decimal | None = None
    display_name: str | None = None
    op: Operator | None = None
    value: Decimal | None = None
    time_slice_target: Decimal | None = None
    time_slice_window: docs.Slice | None = None
    ratio_metrics: Ratios | None = None


class Threshold(Part, frozen=True, kw_only=True):
    """The one indicator v1alpha has beside ratios."""

    threshold_metric: Asked


class TimeWindow(Part, frozen=True, kw_only=True):
    """``count`` times ``unit``."""

    unit: Literal["Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year"]
    count: int
    is_rolling: bool = False
    calendar: docs.Calendar | None = None


class Slo(Part, frozen=True, kw_only=True):
    """An SLO of v1alpha."""

    service: str
    budgeting_method: Method
    objectives: list[Objective]
    time_windows: list[TimeWindow] = []
    description: str | None = None
    indicator: Threshold | None = None


def read(place: Place) -> SloSpec | None:
    """The SLO in this document; None for a Service, or when it cannot be read."""
    kind = place.data.get("kind")
    metadata = place.read(docs.Metadata, ("metadata",), lenient=True)
    if metadata is None:
        if not place.problems:
            place.note("openslo.missing", "'metadata' is missing", (), "add metadata: with a name")
        return None
    if kind == "Service":
        return None
    if kind != "SLO":
        place.note("openslo.kind", f"v1alpha has no kind '{kind}'", ("kind",), "one of Service, SLO")
        return None
    spec = place.read(Slo, ("spec",), lenient=True)
    if spec is None:
        if not place.problems:
            place.note("openslo.missing", "'spec' is missing", (), "add spec:")
        return None
    rules.check_name(place, metadata.name, ("metadata", "name"))
    place.lint(
        "openslo.version", "v1alpha is an old version", ("apiVersion",), "`watchbill slo export` writes it as v1"
    )
    window = _window(place, spec)
    shared = None
    if spec.indicator is not None:
        asked = _query(spec.indicator.threshold_metric)
        shared = Indicator(name=f"{rules.slug(metadata.name)}-value", value=asked)
    goals = [_goal(place, metadata.name, spec, index) for index in range(len(spec.objectives))]
    if not goals:
        place.note("openslo.missing", "no objectives", ("spec", "objectives"), "add one with a target")
    ratios = [goal.indicator for goal in goals if goal is not None and goal.indicator is not None]
    if shared is None and ratios and all((one.good, one.bad, one.total) == _counts(ratios[0]) for one in ratios):
        shared = ratios[0]  # the same ratio in every objective: one indicator, as v1 writes it
        goals = [None if goal is None else msgspec.structs.replace(goal, indicator=None) for goal in goals]
    goals = rules.check_indicators(place, shared, goals)
    if place.broken or window is None:
        return None
    return SloSpec(
        name=metadata.name,
        title=metadata.display_name,
        service=spec.service,
        description=spec.description or None,
        labels=labels_of(metadata.labels),
        annotations=metadata.annotations,
        method=spec.budgeting_method,
        window=window,
        indicator=shared,
        goals=[goal for goal in goals if goal is not None],
    )


def _counts(one: Indicator) -> tuple[Query | None, Query | None, Query | None]:
    return one.good, one.bad, one.total


def _goal(place: Place, name: str, spec: Slo, index: int) -> Goal | None:
    written = spec.objectives[index]
    path: Path = ("spec", "objectives", index)
    target = rules.target(place, written.target, None, path)
    slice_target, length = written.time_slice_target, written.time_slice_window
    if spec.budgeting_method != "Occurrences":
        if length is None:
            place.lint("openslo.slices", "v1alpha says no timeSliceWindow: read as 1m", path, "add timeSliceWindow: 1m")
            length = "1m"
        if slice_target is None and spec.budgeting_method == "Timeslices":
            mend = "add timeSliceTarget"
            place.lint("openslo.slices", "no timeSliceTarget: read as the target itself", path, mend)
            slice_target = target
    slice_target, slice_length = rules.slices(place, spec.budgeting_method, slice_target, length, path)
    own = None
    ratios = written.ratio_metrics
    if ratios is not None:
        if (ratios.good is None) == (ratios.bad is None):
            place.note("openslo.sli", "ratioMetrics needs good or bad beside total", path, "write one of them")
        own = Indicator(
            name=f"{rules.slug(name)}-ratio" if index == 0 else f"{rules.slug(name)}-ratio-{index + 1}",
            counter=ratios.incremental or ratios.counter,
            good=_query(ratios.good) if ratios.good else None,
            bad=_query(ratios.bad) if ratios.bad else None,
            total=_query(ratios.total),
        )
    if target is None:
        return None
    return Goal(
        title=written.display_name,
        op=written.op,
        value=written.value,
        target=target,
        slice_target=slice_target,
        slice_length=slice_length,
        indicator=own,
    )


def _query(asked: Asked) -> Query:
    return Query(kind=asked.source, spec={"query": asked.query, **asked.metadata})


def _window(place: Place, spec: Slo) -> Window | None:
    if not spec.time_windows:
        return rules.window(place, [])
    written = spec.time_windows[0]
    if written.count < 1:
        place.note("openslo.window", f"a count of {written.count}", ("spec", "timeWindows", 0, "count"), "write 28")
        return None
    if len(spec.time_windows) > 1:
        place.lint("openslo.window", "only the first window is read", ("spec", "timeWindows", 1), "split the SLO")
    length = Span(written.count, _UNITS[written.unit])
    rolling = written.is_rolling or written.calendar is None
    made = docs.TimeWindow(duration=str(length), is_rolling=rolling, calendar=None if rolling else written.calendar)
    return rules.window(place, [made])
