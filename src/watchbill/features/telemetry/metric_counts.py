"""From request metrics to counts: what a service counts itself is whole, whatever of its spans is sampled away.

Sources: OpenTelemetry semantic conventions for HTTP and RPC metrics (new and old names), the metrics data model
(temporality, start times, resets, exponential histograms).

1. Each stream (resource, scope, name, attributes) is walked in time. A cumulative point counts what came since the
   point before; after a restart (another start time, or a smaller count) everything since that start, so that the
   first error of a counter that is born with it is not lost. A delta point counts itself. A point that was sent twice
   counts once.
2. The count of an interval is spread over the slices it covers, in whole events that add up exactly.
3. Sums by what an operation can be matched on are joined with the operations and stand above what spans said.

A latency threshold that is a bound of the histogram is exact; within a bucket of an exponential histogram it is
interpolated on the histogram's own logarithmic scale; between the bounds of an explicit one nothing can be said, and
spans count.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.features.telemetry.counts import ENVIRONMENT

HTTP = ("http.server.request.duration", "http.server.duration")
RPC = ("rpc.server.call.duration", "rpc.server.duration")
NAMES = (*HTTP, *RPC)
LOOK_BACK_SECONDS = 900
"""Intervals between points up to this long are understood."""
PENDING_SECONDS = 120
"""So long after its last point a service may just not have exported yet: those slices are not measured."""

_LISTED = ", ".join(f"'{name}'" for name in NAMES)
_RPC_BAD = (
    "'UNKNOWN', '2', 'DEADLINE_EXCEEDED', '4', 'UNIMPLEMENTED', '12', 'INTERNAL', '13', "
    "'UNAVAILABLE', '14', 'DATA_LOSS', '15'"
)


def _first(*names: str) -> str:
    return "coalesce(" + ", ".join(f"nullIf(Attributes['{name}'], '')" for name in names) + ", '')"


_STATUS = f"toUInt16OrZero({_first('http.response.status_code', 'http.status_code')})"
_RPC_STATUS = f"upper({_first('rpc.response.status_code', 'rpc.grpc.status_code')})"
_BAD = f"""multiIf(
    {_STATUS} >= 500, 1,
    {_STATUS} >= 400, 0,
    {_RPC_STATUS} != '', {_RPC_STATUS} IN ({_RPC_BAD}),
    Attributes['error.type'] != '', 1,
    0)"""
# The unit of the bounds: seconds, or milliseconds under the old names.
_PER_NS = """if(MetricUnit = 'ms'
    OR (MetricUnit = '' AND MetricName IN ('http.server.duration', 'rpc.server.duration')), 1e-6, 1e-9)"""
_EXPLICIT = """if(threshold = 0, toFloat64(Count),
    if(arrayFirstIndex(x -> abs(x - limit) <= 1e-9 * limit, ExplicitBounds) = 0, -1.,
        toFloat64(arraySum(arraySlice(BucketCounts, 1,
            arrayFirstIndex(x -> abs(x - limit) <= 1e-9 * limit, ExplicitBounds))))))"""
_EXPONENTIAL = """if(threshold = 0, toFloat64(Count), ZeroCount + arraySum(
    (events, place) -> events * greatest(0., least(1., log2(limit) * exp2(Scale) - (PositiveOffset + place - 1))),
    PositiveBucketCounts, arrayEnumerate(PositiveBucketCounts)))"""

ANY_SQL = f"""
SELECT DISTINCT MetricName FROM (
    SELECT MetricName FROM otel_metrics_histogram
    WHERE MetricName IN ({_LISTED}) AND TimeUnix >= toDateTime({{near:UInt32}}, 'UTC')
        AND TimeUnix < toDateTime({{far:UInt32}}, 'UTC')
    UNION ALL
    SELECT MetricName FROM otel_metrics_exponential_histogram
    WHERE MetricName IN ({_LISTED}) AND TimeUnix >= toDateTime({{near:UInt32}}, 'UTC')
        AND TimeUnix < toDateTime({{far:UInt32}}, 'UTC')
)
"""
"""Whether there is anything to count: mostly not, where services send spans only."""


def _points(table: str, fast: str, looked_up: str) -> str:
    # An exporter that sends old and new names at once must not count twice: the new names stand.
    doubled = " OR ".join(
        f"(MetricName = '{old}' AND ServiceName IN (SELECT ServiceName FROM {table} WHERE MetricName = '{new}'"
        " AND TimeUnix >= toDateTime({near:UInt32}, 'UTC') AND TimeUnix < toDateTime({far:UInt32}, 'UTC')))"
        for new, old in (HTTP, RPC)
    )
    return f"""
        SELECT ServiceName AS service, {ENVIRONMENT} AS environment,
            {_first("http.request.method", "http.method")} AS method, {_first("http.route")} AS path,
            if(Attributes['rpc.service'] = '', Attributes['rpc.method'],
                concat(Attributes['rpc.service'], '/', Attributes['rpc.method'])) AS called,
            {looked_up} AS looked_up, toUInt8({_BAD}) AS bad,
            Attributes['reliability.degraded'] = 'true' AS degraded,
            cityHash64(ServiceName, ResourceAttributes, ScopeName, ScopeVersion, MetricName, Attributes) AS stream,
            toUnixTimestamp64Nano(toDateTime64(StartTimeUnix, 9)) AS start,
            toUnixTimestamp64Nano(toDateTime64(TimeUnix, 9)) AS at,
            AggregationTemporality = 1 AS is_delta, toFloat64(Count) AS events,
            position, threshold * {_PER_NS} AS limit, {fast} AS quick
        FROM {table}
        ARRAY JOIN arrayConcat([toUInt64(0)], {{thresholds:Array(UInt64)}}) AS threshold,
            range(length({{thresholds:Array(UInt64)}}) + 1) AS position
        WHERE MetricName IN ({_LISTED}) AND NOT ({doubled})
            AND TimeUnix >= toDateTime({{near:UInt32}}, 'UTC') AND TimeUnix < toDateTime({{far:UInt32}}, 'UTC')
            AND ServiceName IN (SELECT service_name FROM watchbill_sli_match WHERE revision = {{revision:String}})
        ORDER BY at
        LIMIT 1 BY stream, position, start, at"""


def derive_sql(attribute_keys: Sequence[str]) -> str:
    """INSERT the counts of one revision for ``[from, to)`` that request metrics give.

    Parameters: those of `counts.derive_sql`, and near and far: ``[from, to)`` with `LOOK_BACK_SECONDS` on both sides.
    """
    values = ", ".join(
        f"coalesce(nullIf(Attributes[{{key{i}:String}}], ''), ResourceAttributes[{{key{i}:String}}])"
        for i in range(len(attribute_keys))
    )
    looked_up = f"[{values}]" if values else "emptyArrayString()"
    return f"""
