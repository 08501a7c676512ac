"""Finding traces, and reading one with its logs; every question reads the Collector's tables as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchbill.features.telemetry.counts import BAD, ENTRY, ENVIRONMENT, METHOD, PATH
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.model import LogLine, Outcome, Span, TraceLine

# A screen waits for the answer: better none than a late one that keeps a core busy.
_LIMITS = "SETTINGS max_execution_time = 2, max_threads = 2"

_NANOS = "toUnixTimestamp64Nano(toDateTime64(Timestamp, 9))"
_SPAN = f"""TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, {_NANOS}, Duration, StatusCode,
    StatusMessage, SpanAttributes, ResourceAttributes"""


def find(
    engine: Engine,
    *,
    start_at: datetime,
    end_at: datetime,
    service_name: str | None,
    name: str | None,
    outcome: Outcome | None,
    at_least_ms: float | None,
    at_most_ms: float | None,
    attributes: Mapping[str, str],
    environment: str | None,
    limit: int,
) -> list[TraceLine]:
    """The newest traces whose entry span meets every condition; see `asking.FindTraces`."""
    conditions = [
        "Timestamp >= toDateTime64({from:Float64}, 6, 'UTC')",
        "Timestamp < toDateTime64({to:Float64}, 6, 'UTC')",
        ENTRY,
    ]
    given: dict[str, Any] = {"from": start_at.timestamp(), "to": end_at.timestamp(), "limit": limit}
    if service_name is not None:
        conditions.append("ServiceName = {service:String}")
        given["service"] = service_name
    if name is not None:
        conditions.append(f"{{name:String}} IN (SpanName, {PATH}, concat({METHOD}, ' ', {PATH}))")
        given["name"] = name
    if outcome is not None:
        conditions.append(f"{BAD} = {1 if outcome == 'bad' else 0}")
    for bound, sign, key in ((at_least_ms, ">=", "least"), (at_most_ms, "<=", "most")):
        if bound is not None:
            conditions.append(f"Duration {sign} {{{key}:UInt64}}")
            given[key] = min(int(bound * 1_000_000), 2**63)
    for position, (key, value) in enumerate(sorted(attributes.items())):
        found = f"if(mapContains(SpanAttributes, {{k{position}:String}}), SpanAttributes, ResourceAttributes)"
        conditions.append(f"{found}[{{k{position}:String}}] = {{v{position}:String}}")
        given |= {f"k{position}": key, f"v{position}": value}
    if environment is not None:
        conditions.append(f"{ENVIRONMENT} = {{environment:String}}")
        given["environment"] = environment
    rows = engine.rows(
        f"""SELECT * FROM (
            SELECT TraceId, SpanId, ServiceName, SpanName, {_NANOS} AS started, Duration, {BAD}, StatusMessage
            FROM otel_traces WHERE {" AND ".join(conditions)}
            ORDER BY Timestamp, SpanId LIMIT 1 BY TraceId)
        ORDER BY started DESC LIMIT {{limit:UInt32}} {_LIMITS}""",
        given,
    )
    return [
        TraceLine(
            trace_id=row[0],
            span_id=row[1],
            service_name=row[2],
            name=row[3],
            started_at=_instant(row[4]),
            duration_ns=int(row[5]),
            outcome="bad" if row[6] else "good",
            status_message=row[7],
        )
        for row in rows
    ]


def spans_of(engine: Engine, *, trace_id: str) -> list[Span]:
    """One trace by its id (hex digits, either case), found by way of ``otel_traces_trace_id_ts``."""
    rows = engine.rows(
        f"""WITH (SELECT (min(Start), max(End)) FROM otel_traces_trace_id_ts
            WHERE TraceId = {{trace:String}}) AS times
        SELECT {_SPAN} FROM otel_traces
        WHERE TraceId = {{trace:String}} AND Timestamp >= times.1 - 1 AND Timestamp <= times.2 + 1
        ORDER BY Timestamp, SpanId LIMIT 1 BY SpanId, ServiceName LIMIT 10000 {_LIMITS}""",
        {"trace": trace_id.lower()},
    )
    return to_spans(rows)


def logs_of(engine: Engine, *, trace_id: str, limit: int) -> list[LogLine]:
    """The log lines that carry this trace's id, in order."""
    rows = engine.rows(
        f"""SELECT {_NANOS}, ServiceName, SeverityText, SeverityNumber, Body, SpanId, LogAttributes
        FROM otel_logs WHERE TraceId = {{trace:String}}
        ORDER BY Timestamp LIMIT {{limit:UInt32}} {_LIMITS}""",
        {"trace": trace_id.lower(), "limit": limit},
    )
    return [
        LogLine(
            at=_instant(row[0]),
            service_name=row[1],
            severity=row[2] or _severity(int(row[3])),
            body=row[4],
            span_id=row[5],
            attributes=dict(row[6]),
        )
        for row in rows
    ]


def to_spans(rows: Sequence[Sequence[Any]]) -> list[Span]:
    """Rows of `_SPAN` as structs; kind and status as OTLP names them, whoever wrote them."""
    return [
        Span(
            trace_id=row[0],
            span_id=row[1],
            parent_span_id=row[2],
            service_name=row[3],
            name=row[4],
            kind=row[5].removeprefix("SPAN_KIND_").capitalize(),
            started_at=_instant(row[6]),
            duration_ns=int(row[7]),
            status=row[8].removeprefix("STATUS_CODE_").capitalize(),
            status_message=row[9],
            attributes=dict(row[10]),
            resource=dict(row[11]),
        )
        for row in rows
    ]


SPAN_COLUMNS = _SPAN
"""What `to_spans` reads, in its order."""


def _instant(nanos: int) -> datetime:
    return datetime.fromtimestamp(nanos // 1000 / 1_000_000, UTC)


def _severity(number: int) -> str:
    """OpenTelemetry logs data model, "SeverityNumber": four numbers to a name."""
    names = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    return names[min(number - 1, 23) // 4] if number > 0 else ""
