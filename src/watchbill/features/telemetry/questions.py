"""Questions about spans for screens and for the search of causes; every one reads the Collector's tables as well."""

from __future__ import annotations

from datetime import UTC, datetime

from watchbill.features.telemetry.counts import BAD, ENTRY
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.model import ServiceTraffic, Span
from watchbill.features.telemetry.traces import SPAN_COLUMNS, to_spans


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


def latest_spans(engine: Engine, *, service_name: str, since: datetime, limit: int) -> list[Span]:
    """The newest ``limit`` spans of a service since ``since``."""
    rows = engine.rows(
        f"""SELECT {SPAN_COLUMNS} FROM otel_traces
        WHERE ServiceName = {{service:String}} AND Timestamp >= toDateTime({{since:UInt32}}, 'UTC')
        ORDER BY Timestamp DESC, SpanId LIMIT 1 BY TraceId, SpanId LIMIT {{limit:UInt32}}""",
        {"service": service_name, "since": int(since.timestamp()), "limit": limit},
    )
    return to_spans(rows)
