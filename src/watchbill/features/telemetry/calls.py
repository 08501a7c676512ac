"""What an operation's traces call: for each sampled root trace, how often each component was entered and how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from watchbill.features.telemetry.counts import ENTRY, ENVIRONMENT, METHOD, PATH, WEIGHT
from watchbill.features.telemetry.engine import Engine


class GetCalls(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="calls"):
    """At most ``limit`` traces with an entry span of a service (named or routed ``name`` when given), drawn evenly by
    the hash of their ids."""

    service_name: str
    environment: str
    start_at: datetime
    end_at: datetime
    name: str | None = None
    limit: Annotated[int, Meta(ge=30, le=2000)] = 500


class TraceCalls(msgspec.Struct, frozen=True, kw_only=True):
    """One trace. ``load`` is how many entry spans of the operation began in its minute; ``weight`` what it stands for
    by its sampling. ``calls`` and ``busy_ms`` are by ``service.name``: root, SERVER and CONSUMER spans, and the sum of
    their durations."""

    weight: float
    load: float
    calls: Mapping[str, float]
    busy_ms: Mapping[str, float]


_RANGE = """Timestamp >= toDateTime64({from:Float64}, 6, 'UTC') AND Timestamp < toDateTime64({to:Float64}, 6, 'UTC')"""
_ENTERED = f"({ENTRY} OR SpanKind IN ('Consumer', 'SPAN_KIND_CONSUMER', 'CONSUMER'))"

_SQL = f"""
WITH entries AS (
    SELECT TraceId, min(toStartOfMinute(Timestamp)) AS minute, max(ifNull({WEIGHT}, 1.)) AS weight
    FROM otel_traces
    WHERE ServiceName = {{service:String}} AND {ENVIRONMENT} = {{environment:String}} AND {ENTRY} AND {_RANGE}
        AND ({{name:String}} = '' OR {{name:String}} IN (SpanName, {PATH}, concat({METHOD}, ' ', {PATH})))
    GROUP BY TraceId
), loads AS (SELECT minute, sum(weight) AS load FROM entries GROUP BY minute),
chosen AS (SELECT TraceId, minute, weight FROM entries ORDER BY cityHash64(TraceId) LIMIT {{limit:UInt32}})
SELECT chosen.TraceId, any(chosen.weight), any(loads.load), spans.ServiceName, count(), sum(spans.Duration) / 1e6
FROM (
    SELECT TraceId, SpanId, ServiceName, Duration FROM otel_traces
    WHERE TraceId IN (SELECT TraceId FROM chosen) AND {_ENTERED}
        AND Timestamp >= toDateTime64({{from:Float64}} - 60, 6, 'UTC')
        AND Timestamp < toDateTime64({{to:Float64}} + 600, 6, 'UTC')
    LIMIT 1 BY TraceId, SpanId
) AS spans
JOIN chosen ON chosen.TraceId = spans.TraceId JOIN loads ON loads.minute = chosen.minute
GROUP BY chosen.TraceId, spans.ServiceName
SETTINGS max_execution_time = 2, max_threads = 2"""


def calls_of(engine: Engine, question: GetCalls) -> list[TraceCalls]:
    """Answer the question; no traces, no lines.

    Raises:
        Unavailable: the engine is away, or slower than the time there is.
    """
    rows = engine.rows(
        _SQL,
        {
            "service": question.service_name,
            "environment": question.environment,
            "from": question.start_at.timestamp(),
            "to": question.end_at.timestamp(),
            "name": question.name or "",
            "limit": question.limit,
        },
    )
    found: dict[str, tuple[float, float, dict[str, float], dict[str, float]]] = {}
    for trace_id, weight, load, service, count, busy in rows:
        _, _, calls, times = found.setdefault(trace_id, (float(weight), float(load), {}, {}))
        calls[service] = float(count)
        times[service] = float(busy)
    return [
        TraceCalls(weight=weight, load=load, calls=calls, busy_ms=times)
        for weight, load, calls, times in found.values()
    ]
