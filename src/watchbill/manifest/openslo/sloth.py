# ruff: noqa: RUF012  msgspec copies an empty list or dict default for each instance
"""Read Sloth's specifications: ``version: prometheus/v1`` files and the ``PrometheusServiceLevel`` resource.

Source: https://github.com/slok/sloth, pkg/prometheus/api/v1 and pkg/kubernetes/api/sloth/v1. Its ``AlertWindows`` files
(``sloth.slok.dev/v1``) in the same set replace its usual windows for SLOs of their period.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from watchbill.kernel.durations import parse_duration
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.promql import WINDOW
from watchbill.manifest.openslo.rules import slug
from watchbill.manifest.openslo.spec import Alert, Goal, Indicator, Query, SloSpec, Span, Window
from watchbill.manifest.words import Part
from watchbill.runtime.yaml import Path

VERSION = "prometheus/v1"
GROUP = "sloth.slok.dev/v1"
PERIOD = "30d"
_WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")
Period = Annotated[str, Meta(pattern=r"^([0-9]+(ms|[smhdw]))+$", extra={"expected": "a duration such as 30d"})]


class Snake(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Keys as they are: snake_case."""


class Events(Snake, frozen=True, kw_only=True):
    """Errors of all."""

    error_query: str
    total_query: str


class Raw(Snake, frozen=True, kw_only=True):
    """A ready error ratio."""

    error_ratio_query: str


class Sli(Snake, frozen=True, kw_only=True):
    """How it is measured."""

    events: Events | None = None
    raw: Raw | None = None
    plugin: dict[str, Any] | None = None


class AlertOf(Snake, frozen=True, kw_only=True):
    """One alert's labels."""

    disable: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Alerting(Snake, frozen=True, kw_only=True):
    """The alerts."""

    name: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page_alert: AlertOf | None = None
    ticket_alert: AlertOf | None = None


class OneSlo(Snake, frozen=True, kw_only=True):
    """One SLO; ``objective`` is a percent."""

    name: str
    objective: Decimal
    sli: Sli
    description: str | None = None
    alerting: Alerting | None = None
    labels: dict[str, str] = {}
    plugins: dict[str, Any] | None = None


class File(Snake, frozen=True, kw_only=True):
    """A file of ``prometheus/v1``."""

    version: Literal["prometheus/v1"]
    service: str
    slos: list[OneSlo]
    labels: dict[str, str] = {}
    slo_plugins: dict[str, Any] | None = None


class CrEvents(Part, frozen=True, kw_only=True):
    """Errors of all, in the resource's spelling."""

    error_query: str
    total_query: str


class CrRaw(Part, frozen=True, kw_only=True):
    """A ready error ratio, in the resource's spelling."""

    error_ratio_query: str


class CrSli(Part, frozen=True, kw_only=True):
    """How it is measured, in the resource's spelling."""

    events: CrEvents | None = None
    raw: CrRaw | None = None
    plugin: dict[str, Any] | None = None


class CrAlerting(Part, frozen=True, kw_only=True):
    """The alerts, in the resource's spelling."""

    name: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page_alert: AlertOf | None = None
    ticket_alert: AlertOf | None = None


class CrSlo(Part, frozen=True, kw_only=True):
    """One SLO of the resource."""

    name: str
    objective: Decimal
    sli: CrSli
    description: str | None = None
    alerting: CrAlerting | None = None
    labels: dict[str, str] = {}
    plugins: dict[str, Any] | None = None


class CrSpec(Part, frozen=True, kw_only=True):
    """The resource's spec."""

    service: str
    slos: list[CrSlo]
    labels: dict[str, str] = {}
    slo_plugins: dict[str, Any] | None = None


class Quick(Part, frozen=True, kw_only=True):
    """One pair of windows: it fires when so much of the budget goes in the long one."""

    error_budget_percent: Decimal
    short_window: Period
    long_window: Period


class Pairs(Part, frozen=True, kw_only=True):
    """The quick and the slow pair of a tier."""

    quick: Quick
    slow: Quick


class WindowsSpec(Part, frozen=True, kw_only=True):
    """Windows for SLOs of one period."""

    slo_period: Period
    page: Pairs
    ticket: Pairs


def windows(place: Place) -> tuple[str, list[Alert]] | None:
    """What an ``AlertWindows`` document says: its period, and the alerts for it."""
    spec = place.read(WindowsSpec, ("spec",))
    if spec is None:
        if not place.problems:
            place.note("sloth.missing", "'spec' is missing", (), "add spec: with sloPeriod, page and ticket")
        return None
    period = parse_duration(spec.slo_period)
    alerts = []
    for tier, pairs in (("page", spec.page), ("ticket", spec.ticket)):
        for pair in (pairs.quick, pairs.slow):
            burn = pair.error_budget_percent / 100 * Decimal(period / parse_duration(pair.long_window))
            alerts.append(
                Alert(
                    tier="page" if tier == "page" else "ticket",
                    burn=round(burn, 6).normalize(),
                    long=length(pair.long_window),
                    short=length(pair.short_window),
                )
            )
    return spec.slo_period, alerts