INSERT INTO watchbill_sli_counts
SELECT m.operation_id, m.objective, toDateTime(s.slice, 'UTC'), {{width:UInt32}},
    least(sum(if(m.degraded = 1 AND s.degraded, 0., s.good)), sum(s.total)), sum(s.total), 1, 'metrics',
    {{version:UInt64}}
FROM (
    SELECT slice, service, environment, method, path, called, looked_up, position, degraded,
        sum(in_slice) AS total, sum(if(bad, 0., quick_in_slice)) AS good, min(known) AS known
    FROM (
        SELECT service, environment, method, path, called, looked_up, position, degraded, bad, known, width_ns, since,
            at,
            arrayJoin(range(intDiv(greatest(since, {{from:UInt32}} * 1000000000), width_ns),
                intDiv(least(at, {{to:UInt32}} * 1000000000) - 1, width_ns) + 1)) AS number,
            (least(at, (number + 1) * width_ns) - since) / (at - since) AS until_part,
            (greatest(since, number * width_ns) - since) / (at - since) AS from_part,
            floor(added * until_part) - floor(added * from_part) AS in_slice,
            floor(quick_added * until_part) - floor(quick_added * from_part) AS quick_in_slice,
            intDiv(number * width_ns, 1000000000) AS slice
        FROM (
            SELECT *, toInt64({{width:UInt32}}) * 1000000000 AS width_ns, quick >= 0 AS known,
                seen > 1 AND start = start_before AND events >= events_before AS follows,
                multiIf(is_delta OR NOT follows, events, events - events_before) AS added,
                floor(greatest(0., multiIf(NOT known, 0., is_delta OR NOT follows, quick, quick - quick_before)))
                    AS quick_added,
                multiIf(is_delta, if(start > 0 AND start < at, start, if(seen > 1, at_before, at - width_ns)),
                    follows, at_before,
                    start > 0 AND start < at, if(seen > 1, greatest(start, at_before), start),
                    seen > 1, at_before, 0) AS since
            FROM (
                SELECT *, row_number() OVER w AS seen, lagInFrame(at) OVER w AS at_before,
                    lagInFrame(start) OVER w AS start_before, lagInFrame(events) OVER w AS events_before,
                    lagInFrame(quick) OVER w AS quick_before
                FROM ({_points("otel_metrics_histogram", _EXPLICIT, looked_up)}
                    UNION ALL {_points("otel_metrics_exponential_histogram", _EXPONENTIAL, looked_up)})
                WINDOW w AS (PARTITION BY stream, position ORDER BY at
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            )
        )
        WHERE at > since AND at - since <= {LOOK_BACK_SECONDS} * 1000000000
            AND at > {{from:UInt32}} * 1000000000 AND since < {{to:UInt32}} * 1000000000
    )
    GROUP BY slice, service, environment, method, path, called, looked_up, position, degraded
) AS s
INNER JOIN (SELECT * FROM watchbill_sli_match WHERE revision = {{revision:String}}) AS m
    ON s.service = m.service_name
WHERE s.environment = m.environment AND s.position = m.threshold_position
    AND NOT (m.degraded = 2 AND s.degraded)
    AND (m.span_name = '' OR m.span_name = s.called)
    AND (m.route = '' OR m.route = s.path OR m.route = concat(s.method, ' ', s.path))
    AND arrayAll((place, value) -> s.looked_up[place] = value, m.attribute_positions, m.attribute_values)
GROUP BY m.operation_id, m.objective, s.slice
HAVING min(s.known) = 1
"""


# After the last export of a service that counts itself, the slices that are only not told yet.
PENDING_SQL = f"""
INSERT INTO watchbill_sli_counts
SELECT operation_id, objective, toDateTime(next, 'UTC'), {{width:UInt32}}, 0, 0, 0, 'metrics_pending',
    {{version:UInt64}}
FROM (
    SELECT operation_id, objective, arrayJoin(range(toUInt32(max(slice)) + {{width:UInt32}}, {{to:UInt32}},
        {{width:UInt32}})) AS next
    FROM watchbill_sli_counts FINAL
    WHERE slice_seconds = {{width:UInt32}} AND reason = 'metrics'
        AND slice >= toDateTime({{now:UInt32}} - {PENDING_SECONDS} - {{width:UInt32}}, 'UTC')
        AND slice < toDateTime({{to:UInt32}}, 'UTC')
        AND (operation_id, objective) IN
            (SELECT operation_id, objective FROM watchbill_sli_match WHERE revision = {{revision:String}})
    GROUP BY operation_id, objective
)
WHERE (operation_id, objective, toDateTime(next, 'UTC')) NOT IN (
    SELECT operation_id, objective, slice FROM watchbill_sli_counts FINAL
    WHERE slice_seconds = {{width:UInt32}} AND slice >= toDateTime({{from:UInt32}}, 'UTC')
        AND slice < toDateTime({{to:UInt32}}, 'UTC') AND measured AND total > 0)
"""


def coverage_sql() -> str:
    """INSERT which services reported request metrics when: a slice in which somebody did is measured."""
    tables = " UNION ALL ".join(
        f"""SELECT TimeUnix, ServiceName FROM {table} WHERE MetricName IN ({_LISTED})
            AND TimeUnix >= toDateTime({{from:UInt32}}, 'UTC') AND TimeUnix < toDateTime({{to:UInt32}}, 'UTC')"""
        for table in ("otel_metrics_histogram", "otel_metrics_exponential_histogram")
    )
    return f"""
INSERT INTO watchbill_sli_coverage
SELECT toDateTime(intDiv(toUnixTimestamp(TimeUnix), {{width:UInt32}}) * {{width:UInt32}}, 'UTC') AS slice,
    {{width:UInt32}}, ServiceName, count(), {{version:UInt64}}
FROM ({tables})
GROUP BY slice, ServiceName
"""
