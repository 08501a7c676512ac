"""How each version of a service did, slice by slice: requests, failed ones, slow ones, and durations.

The version is the resource attribute ``service.version`` (OpenTelemetry semantic conventions, service).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from watchbill.features.telemetry.counts import BAD, ENTRY, ENVIRONMENT, WEIGHT
from watchbill.features.telemetry.engine import Engine


class GetVersions(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="versions"):
    """Root and SERVER spans of a service by version.

    Slow is slower than ``slow_ms``; without it, than the 95th percentile of what began before ``reference_end_at``
    (which a version that came later cannot have moved).
    """

    service_name: str
    environment: str
    start_at: datetime
    end_at: datetime
    reference_end_at: datetime
    slice_seconds: Annotated[int, Meta(ge=1, le=3600)] = 60
    slow_ms: Annotated[float, Meta(gt=0)] | None = None


class VersionSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one version in ``[slice_at, slice_at + slice)``; ``version`` is empty when spans do not say it."""

    version: str
    slice_at: datetime
    total: float
    bad: float
    slow: float
    p50_ms: float
    p95_ms: float


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """The slices in order of time; ``slow_ms`` None when nothing was there to take it from."""

    slow_ms: float | None
    slices: list[VersionSlice]


_SPANS = f"""SELECT Timestamp, ResourceAttributes['service.version'] AS version, toUInt8({BAD}) AS bad,
        greatest(Duration, 0) / 1e6 AS ms, ifNull({WEIGHT}, 1.) AS weight
    FROM otel_traces
    WHERE ServiceName = {{service:String}} AND {ENVIRONMENT} = {{environment:String}} AND {ENTRY}
        AND Timestamp >= toDateTime64({{from:Float64}}, 6, 'UTC') AND Timestamp < toDateTime64({{to:Float64}}, 6, 'UTC')
    LIMIT 1 BY TraceId, SpanId"""

_THRESHOLD = f"SELECT count(), quantile(0.95)(ms) FROM ({_SPANS})"

_SLICES = f"""SELECT version, intDiv(toUnixTimestamp(Timestamp), {{width:UInt32}}) * {{width:UInt32}} AS slice,
    sum(weight), sumIf(weight, bad = 1), sumIf(weight, bad = 0 AND ms > {{slow:Float64}}),
    quantile(0.5)(ms), quantile(0.95)(ms)
FROM ({_SPANS})
GROUP BY version, slice ORDER BY slice, version"""

_NEVER_MS = 1e18


def versions_of(engine: Engine, question: GetVersions) -> Versions:
    """Answer the question; a service without spans has no slices.

    Raises:
        Unavailable: the engine is away, or slower than the time there is.
    """
    spans = {
        "service": question.service_name,
        "environment": question.environment,
        "from": question.start_at.timestamp(),
        "to": question.end_at.timestamp(),
    }
    slow_ms = question.slow_ms
    if slow_ms is None and question.reference_end_at > question.start_at:
        before = {**spans, "to": min(question.reference_end_at, question.end_at).timestamp()}
        count, quantile = engine.rows(_THRESHOLD, before)[0]
        slow_ms = float(quantile) if count else None
    rows = engine.rows(_SLICES, {**spans, "width": question.slice_seconds, "slow": slow_ms or _NEVER_MS})
    return Versions(
        slow_ms=slow_ms,
        slices=[
            VersionSlice(
                version=version,
                slice_at=datetime.fromtimestamp(at, UTC),
                total=total,
                bad=bad,
                slow=slow,
                p50_ms=p50,
                p95_ms=p95,
            )
            for version, at, total, bad, slow, p50, p95 in rows
        ],
    )


class SeenVersion(msgspec.Struct, frozen=True, kw_only=True):
    """When spans of one version of one service were first and last seen, within the time looked at."""

    service_name: str
    environment: str
    version: str
    first_at: datetime
    last_at: datetime


def versions_seen(engine: Engine, *, start_at: datetime, end_at: datetime) -> list[SeenVersion]:
    """Every version that sent root or SERVER spans in [start_at, end_at), by service and first sight."""
    rows = engine.rows(
        f"""SELECT ServiceName, {ENVIRONMENT} AS environment, ResourceAttributes['service.version'] AS version,
            toUnixTimestamp(min(Timestamp)), toUnixTimestamp(max(Timestamp))
        FROM otel_traces
        WHERE Timestamp >= toDateTime64({{from:Float64}}, 6, 'UTC')
            AND Timestamp < toDateTime64({{to:Float64}}, 6, 'UTC')
            AND version != '' AND {ENTRY}
        GROUP BY ServiceName, environment, version ORDER BY 1, 2, 4, 3""",
        {"from": start_at.timestamp(), "to": end_at.timestamp()},
    )
    return [
        SeenVersion(
            service_name=name,
            environment=environment,
            version=version,
            first_at=datetime.fromtimestamp(first, UTC),
            last_at=datetime.fromtimestamp(last, UTC),
        )
        for name, environment, version, first, last in rows
    ]
