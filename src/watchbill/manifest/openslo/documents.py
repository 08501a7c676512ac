# ruff: noqa: RUF012  msgspec copies an empty list or dict default for each instance
"""The documents of OpenSLO v1 and v2alpha as their specifications write them.

Source: https://github.com/OpenSLO/OpenSLO (README.md for v1, enhancements/v2alpha.md). Attribute names are those of v1;
where v2alpha calls a key otherwise, `of_v2alpha` has a struct with that key.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from watchbill.manifest.openslo.spec import Method, Operator, RawType
from watchbill.manifest.words import Part

Text = Annotated[str, Meta(max_length=1050, extra={"expected": "a text of at most 1050 characters"})]
Shorthand = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]*[mhdwMQY]$", extra={"expected": "a duration such as 5m, 1h, 28d, 4w, 1M, 1Q or 1Y"}),
]
Slice = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]*[mhdwMQY]?$", extra={"expected": "a duration such as 5m; a bare number means minutes"}),
]
Ratio = Annotated[
    Decimal,
    Meta(extra={"expected": "a ratio from 0 up to but not including 1, such as 0.999"}),
]
Number = Annotated[Decimal, Meta(extra={"expected": "a number"})]
Annotations = dict[str, str]
Labels = dict[str, str | list[str]]


class Metadata(Part, frozen=True, kw_only=True):
    """What a document is called."""

    name: str
    display_name: str | None = None
    labels: Labels = {}
    annotations: Annotations = {}


class Service(Part, frozen=True, kw_only=True):
    """A service that SLOs belong to."""

    description: Text | None = None


class DataSource(Part, frozen=True, kw_only=True):
    """Where metrics are; ``connection_details`` stay where they are: they hold credentials."""

    type: str
    connection_details: dict[str, Any] = {}
    description: Text | None = None


class MetricSource(Part, frozen=True, kw_only=True):
    """What is asked, and of whom (v1)."""

    metric_source_ref: str | None = None
    type: str | None = None
    spec: dict[str, Any] = {}


class Metric(Part, frozen=True, kw_only=True):
    """A metric (v1)."""

    metric_source: MetricSource


class Metric2(Part, frozen=True, kw_only=True):
    """A metric (v2alpha)."""

    data_source_ref: str | None = None
    data_source: DataSource | None = None
    data_source_spec: DataSource | None = None
    spec: dict[str, Any] = {}


class RatioMetric(Part, frozen=True, kw_only=True):
    """Good or bad of total, or a ready ratio (v1)."""

    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw_type: RawType | None = None
    raw: Metric | None = None


class RatioMetric2(Part, frozen=True, kw_only=True):
    """Good or bad of total, or a ready ratio (v2alpha)."""

    counter: bool = False
    good: Metric2 | None = None
    bad: Metric2 | None = None
    total: Metric2 | None = None
    raw_type: RawType | None = None
    raw: Metric2 | None = None


class Sli(Part, frozen=True, kw_only=True):
    """How something is measured (v1)."""

    description: Text | None = None
    threshold_metric: Metric | None = None
    ratio_metric: RatioMetric | None = None


class Sli2(Part, frozen=True, kw_only=True):
    """How something is measured (v2alpha)."""

    description: Text | None = None
    threshold_metric: Metric2 | None = None
    ratio_metric: RatioMetric2 | None = None


class InlineSli(Part, frozen=True, kw_only=True):
    """An SLI written inside an SLO (v1)."""

    metadata: Metadata
    spec: Sli


class InlineSli2(Part, frozen=True, kw_only=True):
    """An SLI written inside an SLO (v2alpha)."""

    metadata: Metadata
    spec: Sli2


class Calendar(Part, frozen=True, kw_only=True):
    """Where a calendar window begins: a date and time without zone, and an IANA zone."""

    start_time: str
    time_zone: str


class TimeWindow(Part, frozen=True, kw_only=True):
    """Rolling, or by the calendar."""

    duration: Shorthand
    is_rolling: bool | None = None
    calendar: Calendar | None = None


class Goal(Part, frozen=True, kw_only=True):
    """One objective (v1)."""

    display_name: str | None = None
    op: Operator | None = None
    value: Number | None = None
    target: Ratio | None = None
    target_percent: Number | None = None
    time_slice_target: Number | None = None
    time_slice_window: Slice | None = None
    indicator: InlineSli | None = None
    indicator_ref: str | None = None
    composite_weight: Number | None = None


class Goal2(Part, frozen=True, kw_only=True):
    """One objective (v2alpha)."""

    display_name: str | None = None
    labels: Labels = {}
    op: Operator | None = None
    value: Number | None = None
    target: Ratio | None = None
    target_percent: Number | None = None
    time_slice_target: Number | None = None
    time_slice_window: Slice | None = None
    indicator: InlineSli2 | None = msgspec.field(default=None, name="sli")
    indicator_ref: str | None = msgspec.field(default=None, name="sliRef")
    composite_weight: Number | None = None


class Burn(Part, frozen=True, kw_only=True):
    """When a condition holds: the burn rate over ``lookback_window`` against ``threshold``."""

    kind: Annotated[Literal["burnrate"], Meta(extra={"expected": "burnrate"})]
    threshold: Number
    lookback_window: Shorthand
    op: Operator | None = None
    alert_after: (
        Annotated[str, Meta(pattern=r"^[0-9]+[mhdwMQY]$", extra={"expected": "a duration such as 5m"})] | None
    ) = None


class AlertCondition(Part, frozen=True, kw_only=True):
    """A condition and how bad it is."""

    severity: str
    condition: Burn
    description: Text | None = None


class AlertTarget(Part, frozen=True, kw_only=True):
    """Whom to tell."""

    target: str
    description: Text | None = None


class UseOfCondition(Part, frozen=True, kw_only=True):
    """A condition by name, or written here."""

    condition_ref: str | None = None
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: AlertCondition | None = None


class UseOfTarget(Part, frozen=True, kw_only=True):
    """A target by name, or written here."""

    target_ref: str | None = None
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: Metadata | None = None
    spec: AlertTarget | None = None


class AlertPolicy(Part, frozen=True, kw_only=True):
    """What is told to whom."""

    conditions: list[UseOfCondition]
    notification_targets: list[UseOfTarget] = []
    description: Text | None = None
    alert_when_no_data: bool = False
    alert_when_resolved: bool = False
    alert_when_breaching: bool = False


class UseOfPolicy(Part, frozen=True, kw_only=True):
    """A policy by name, or written here."""

    alert_policy_ref: str | None = None
    kind: Literal["AlertPolicy"] | None = None
    metadata: Metadata | None = None
    spec: AlertPolicy | None = None


class Slo(Part, frozen=True, kw_only=True):
    """An SLO (v1)."""

    service: str
    budgeting_method: Method
    objectives: Annotated[list[Goal], Meta(min_length=1)]
    time_window: Annotated[list[TimeWindow], Meta(max_length=1)] = []
    description: Text | None = None
    indicator: InlineSli | None = None
    indicator_ref: str | None = None
    alert_policies: list[str | UseOfPolicy] = []


class Slo2(Part, frozen=True, kw_only=True):
    """An SLO (v2alpha; the SDK writes ``serviceRef``)."""

    budgeting_method: Method
    objectives: Annotated[list[Goal2], Meta(min_length=1)]
    service: str | None = None
    service_ref: str | None = None
    time_window: Annotated[list[TimeWindow], Meta(max_length=1)] = []
    description: Text | None = None
    indicator: InlineSli2 | None = msgspec.field(default=None, name="sli")
    indicator_ref: str | None = msgspec.field(default=None, name="sliRef")
    alert_policies: list[str | UseOfPolicy] = []


SPECS: dict[str, type[Part]] = {
    "Service": Service,
    "DataSource": DataSource,
    "SLI": Sli,
    "SLO": Slo,
    "AlertPolicy": AlertPolicy,
    "AlertCondition": AlertCondition,
    "AlertNotificationTarget": AlertTarget,
}
"""What the ``spec`` of each kind of v1 is made of."""
SPECS_2: dict[str, type[Part]] = {**SPECS, "SLI": Sli2, "SLO": Slo2}
"""Those of v2alpha."""
