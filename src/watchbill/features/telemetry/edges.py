"""Who calls whom in the traces that pass through some services: the edges of the path of a symptom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from watchbill.features.telemetry.counts import BAD, ENTRY, ENVIRONMENT
from watchbill.features.telemetry.engine import Engine


class GetEdges(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="edges"):
    """The calls between services in traces that enter one of ``service_names`` in [start_at, end_at).

    At most ``limit`` traces that failed there and as many that did not, drawn evenly by the hash of their ids.
    """

    service_names: Annotated[Sequence[str], Meta(min_length=1, max_length=50)]
    environment: str
    start_at: datetime
    end_at: datetime
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """``caller`` called ``callee`` (``service.name``, or ``peer.service`` of what sends no spans) in ``traces``."""

    caller: str
    callee: str
    traces: int


class Edges(msgspec.Struct, frozen=True, kw_only=True):
    """The edges, the most used first; ``traces`` is how many were looked at."""

    traces: int
    edges: list[Edge]


_MOST = 1000
_MOST_SPANS = 2000
_AROUND_SECONDS = 60.0

_RANGE = "Timestamp >= toDateTime64({from:Float64}, 6, 'UTC') AND Timestamp < toDateTime64({to:Float64}, 6, 'UTC')"
_CHOSEN = f"""SELECT TraceId FROM (
        SELECT TraceId, max(toUInt8({BAD})) AS bad FROM otel_traces
        WHERE ServiceName IN {{services:Array(String)}} AND {ENVIRONMENT} = {{environment:String}} AND {ENTRY}
            AND {_RANGE}
        GROUP BY TraceId ORDER BY cityHash64(TraceId) LIMIT {{limit:UInt32}} BY bad
    )"""
_PEER = "SpanAttributes['peer.service']"
# A trace may begin before the symptom was entered, and go on after it. One pass over its spans: a trace is put together
# as arrays, so that nothing is read twice to be joined. ('', '') counts the traces.
_SQL = f"""
SELECT edge.1 AS caller, edge.2 AS callee, uniqExact(TraceId) AS traces FROM (
    SELECT TraceId, arrayJoin(arrayConcat(
        [('', '')],
        arrayMap((parent, name) -> (names[indexOf(ids, parent)], name), parents, names),
        arrayFilter(called -> called.2 != '', arrayZip(names, peers))
    )) AS edge
    FROM (
        SELECT TraceId, groupArray(SpanId) AS ids, groupArray(ParentSpanId) AS parents,
            groupArray(toString(ServiceName)) AS names, groupArray(peer) AS peers
        FROM (
            SELECT TraceId, SpanId, ParentSpanId, ServiceName, {_PEER} AS peer FROM otel_traces
            PREWHERE TraceId IN ({_CHOSEN})
            WHERE Timestamp >= toDateTime64({{from:Float64}} - {{around:Float64}}, 6, 'UTC')
                AND Timestamp < toDateTime64({{to:Float64}} + {{around:Float64}}, 6, 'UTC')
            LIMIT {_MOST_SPANS} BY TraceId
        )
        GROUP BY TraceId
    )
)
WHERE (edge.1 != '' AND edge.1 != edge.2) OR (edge.1 = '' AND edge.2 = '')
GROUP BY caller, callee ORDER BY caller = '' DESC, traces DESC, caller, callee LIMIT {_MOST + 1}
SETTINGS max_execution_time = 2, max_threads = 2"""


def edges_of(engine: Engine, question: GetEdges) -> Edges:
    """Answer the question; without traces there are no edges.

    Raises:
        Unavailable: the engine is away, or slower than the time there is.
    """
    rows = engine.rows(
        _SQL,
        {
            "services": sorted(set(question.service_names)),
            "environment": question.environment,
            "from": question.start_at.timestamp(),
            "to": question.end_at.timestamp(),
            "limit": question.limit,
            "around": _AROUND_SECONDS,
        },
    )
    looked_at = {(caller, callee): int(traces) for caller, callee, traces in rows}
    return Edges(
        traces=looked_at.pop(("", ""), 0),
        edges=[Edge(caller=caller, callee=callee, traces=traces) for (caller, callee), traces in looked_at.items()],
    )
