"""From counters (OTLP metrics of type Sum) to counts: good and bad events that a service counts under its own names.

Sources: the OpenTelemetry metrics data model (temporality, start times, resets, gaps, the single-writer rule and the
NO_RECORDED_VALUE flag) and the ``otel_metrics_sum`` table of the ClickHouse exporter.

1. A stream is what has one resource, scope, name and attributes, whatever the order of its attributes. Points of one
   stream, start and time count once, however often they were sent.
2. A cumulative point counts what came since the point before it with the same start. Another start time is another
   life of the stream, which begins at 0; so is a value that fell. Two writers under one name do not disturb each other
   where their start times differ.
3. The first point of a life counts whole: it is spread from its start, or from the last export of the same resource in
   which it was not there yet, so that the first error of a counter that is born with it is not lost. Where neither
   says when the events came (no start, or a start equal to the time), they are not counted.
4. A delta point counts itself.
5. Whole events are spread over the slices that an interval covers, adding up exactly (integers throughout). Intervals
   longer than `LOOK_BACK_SECONDS` are gaps: nobody knows in which minute their events came, so those stay unmeasured.

Only monotonic sums are counted: a sum that may fall is a level, not a number of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watchbill.features.telemetry.counts import ENVIRONMENT
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.logic import slice_start
from watchbill.features.telemetry.model import CounterCount, MetricSelector

LOOK_BACK_SECONDS = 900
"""Intervals between points up to this long are understood."""
_OLDER_SECONDS = 86_400
"""So far back a life is looked for that seems to begin: one that was only silent did not begin."""

_SORTED = "arraySort(arrayZip(mapKeys({0}), mapValues({0})))"
_RESOURCE = f"cityHash64(ServiceName, {_SORTED.format('ResourceAttributes')})"
STREAM = f"cityHash64({_RESOURCE}, ScopeName, ScopeVersion, MetricName, {_SORTED.format('Attributes')})"
MINE = f"ServiceName = {{service:String}} AND MetricName IN {{names:Array(String)}} AND {ENVIRONMENT} = {{env:String}}"
_START = "toUnixTimestamp64Nano(toDateTime64(StartTimeUnix, 9))"
POINT_AT = "toUnixTimestamp64Nano(toDateTime64(TimeUnix, 9))"
_LIFE = f"if(AggregationTemporality = 1, -1, {_START})"


def selected(selector: MetricSelector | None, prefix: str, parameters: dict[str, object]) -> str:
    """Whether a point is one of the selector's; keys and values travel as parameters."""
    if selector is None:
        return "0"
    parameters[f"{prefix}_name"] = selector.name
    parts = [f"MetricName = {{{prefix}_name:String}}"]
    for index, match in enumerate(selector.where):
        key, values = f"{prefix}_key{index}", f"{prefix}_values{index}"
        parameters[key], parameters[values] = match.key, list(match.values)
        given = f"coalesce(nullIf(Attributes[{{{key}:String}}], ''), ResourceAttributes[{{{key}:String}}])"
        parts.append(
            f"arrayExists(v -> if(endsWith(v, '*'), startsWith({given}, substring(v, 1, length(v) - 1)), {given} = v),"
            f" {{{values}:Array(String)}})"
        )
    return " AND ".join(parts)


def counter_counts(
    engine: Engine,
    *,
    service_name: str,
    environment: str,
    total: MetricSelector | None,
    good: MetricSelector | None,
    bad: MetricSelector | None,
    start: datetime,
    end: datetime,
    slice_seconds: int,
) -> list[CounterCount]:
    """The slices of ``[start, end)`` in which something was measured, oldest first.

    Without ``total`` it is good and bad together. A slice is measured when ``total`` (or either of good and bad)
    has a point whose interval covers some of it; then a counter of good or bad that is not there counts 0.
    """
    asked = [one for one in (total, good, bad) if one is not None]
    first, last = int(slice_start(start, slice_seconds).timestamp()), int(end.timestamp())
    parameters: dict[str, object] = {
        "service": service_name,
        "env": environment,
        "names": sorted({one.name for one in asked}),
        "from": first,
        "to": last,
        "near": first - LOOK_BACK_SECONDS,
        "far": last + LOOK_BACK_SECONDS,
        "older": first - LOOK_BACK_SECONDS - _OLDER_SECONDS,
        "width": slice_seconds,
    }
    flags = [selected(one, name, parameters) for one, name in ((total, "t"), (good, "g"), (bad, "b"))]
    rows = engine.rows(_sql(flags), parameters)
    return [_count(row, total=total is not None, by_good=good is not None) for row in rows]


