"""From levels (OTLP gauges, and Sums that may fall) to slices that hold: a level is no number of events.

Sources: the OpenTelemetry metrics data model (gauges, non-monotonic sums, the NO_RECORDED_VALUE flag) and the tables
``otel_metrics_gauge`` and ``otel_metrics_sum`` of the ClickHouse exporter.

1. A stream is what has one resource, scope, name and attributes. A point that was sent twice is one.
2. A value stands until the next point of its stream, for at most `STANDS_SECONDS` (Prometheus' own five minutes); a
   point without a recorded value ends it at once.
3. A slice is measured when any value stands in it, and good when every one of them is within the bounds: where five
   pods tell their level, the worst decides.
4. NaN is no value; infinity is one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchbill.features.telemetry.counter_counts import MINE, POINT_AT, STREAM, selected
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.logic import slice_start
from watchbill.features.telemetry.model import CounterCount, MetricSelector

STANDS_SECONDS = 300
"""So long a value stands that no other follows."""

_SQL = """
SELECT intDiv(number * width, 1000000000) AS slice, min(holds) AS good
FROM (
    SELECT holds, toInt64({{width:UInt32}}) * 1000000000 AS width,
        arrayJoin(range(intDiv(greatest(at, {begin}), width), intDiv(least(until, {stop}) - 1, width) + 1)) AS number
    FROM (
        SELECT at, holds, known,
            least(if(next = 0, at + {stands}, next), at + {stands}) AS until
        FROM (
            SELECT *, leadInFrame(at) OVER (PARTITION BY stream ORDER BY at
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next
            FROM (
                SELECT stream, at, known, holds FROM ({points})
                ORDER BY at, known, holds
                LIMIT 1 BY stream, at
            )
        )
    )
    WHERE known AND until > at AND until > {begin} AND at < {stop}
)
GROUP BY slice
ORDER BY slice
"""


def level_counts(
    engine: Engine,
    *,
    service_name: str,
    environment: str,
    level: MetricSelector,
    at_most: float | None,
    at_least: float | None,
    start: datetime,
    end: datetime,
    slice_seconds: int,
) -> list[CounterCount]:
    """One event for each slice of ``[start, end)`` in which the level is known: good when it was within the bounds."""
    first, last = int(slice_start(start, slice_seconds).timestamp()), int(end.timestamp())
    parameters: dict[str, object] = {
        "service": service_name,
        "env": environment,
        "names": [level.name],
        "near": first - STANDS_SECONDS,
        "far": last,
        "from": first,
        "to": last,
        "width": slice_seconds,
        "most": float("inf") if at_most is None else at_most,
        "least": float("-inf") if at_least is None else at_least,
    }
    chosen = selected(level, "l", parameters)
    points = " UNION ALL ".join(
        f"""SELECT {STREAM} AS stream, {POINT_AT} AS at, bitAnd(Flags, 1) = 0 AND NOT isNaN(Value) AS known,
            Value <= {{most:Float64}} AND Value >= {{least:Float64}} AS holds
        FROM {table}
        WHERE {MINE} AND {chosen} {levels}
            AND TimeUnix >= toDateTime({{near:UInt32}}, 'UTC') AND TimeUnix < toDateTime({{far:UInt32}}, 'UTC')"""
        for table, levels in (("otel_metrics_gauge", ""), ("otel_metrics_sum", "AND NOT IsMonotonic"))
    )
    sql = _SQL.format(
        points=points,
        begin="toInt64({from:UInt32}) * 1000000000",
        stop="toInt64({to:UInt32}) * 1000000000",
        stands=f"toInt64({STANDS_SECONDS}) * 1000000000",
    )
    return [
        CounterCount(slice_at=datetime.fromtimestamp(0, UTC) + timedelta(seconds=at), good=int(good), total=1)
        for at, good in engine.rows(sql, parameters)
    ]
