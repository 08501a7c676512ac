"""Words of SLOs: an objective on an operation, its burn windows, its state and its budget."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID

import msgspec

from watchbill.features.telemetry import Degraded, MetricSelector

State = Literal["ok", "firing", "recovering", "unmeasured"]
Tier = Literal["page", "ticket"]
PARTS = 1_000_000
"""A slice of *RatioTimeslices* counts as so many events, of which its share of bad ones are bad."""
STATES: tuple[State, ...] = ("ok", "firing", "recovering", "unmeasured")


Method = Literal["occurrences", "timeslices", "ratio_timeslices"]
"""How events become a budget (OpenSLO, ``budgetingMethod``)."""


class PrometheusSource(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prometheus", omit_defaults=True
):
    """Counts pulled from a Prometheus (or Mimir, Thanos, VictoriaMetrics): how many events there were in ``$window``.

    ``total`` and one of ``good`` and ``bad`` are PromQL that answers one number, such as
    ``sum(increase(http_requests_total{job="shop"}[$window]))``. ``server`` names one of WATCHBILL_PROMETHEUS_URLS.
    """

    total: str
    good: str | None = None
    bad: str | None = None
    server: str = "default"


class PushedSource(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pushed"):
    """Counts that somebody sends (``POST /api/v1/slos/{id}/counts``)."""


class ProbeSource(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="probe", omit_defaults=True):
    """A GET of ``url`` in every slice: good when it answers ``status`` (any below 500 when None) in time."""

    url: str
    status: int | None = None


class MetricSource(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="metric", omit_defaults=True):
    """Counters that the operation's own service sends by OTLP: two of total, good and bad.

    Or a ``gauge``: a slice is good when it stays within its bounds.
    """

    total: MetricSelector | None = None
    good: MetricSelector | None = None
    bad: MetricSelector | None = None
    gauge: MetricSelector | None = None
    at_most: float | None = None
    at_least: float | None = None


Source = PrometheusSource | PushedSource | ProbeSource | MetricSource


class AlertWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tell when both windows burn faster than ``burn`` × sustainable; the short one is a twelfth where not given."""

    tier: Tier
    burn: Decimal
    long_seconds: int
    short_seconds: int | None = None


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Periods of ``amount`` × ``unit`` on the wall clock of ``zone`` from ``start`` (ISO, without a zone)."""

    amount: int
    unit: Literal["d", "w", "M", "Q", "Y"]
    start: str
    zone: str


class Measure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an objective is measured when it is not simply the spans of its operation.

    ``slice_target`` (a percent) and ``slice_seconds`` belong to time slices: with ``timeslices`` a slice is good when
    at least that share of its events is; with ``ratio_timeslices`` every slice weighs the same. A slice without events
    is no slice. For ``burn_in_seconds`` after it was made a new SLO pages nobody. ``alerts`` stand instead of the usual
    windows; ``calendar`` instead of a rolling window. ``degraded`` says how answers count that a service marked as
    doing without a dependency: as good, as bad, or apart (not at all).
    """

    source: Source | None = None
    burn_in_seconds: int | None = None
    alerts: tuple[AlertWindow, ...] | None = None
    calendar: Calendar | None = None
    method: Method = "occurrences"
    slice_target: Decimal | None = None
    slice_seconds: int = 60
    degraded: Degraded = "good"


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised about an operation. ``target`` is a percent; ``threshold`` makes it a latency objective."""

    name: str
    target: Decimal
    window: timedelta
    threshold: timedelta | None = None
    measure: Measure | None = None


class ObjectiveSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An objective in its place: the operation (and its service) it is promised for."""

    operation_id: UUID
    service_id: UUID
    name: str
    target: Decimal
    window: timedelta
    threshold: timedelta | None = None
    environment: str = "production"
    measure: Measure | None = None


class SyncResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many SLOs an apply added (or brought back), changed and retired."""

    added: int = 0
    changed: int = 0
    retired: int = 0


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO. Its id is permanent: through changes of target, retirement and return."""

    id: UUID
    operation_id: UUID
    service_id: UUID
    name: str
    target: Decimal
    window_seconds: int
    threshold_ms: int | None
    environment: str
    created_at: datetime
    changed_at: datetime
    removed_at: datetime | None
    measure: Measure | None = None

    @property
    def source(self) -> Source | None:
        """Where its counts come from; None: the spans of its operation."""
        return self.measure.source if self.measure else None

    @property
    def calendar(self) -> Calendar | None:
        """The periods it is promised for; None: the window rolls."""
        return self.measure.calendar if self.measure else None

    @property
    def alerts(self) -> tuple[AlertWindow, ...] | None:
        """Its own burn windows; None: the usual ones."""
        return self.measure.alerts if self.measure else None

    @property
    def burns_in_until(self) -> datetime | None:
        """Until when its pages are tickets; None: they never were."""
        if self.measure is None or self.measure.burn_in_seconds is None:
            return None
        return self.created_at + timedelta(seconds=self.measure.burn_in_seconds)

    @property
    def unit_seconds(self) -> int:
        """The length of its time slices; 0 where events are counted."""
        sliced = self.measure is not None and self.measure.method != "occurrences"
        return self.measure.slice_seconds if self.measure and sliced else 0

    def told(self, count: int) -> int:
        """A count as people read it: of events, or of time slices (of which those in part bad are added up)."""
        each = PARTS if self.measure is not None and self.measure.method == "ratio_timeslices" else 1
        return (count + each // 2) // each

    @property
    def budget_share(self) -> Fraction:
        """The share of events that may fail, exact: 99.9 % gives 1/1000."""
        return 1 - Fraction(self.target) / 100


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What an SLO promised since ``at``: changing a target does not rewrite the past."""

    slo_id: UUID
    at: datetime
    target: Decimal
    window_seconds: int
    threshold_ms: int | None
    actor_kind: str
    actor_id: str


class BurnWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of windows, in slices. Over when bad/total exceeds ``factor`` × the budget share."""

    tier: Tier
    short_slices: int
    long_slices: int
    factor: Fraction


class DroppedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A pair that could never fire, or would nag; and why, in words."""

    tier: Tier
    long_seconds: int
    factor: Fraction
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The burn windows that work for an SLO, and those that were dropped with their reasons."""

    windows: tuple[BurnWindow, ...]
    dropped: tuple[DroppedWindow, ...]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An error budget, exact. ``spent`` and ``remaining`` are shares of the whole (1 is all of it).

    ``remaining`` is negative when more was spent than there was. With no events at all nothing is spent.
    """

    bad: int
    total: int
    allowed: Fraction
    spent: Fraction
    remaining: Fraction


class WindowReading(msgspec.Struct, frozen=True, kw_only=True):
    """What one pair of windows saw at the last evaluation. Burns are multiples of the sustainable rate."""

    tier: Tier
    short_seconds: int
    long_seconds: int
    factor: float
    short_burn: float | None
    long_burn: float | None
    over_short: bool
    over_long: bool


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state as written for everybody to see.

    ``budget_remaining`` is a share of the whole budget (1 = untouched, negative = overspent), None
    while unknown. ``burn`` is the burn rate over the shortest long window. Minutes that are excluded count in none
    of these: ``excluded_seconds`` says how much of the budget's window is, ``excluded_bad`` and ``excluded_total``
    what would count besides, and ``budget_without`` what would remain if nothing were excluded (None: nothing is).
    """

    slo_id: UUID
    state: State
    tier: Tier | None
    cause: Literal["burn", "traffic"] | None
    reason: str
    since_at: datetime
    evaluated_at: datetime
    budget_remaining: Decimal | None
    bad: int
    total: int
    burn: float | None
    exhausted_at: datetime | None
    windows: list[WindowReading]
    memory: dict[str, Any]
    excluded_seconds: int = 0
    excluded_bad: int = 0
    excluded_total: int = 0
    budget_without: Decimal | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a chart: the bucket's start, its burn rate and the budget remaining at its end."""

    at: datetime
    burn: float | None
    budget_remaining: float | None
    bad: int
    total: int