def read(place: Place, known: Mapping[str, list[Alert]]) -> list[SloSpec]:
    """Every SLO of a file or resource; ``known`` are the windows by period."""
    resource = place.data.get("kind") == "PrometheusServiceLevel"
    found: Any = place.read(CrSpec, ("spec",), lenient=True) if resource else place.read(File, lenient=True)
    if found is None:
        return []
    base: Path = ("spec",) if resource else ()
    return [
        spec
        for index, one in enumerate(found.slos)
        if (spec := _slo(place, found, one, (*base, "slos", index), known)) is not None
    ]


def _slo(place: Place, file: Any, one: Any, path: Path, known: Mapping[str, list[Alert]]) -> SloSpec | None:
    if not 0 < one.objective < 100:
        hint = "a percent between 0 and 100, such as 99.9"
        place.note("sloth.objective", f"an objective of {one.objective}", (*path, "objective"), hint)
        return None
    if one.objective < 1:
        hint = f"if you meant the ratio, write {(one.objective * 100).normalize():f}"
        place.lint("sloth.objective", f"{one.objective} is a percent", (*path, "objective"), hint)
    indicator = _indicator(place, one, path)
    if indicator is None:
        return None
    if one.plugins or file.slo_plugins:
        place.lint("sloth.unsupported", "SLO plugins are read past", path, "they make rules, which Watchbill needs not")
    alerting = one.alerting
    off = {
        tier
        for tier, alert in (
            ("page", alerting.page_alert if alerting else None),
            ("ticket", alerting.ticket_alert if alerting else None),
        )
        if alert is not None and alert.disable
    }
    usual = known.get(PERIOD)
    alerts = [alert for alert in usual or _USUAL if alert.tier not in off] if usual or off else []
    if off == {"page", "ticket"}:
        place.lint(
            "sloth.alerting", "both alerts are disabled; Watchbill keeps its usual ones", path, "see its tickets"
        )
    labels = {**file.labels, **one.labels}
    return SloSpec(
        name=one.name,
        service=file.service,
        description=one.description,
        labels={name: [value] for name, value in labels.items()},
        method="Occurrences",
        window=Window(span=Span(30, "d")),
        indicator=indicator,
        goals=[Goal(target=one.objective / 100)],
        alerts=alerts,
    )


def _indicator(place: Place, one: Any, path: Path) -> Indicator | None:
    sli, name = one.sli, slug(one.name)
    given = [kind for kind in ("events", "raw", "plugin") if getattr(sli, kind) is not None]
    if len(given) != 1:
        hint = "write one of events, raw and plugin"
        place.note("sloth.sli", f"the SLI has {', '.join(given) or 'nothing'}", (*path, "sli"), hint)
        return None
    if sli.plugin is not None:
        hint = "write the queries that the plugin makes, as events with error_query and total_query"
        place.note("sloth.unsupported", "SLI plugins run code that is not here", (*path, "sli", "plugin"), hint)
        return None
    if sli.raw is not None:
        return Indicator(name=name, raw=_query(sli.raw.error_ratio_query), raw_type="failure")
    return Indicator(name=name, counter=True, bad=_query(sli.events.error_query), total=_query(sli.events.total_query))


def _query(text: str) -> Query:
    """Sloth's ``[{{.window}}]`` is ours."""
    return Query(kind="Prometheus", spec={"query": _WINDOW.sub(WINDOW, text).strip()})


def length(text: str) -> Span:
    """A duration of Prometheus as a `Span`, in the largest unit that fits."""
    seconds = int(parse_duration(text).total_seconds())
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3600)):
        if seconds % size == 0:
            return Span(seconds // size, unit)  # type: ignore[arg-type]  # one of the units
    return Span(max(1, round(seconds / 60)), "m")


_USUAL = (
    Alert(tier="page", burn=Decimal("14.4"), long=Span(1, "h"), short=Span(5, "m")),
    Alert(tier="page", burn=Decimal(6), long=Span(6, "h"), short=Span(30, "m")),
    Alert(tier="ticket", burn=Decimal(3), long=Span(1, "d"), short=Span(2, "h")),
    Alert(tier="ticket", burn=Decimal(1), long=Span(3, "d"), short=Span(6, "h")),
)
