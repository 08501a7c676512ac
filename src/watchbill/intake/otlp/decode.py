"""An OTLP body into what the store takes: checked, without what cannot be stored, nothing deeper than it must be."""

from __future__ import annotations

import msgspec
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchbill.features.telemetry import Signal
from watchbill.intake.otlp import json_body
from watchbill.intake.otlp.flatten import flatten_attributes, flatten_value, may_be_nested
from watchbill.intake.otlp.replies import Encoding
from watchbill.kernel.errors import Invalid

_MINUTE_NS = 60_000_000_000
_FUTURE_NS = 86_400_000_000_000
_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)
_KINDS = {"gauge", "sum", "histogram", "exponential_histogram", "summary"}


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready to store.

    ``payload`` is a serialized Export request, empty when nothing is left. ``accepted`` and ``rejected`` count spans,
    data points or log records; ``message`` explains. ``late_minutes`` (Unix minutes) are touched by spans
    older than the horizon; ``kinds`` are the metric kinds inside.
    """

    payload: bytes
    accepted: int
    rejected: int = 0
    message: str = ""
    late_minutes: frozenset[int] = frozenset()
    kinds: frozenset[str] = frozenset()


class _Tally:
    """What is taken, what is refused and why, within the span of time that can be stored."""

    def __init__(self, *, now_ns: int, retention_ns: int, horizon_ns: int) -> None:
        self.now_ns = now_ns
        self.oldest = max(0, now_ns - retention_ns)
        self.newest = now_ns + _FUTURE_NS
        self.late_before = now_ns - horizon_ns
        self.accepted = 0
        self.rejected = 0
        self.reasons: dict[str, int] = {}
        self.late: set[int] = set()
        self.kinds: set[str] = set()
        self.changed = False

    def refuse(self, reason: str, number: int = 1) -> None:
        self.rejected += number
        self.reasons[reason] = self.reasons.get(reason, 0) + number
        self.changed = True

    def time_problem(self, at: int) -> str | None:
        if at < self.oldest:
            return "older than the retention of this Watchbill, or without a time"
        if at > self.newest:
            return "more than a day in the future"
        return None


def decode(
    signal: Signal, body: bytes, encoding: Encoding, *, now_ns: int, retention_ns: int, horizon_ns: int
) -> Decoded:
    """Check one request.

    A span needs a valid trace id (16 bytes, not all zero) and span id (8), and, as everything, a time that lies within
    the retention and not more than a day ahead; what fails is left out and counted (partial success).

    Raises:
        Invalid: the body cannot be decoded; sending it again will not help.
    """
    message: Message = {
        "traces": ExportTraceServiceRequest,
        "metrics": ExportMetricsServiceRequest,
        "logs": ExportLogsServiceRequest,
    }[signal]()
    snakes: set[str] = set()
    if encoding == "json":
        snakes = json_body.parse(body, message)
    else:
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            raise Invalid(
                f"this is not a protobuf {message.DESCRIPTOR.name}", hint="check the exporter's path and encoding"
            ) from error
    tally = _Tally(now_ns=now_ns, retention_ns=retention_ns, horizon_ns=horizon_ns)
    raw = message.SerializeToString() if encoding == "json" else body
    nested = may_be_nested(raw)
    if isinstance(message, ExportTraceServiceRequest):
        _traces(message, tally, nested)
    elif isinstance(message, ExportMetricsServiceRequest):
        _metrics(message, tally, nested)
    elif isinstance(message, ExportLogsServiceRequest):
        _logs(message, tally, nested)
    payload = message.SerializeToString() if tally.changed or nested else raw
    words = [f"{number} refused: {reason}" for reason, number in sorted(tally.reasons.items())]
    if snakes:
        words.append(f"ignored, OTLP/JSON names are lowerCamelCase: {', '.join(sorted(snakes))}")
    return Decoded(
        payload=payload if tally.accepted else b"",
        accepted=tally.accepted,
        rejected=tally.rejected,
        message="; ".join(words),
        late_minutes=frozenset(tally.late),
        kinds=frozenset(tally.kinds),
    )


def _traces(request: ExportTraceServiceRequest, tally: _Tally, nested: bool) -> None:
    oldest, newest, late_before = tally.oldest, tally.newest, tally.late_before
    for resource in request.resource_spans:
        if nested:
            flatten_attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            spans = scope.spans
            refused: list[int] = []
            for index, span in enumerate(spans):
                trace_id, span_id, at = span.trace_id, span.span_id, span.start_time_unix_nano
                if (
                    len(trace_id) != 16
                    or len(span_id) != 8
                    or trace_id == _NO_TRACE
                    or span_id == _NO_SPAN
                    or len(span.parent_span_id) not in (0, 8)
                ):
                    tally.refuse("an invalid trace, span or parent id")
                    refused.append(index)
                elif at < oldest or at > newest:
                    tally.refuse(tally.time_problem(at) or "")
                    refused.append(index)
                elif at < late_before:
                    tally.late.add(at // _MINUTE_NS)
            for index in reversed(refused):
                del spans[index]
            tally.accepted += len(spans)
            if nested:
                for span in spans:
                    flatten_attributes(span.attributes)
                    for event in span.events:
                        flatten_attributes(event.attributes)
                    for link in span.links:
                        flatten_attributes(link.attributes)


def _metrics(  # noqa: PLR0912 - five nested levels of one message
    request: ExportMetricsServiceRequest, tally: _Tally, nested: bool
) -> None:
    for resource in request.resource_metrics:
        if nested:
            flatten_attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            if nested:
                flatten_attributes(scope.scope.attributes)
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind not in _KINDS:
                    continue
                points = getattr(metric, kind).data_points
                refused: list[int] = []
                for index, point in enumerate(points):
                    problem = tally.time_problem(point.time_unix_nano)
                    if problem is None and point.start_time_unix_nano > tally.newest:
                        problem = "more than a day in the future"
                    if problem is not None:
                        tally.refuse(problem)
                        refused.append(index)
                        continue
                    if nested:
                        flatten_attributes(point.attributes)
                        for exemplar in getattr(point, "exemplars", ()):
                            flatten_attributes(exemplar.filtered_attributes)
                for index in reversed(refused):
                    del points[index]
                if points:
                    tally.kinds.add(kind)
                    tally.accepted += len(points)


def _logs(request: ExportLogsServiceRequest, tally: _Tally, nested: bool) -> None:
    for resource in request.resource_logs:
        if nested:
            flatten_attributes(resource.resource.attributes)
        for scope in resource.scope_logs:
            if nested:
                flatten_attributes(scope.scope.attributes)
            records = scope.log_records
            refused: list[int] = []
            for index, record in enumerate(records):
                if not record.time_unix_nano and not record.observed_time_unix_nano:
                    record.observed_time_unix_nano = tally.now_ns
                    tally.changed = True
                problem = tally.time_problem(record.time_unix_nano or record.observed_time_unix_nano)
                if problem is not None:
                    tally.refuse(problem)
                    refused.append(index)
                    continue
                if record.body.WhichOneof("value") in {"array_value", "kvlist_value"}:
                    flatten_value(record.body)
                    tally.changed = True
                if nested:
                    flatten_attributes(record.attributes)
            for index in reversed(refused):
                del records[index]
            tally.accepted += len(records)
