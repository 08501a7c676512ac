"""What telemetry is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Signal = Literal["traces", "metrics", "logs"]
Outcome = Literal["good", "bad"]
Degraded = Literal["good", "bad", "apart"]
"""How answers count that did without a dependency (`reliability.degraded`); apart: not at all."""

Reason = Literal["nothing_reported", "sampling_unknown", "metrics_pending"]


class OperationMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Which spans are one operation, and what makes one of them good.

    Only root and SERVER spans of ``service_name`` count. ``route`` is ``"POST /charge"`` or ``"/charge"``
    (any method); it is compared with ``http.route``, else the path, else the span's name. All given
    conditions must hold. ``attributes`` are looked up on the span, then on its resource.
    ``latency_threshold_ns`` makes the objective a latency one: good is not failed *and* not slower.
    A span without a deployment environment belongs to ``production``.
    """

    operation_id: UUID
    objective: str
    service_name: str
    route: str | None = None
    span_name: str | None = None
    attributes: Mapping[str, str] = msgspec.field(default_factory=dict)
    latency_threshold_ns: int | None = None
    environment: str = "production"
    degraded: Degraded = "good"


class MetricMatch(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute of a point (or of its resource) that has one of ``values``; ``5*`` is what begins with 5."""

    key: str
    values: tuple[str, ...]


class MetricSelector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The streams of a metric of which every match is true."""

    name: str
    where: tuple[MetricMatch, ...] = ()


class CounterCount(msgspec.Struct, frozen=True, kw_only=True):
    """Events that counters told of in one slice; a slice that is not named was not measured."""

    slice_at: datetime
    good: int
    total: int


class SliceCount(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one operation and objective in ``[slice_at, slice_at + slice)``.

    ``good`` and ``total`` are events, weighted by their sampling probability (so they may be fractional).
    ``measured`` is false when nothing at all reported in the slice, when the operation's spans are sampled
    with an unknown probability, or when its metrics are not exported yet; ``reason`` then says which. ``total == 0``
    with ``measured`` means: others reported, this operation did not.
    """

    operation_id: UUID
    objective: str
    slice_at: datetime
    good: float
    total: float
    measured: bool
    reason: Reason | None = None


class WindowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one operation and objective over ``[end - window, end)``.

    ``slices`` is the window's length in slices, ``measured_slices`` how many of them are measured;
    events of unmeasured slices are not in ``good`` and ``total``.
    """

    operation_id: UUID
    objective: str
    window_seconds: int
    good: float
    total: float
    slices: int
    measured_slices: int
    reason: Reason | None = None


class ServiceTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """How many distinct root/SERVER spans a service sent lately, and when the last one started."""

    service_name: str
    spans: int
    errors: int
    last_span_at: datetime


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One stored span; ids are lower-case hex, ``parent_span_id`` is empty for a root."""

    trace_id: str
    span_id: str
    parent_span_id: str
    service_name: str
    name: str
    kind: str
    started_at: datetime
    duration_ns: int
    status: str
    status_message: str
    attributes: dict[str, str]
    resource: dict[str, str]


class CountColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of ``slices`` consecutive slices from number ``first`` (Unix seconds // ``slice_seconds``).

    ``offsets`` names the slices with events, in order, with their ``bad`` and ``total`` in whole events (weighted
    counts are rounded once). ``unmeasured`` are stretches [from, until) of offsets in which nobody reported, or the
    sampling was unknown; the rest of the slices had no events.
    """

    first: int
    slice_seconds: int
    slices: int
    offsets: list[int]
    bad: list[int]
    total: list[int]
    unmeasured: list[tuple[int, int]]


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One trace in a list, told by its root or SERVER span that was looked for. ``outcome`` is what an SLI counts."""

    trace_id: str
    span_id: str
    service_name: str
    name: str
    started_at: datetime
    duration_ns: int
    outcome: Outcome
    status_message: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One log record of a trace; ``severity`` as it was sent, else its number's name."""

    at: datetime
    service_name: str
    severity: str
    body: str
    span_id: str
    attributes: dict[str, str]


class Inserted(msgspec.Struct, frozen=True, kw_only=True):
    """What one durable insert wrote."""

    requests: int
    byte_count: int
