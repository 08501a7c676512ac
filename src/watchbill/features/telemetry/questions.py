"""Questions about spans for screens and for the search of causes; every one reads the Collector's tables as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from watchbill.features.telemetry.counts import BAD, ENTRY
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.model import ServiceTraffic, Span

_SPAN = """TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind,
    toUnixTimestamp64Nano(toDateTime64(Timestamp, 9)), Duration, StatusCode, StatusMessage,
    SpanAttributes, ResourceAttributes"""


def _spans(rows: Sequence[Sequence[Any]]) -> list[Span]:
    return [
        Span(
            trace_id=row[0],
            span_id=row[1],
            parent_span_id=row[2],
            service_name=row[3],
            name=row[4],
            kind=row[5].removeprefix("SPAN_KIND_").capitalize(),
            started_at=datetime.fromtimestamp(row[6] // 1000 / 1_000_000, UTC),
            duration_ns=int(row[7]),
            status=row[8].removeprefix("STATUS_CODE_").capitalize(),
            status_message=row[9],
            attributes=dict(row[10]),
            resource=dict(row[11]),
        )
        for row in rows
    ]


def recent_traffic(engine: Engine, *, since: datetime) -> list[ServiceTraffic]:
    """Distinct root and SERVER spans per service since ``since``."""
    rows = engine.rows(
        f"""SELECT ServiceName, uniqExact(TraceId, SpanId), uniqExactIf((TraceId, SpanId), {BAD}),
            toUnixTimestamp(max(Timestamp))
        FROM otel_traces WHERE Timestamp >= toDateTime({{since:UInt32}}, 'UTC') AND {ENTRY}
        GROUP BY ServiceName ORDER BY 2 DESC, 1""",
        {"since": int(since.timestamp())},
    )
    return [
        ServiceTraffic(service_name=name, spans=spans, errors=errors, last_span_at=datetime.fromtimestamp(at, UTC))
        for name, spans, errors, at in rows
    ]


def trace(engine: Engine, *, trace_id: str) -> list[Span]:
    """One trace by its id (32 hex digits, either case), found by way of ``otel_traces_trace_id_ts``."""
    rows = engine.rows(
        f"""WITH (SELECT (min(Start), max(End)) FROM otel_traces_trace_id_ts
            WHERE TraceId = {{trace:String}}) AS times
        SELECT {_SPAN} FROM otel_traces
        WHERE TraceId = {{trace:String}} AND Timestamp >= times.1 - 1 AND Timestamp <= times.2 + 1
        ORDER BY Timestamp, SpanId LIMIT 1 BY SpanId, ServiceName LIMIT 10000""",
        {"trace": trace_id.lower()},
    )
    return _spans(rows)


def latest_spans(engine: Engine, *, service_name: str, since: datetime, limit: int) -> list[Span]:
    """The newest ``limit`` spans of a service since ``since``."""
    rows = engine.rows(
        f"""SELECT {_SPAN} FROM otel_traces
        WHERE ServiceName = {{service:String}} AND Timestamp >= toDateTime({{since:UInt32}}, 'UTC')
        ORDER BY Timestamp DESC, SpanId LIMIT 1 BY TraceId, SpanId LIMIT {{limit:UInt32}}""",
        {"service": service_name, "since": int(since.timestamp()), "limit": limit},
    )
    return _spans(rows)