def _count(row: Sequence[int], *, total: bool, by_good: bool) -> CounterCount:
    at, all_events, good, bad = row[0], int(row[1]), int(row[2]), int(row[3])
    events = all_events if total else good + bad
    return CounterCount(
        slice_at=datetime.fromtimestamp(0, UTC) + timedelta(seconds=at),
        good=min(good, events) if by_good else max(events - bad, 0),
        total=events,
    )


def _sql(flags: Sequence[str]) -> str:
    is_total, is_good, is_bad = flags
    measures = "is_total" if is_total != "0" else "is_good OR is_bad"
    width = "(toInt64({width:UInt32}) * 1000000000)"
    begin, stop = "toInt64({from:UInt32}) * 1000000000", "toInt64({to:UInt32}) * 1000000000"
    edge = "intDiv(added * toInt128({0} - since), toInt128(at - since))"
    return f"""
WITH points AS (
    SELECT {_RESOURCE} AS resource, {STREAM} AS stream, {_LIFE} AS life, {_START} AS start, {POINT_AT} AS at,
        toInt128(if(AggregationTemporality = 1, round(Value), floor(Value))) AS events,
        {is_total} AS is_total, {is_good} AS is_good, {is_bad} AS is_bad
    FROM otel_metrics_sum
    WHERE {MINE} AND IsMonotonic AND bitAnd(Flags, 1) = 0 AND isFinite(Value) AND Value >= 0 AND Value < 1e15
        AND TimeUnix >= toDateTime({{near:UInt32}}, 'UTC') AND TimeUnix < toDateTime({{far:UInt32}}, 'UTC')
    ORDER BY at, events DESC
    LIMIT 1 BY stream, start, at
), exports AS (
    SELECT resource, at, lagInFrame(at) OVER (PARTITION BY resource ORDER BY at
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS export_before
    FROM (SELECT DISTINCT resource, at FROM points)
), older AS (
    SELECT DISTINCT {STREAM} AS stream, {_LIFE} AS life FROM otel_metrics_sum
    WHERE {MINE} AND TimeUnix >= toDateTime({{older:UInt32}}, 'UTC') AND TimeUnix < toDateTime({{near:UInt32}}, 'UTC')
)
SELECT intDiv(number * {width}, 1000000000) AS slice, sumIf(in_slice, is_total), sumIf(in_slice, is_good),
    sumIf(in_slice, is_bad)
FROM (
    SELECT is_total, is_good, is_bad,
        arrayJoin(range(intDiv(greatest(since, {begin}), {width}),
            intDiv(least(at, {stop}) - 1, {width}) + 1)) AS number,
        {edge.format(f"least(at, (number + 1) * {width})")} - {edge.format(f"greatest(since, number * {width})")}
            AS in_slice
    FROM (
        SELECT is_total, is_good, is_bad, at,
            if(life != -1 AND seen > 1 AND events >= events_before, events - events_before, events) AS added,
            multiIf(life = -1, if(start > 0 AND start < at, start, if(seen > 1, at_before, at - {width})),
                seen > 1, at_before,
                (stream, life) IN (SELECT stream, life FROM older), 0,
                start >= at, 0,
                greatest(start, export_before)) AS since
        FROM (
            SELECT *, row_number() OVER w AS seen, lagInFrame(at) OVER w AS at_before,
                lagInFrame(events) OVER w AS events_before
            FROM points
            WINDOW w AS (PARTITION BY stream, life ORDER BY at, start
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        ) AS walked
        INNER JOIN exports USING (resource, at)
    )
    WHERE since > 0 AND at > since AND at - since <= toInt64({LOOK_BACK_SECONDS}) * 1000000000
        AND at > {begin} AND since < {stop}
)
GROUP BY slice
HAVING countIf({measures}) > 0
ORDER BY slice
"""
