"""The load on a service step by step: requests done, how long they took, how many failed, on how many instances."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from watchbill.features.telemetry.counts import ENTRY, ENVIRONMENT, METHOD, PATH, WEIGHT
from watchbill.features.telemetry.engine import Engine


class GetLoad(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="load"):
    """Steps of ``step_seconds`` from ``start_at`` on, by entry spans of a service (named or routed ``name`` when
    given), each counted where it ended."""

    service_name: str
    environment: str
    start_at: datetime
    end_at: datetime
    step_seconds: Annotated[int, Meta(ge=1, le=3600)]
    name: str | None = None


class LoadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step; ``number`` counts from 0, and steps without spans are left out. ``busy_seconds`` is the sum of the
    durations; ``requests`` and it stand for what sampling left out. ``instances`` is 0 where spans name none."""

    number: int
    requests: float
    busy_seconds: float
    p95_ms: float
    failed: float
    instances: int


_FAILED = """(StatusCode IN ('Error', 'STATUS_CODE_ERROR', 'ERROR')
    OR toUInt16OrZero(coalesce(nullIf(SpanAttributes['http.response.status_code'], ''),
        SpanAttributes['http.status_code'])) >= 500)"""
_INSTANCE = """coalesce(nullIf(ResourceAttributes['service.instance.id'], ''),
    nullIf(ResourceAttributes['k8s.pod.name'], ''), nullIf(ResourceAttributes['host.name'], ''))"""
_SQL = f"""
SELECT number, sum(weight), sum(weight * seconds), quantile(0.95)(seconds) * 1000, sumIf(weight, failed),
    uniqExact(instance)
FROM (
    SELECT toInt64(floor((toFloat64(Timestamp) + Duration / 1e9 - {{from:Float64}}) / {{step:Float64}})) AS number,
        ifNull({WEIGHT}, 1.) AS weight, Duration / 1e9 AS seconds, {_FAILED} AS failed, {_INSTANCE} AS instance
    FROM otel_traces
    WHERE ServiceName = {{service:String}} AND {ENVIRONMENT} = {{environment:String}} AND {ENTRY}
        AND Timestamp >= toDateTime64({{from:Float64}} - 60, 6, 'UTC')
        AND Timestamp < toDateTime64({{to:Float64}}, 6, 'UTC')
        AND ({{name:String}} = '' OR {{name:String}} IN (SpanName, {PATH}, concat({METHOD}, ' ', {PATH})))
    LIMIT 1 BY TraceId, SpanId
)
WHERE number >= 0 AND number < {{steps:Int64}}
GROUP BY number ORDER BY number
SETTINGS max_execution_time = 2, max_threads = 2"""


def load_of(engine: Engine, question: GetLoad) -> list[LoadStep]:
    """Answer the question.

    Raises:
        Unavailable: the engine is away, or slower than the time there is.
    """
    seconds = (question.end_at - question.start_at).total_seconds()
    rows = engine.rows(
        _SQL,
        {
            "service": question.service_name,
            "environment": question.environment,
            "from": question.start_at.timestamp(),
            "to": question.end_at.timestamp(),
            "step": float(question.step_seconds),
            "steps": int(seconds // question.step_seconds),
            "name": question.name or "",
        },
    )
    return [
        LoadStep(
            number=int(number), requests=float(requests), busy_seconds=float(busy), p95_ms=float(p95),
            failed=float(failed), instances=int(instances),
        )
        for number, requests, busy, p95, failed, instances in rows
    ]  # fmt: skip
