"""From spans to counts: SQL that may run again and again over the same spans and gives the same counts.

Sources: OpenTelemetry semantic conventions for HTTP and RPC spans (new and old names), W3C/OpenTelemetry
consistent probability sampling (``tracestate: ot=th:…``), SPEC of the OpenTelemetry ClickHouse exporter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.model import CountColumns, OperationMatch

ENTRY = "(ParentSpanId IN ('', '0000000000000000') OR SpanKind IN ('Server', 'SPAN_KIND_SERVER', 'SERVER'))"
_FAILED_STATUS = "StatusCode IN ('Error', 'STATUS_CODE_ERROR', 'ERROR')"
_IS_SERVER = "SpanKind IN ('Server', 'SPAN_KIND_SERVER', 'SERVER')"


def _attribute(*names: str) -> str:
    tries = ", ".join(f"nullIf(SpanAttributes['{name}'], '')" for name in names)
    return f"coalesce({tries}, '')"


_HTTP_STATUS = f"toUInt16OrZero({_attribute('http.response.status_code', 'http.status_code')})"
_RPC_STATUS = f"upper({_attribute('rpc.response.status_code', 'rpc.grpc.status_code')})"
# gRPC codes that are the server's fault (semantic conventions, RPC): by name and by number.
_RPC_BAD = (
    "'UNKNOWN', '2', 'DEADLINE_EXCEEDED', '4', 'UNIMPLEMENTED', '12', 'INTERNAL', '13', "
    "'UNAVAILABLE', '14', 'DATA_LOSS', '15'"
)

# A SERVER span with a 4xx (or a client-side RPC code) worked: the caller erred. Everything else follows the status.
BAD = f"""multiIf(
    {_HTTP_STATUS} >= 500, 1,
    {_IS_SERVER} AND {_HTTP_STATUS} >= 400, 0,
    {_IS_SERVER} AND {_RPC_STATUS} != '', {_RPC_STATUS} IN ({_RPC_BAD}),
    {_FAILED_STATUS}, 1,
    SpanAttributes['error.type'] != '', 1,
    0)"""

METHOD = _attribute("http.request.method", "http.method")
PATH = """multiIf(
    SpanAttributes['http.route'] != '', SpanAttributes['http.route'],
    SpanAttributes['url.path'] != '', SpanAttributes['url.path'],
    SpanAttributes['http.target'] != '', cutQueryStringAndFragment(SpanAttributes['http.target']),
    '')"""
ENVIRONMENT = """coalesce(nullIf(ResourceAttributes['deployment.environment.name'], ''),
    nullIf(ResourceAttributes['deployment.environment'], ''), 'production')"""

# tracestate "ot=th:<up to 14 hex digits>": of 2^56, those below the threshold were dropped, so one kept span
# stands for 2^56 / (2^56 - threshold). Older "p:n" stands for 2^n. NULL: sampled, and nobody knows how.
_THRESHOLD = r"extract(TraceState, '(?:^|,)[ \\t]*ot=(?:[^,]*;)?th:([0-9a-fA-F]{1,14})(?:[;, \\t]|$)')"
_P_VALUE = r"extract(TraceState, '(?:^|,)[ \\t]*ot=(?:[^,]*;)?p:([0-9]{1,2})(?:[;, \\t]|$)')"
_HAS_SAMPLING = r"match(TraceState, '(?:^|,)[ \\t]*ot=(?:[^,]*;)?(?:th|p):')"
_DROPPED = f"""reinterpretAsUInt64(reverse(unhex(concat('00', rightPad({_THRESHOLD}, 14, '0')))))"""
_RATE = "toFloat64OrZero(SpanAttributes['SampleRate'])"
_PROBABILITY = f"toFloat64OrZero({_attribute('sampling.probability', 'sampler.probability')})"
_PARAM = "toFloat64OrZero(SpanAttributes['sampler.param'])"
WEIGHT = f"""multiIf(
    {_THRESHOLD} != '', 72057594037927936. / (72057594037927936. - {_DROPPED}),
    {_P_VALUE} != '' AND toUInt8OrZero({_P_VALUE}) < 63, exp2(toUInt8OrZero({_P_VALUE})),
    {_HAS_SAMPLING}, NULL,
    SpanAttributes['SampleRate'] != '', if({_RATE} >= 1 AND isFinite({_RATE}), {_RATE}, NULL),
    {_attribute("sampling.probability", "sampler.probability")} != '',
        if({_PROBABILITY} > 0 AND {_PROBABILITY} <= 1, 1 / {_PROBABILITY}, NULL),
    SpanAttributes['sampler.type'] = 'probabilistic', if({_PARAM} > 0 AND {_PARAM} <= 1, 1 / {_PARAM}, NULL),
    SpanAttributes['sampler.type'] IN ('', 'const') AND SpanAttributes['tailsampling.policy'] = '', 1.,
    NULL)"""


_DEGRADED = {"good": 0, "bad": 1, "apart": 2}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The operations of a pass, laid out for one join; ``revision`` names this exact set."""

    revision: str
    attribute_keys: tuple[str, ...]
    thresholds_ns: tuple[int, ...]
    services: tuple[str, ...]
    columns: dict[str, Sequence[object]]


def plan(operations: Sequence[OperationMatch]) -> Plan:
    """Lay ``operations`` out as columns of ``watchbill_sli_match``."""
    keys = tuple(sorted({key for operation in operations for key in operation.attributes}))
    position = {key: index + 1 for index, key in enumerate(keys)}
    thresholds = tuple(sorted({o.latency_threshold_ns for o in operations if o.latency_threshold_ns is not None}))
    threshold_position = {value: index + 1 for index, value in enumerate(thresholds)}
    ordered = sorted(operations, key=lambda o: (str(o.operation_id), o.objective))
    revision = hashlib.sha256(msgspec.json.encode(ordered, order="deterministic")).hexdigest()[:32]
    return Plan(
        revision=revision,
        attribute_keys=keys,
        thresholds_ns=thresholds,
        services=tuple(sorted({o.service_name for o in operations})),
        columns={
            "revision": [revision] * len(ordered),
            "operation_id": [o.operation_id for o in ordered],
            "objective": [o.objective for o in ordered],
            "service_name": [o.service_name for o in ordered],
            "environment": [o.environment for o in ordered],
            "route": [o.route or "" for o in ordered],
            "span_name": [o.span_name or "" for o in ordered],
            "attribute_positions": [[position[key] for key in sorted(o.attributes)] for o in ordered],
            "attribute_values": [[o.attributes[key] for key in sorted(o.attributes)] for o in ordered],
            "threshold_position": [
                0 if o.latency_threshold_ns is None else threshold_position[o.latency_threshold_ns] for o in ordered
            ],
            "degraded": [_DEGRADED[o.degraded] for o in ordered],
        },
    )


def derive_sql(attribute_keys: Sequence[str]) -> str:
    """INSERT the counts of one revision for ``[from, to)``.

    1. keep root and SERVER spans of the services asked for, each once: unique on (TraceId, SpanId);
    2. sum them by what an operation can be matched on, once for each latency threshold;
    3. join the sums with the operations.

    Parameters: revision, from, to (Unix seconds), width (seconds), version, thresholds, and key0, key1 ….
    """
    values = ", ".join(
        f"coalesce(nullIf(SpanAttributes[{{key{i}:String}}], ''), ResourceAttributes[{{key{i}:String}}])"
        for i in range(len(attribute_keys))
    )
    looked_up = f"[{values}]" if values else "emptyArrayString()"
    return f"""
INSERT INTO watchbill_sli_counts
SELECT m.operation_id, m.objective, toDateTime(s.slice, 'UTC'), {{width:UInt32}},
    round(sum(multiIf(m.degraded = 1 AND s.degraded, 0,
        m.threshold_position = 0, s.good, s.fast[m.threshold_position])), 6),
    round(sum(s.total), 6),
    sum(s.unknown) = 0, if(sum(s.unknown) = 0, '', 'sampling_unknown'), {{version:UInt64}}
FROM (
    SELECT slice, service, environment, span_name, method, path, looked_up, degraded,
        sum(if(bad, 0, ifNull(weight, 0))) AS good, sum(ifNull(weight, 0)) AS total,
        countIf(weight IS NULL) AS unknown,
        sumForEach(arrayMap(t -> if(bad OR duration > t, 0., ifNull(weight, 0)),
            {{thresholds:Array(UInt64)}})) AS fast
    FROM (
        SELECT
            intDiv(toUnixTimestamp(Timestamp), {{width:UInt32}}) * {{width:UInt32}} AS slice,
            ServiceName AS service, SpanName AS span_name, {ENVIRONMENT} AS environment,
            {METHOD} AS method, {PATH} AS path, {looked_up} AS looked_up, toUInt8({BAD}) AS bad,
            SpanAttributes['reliability.degraded'] = 'true' AS degraded,
            toUInt64(greatest(Duration, 0)) AS duration, CAST({WEIGHT} AS Nullable(Float64)) AS weight
        FROM otel_traces
        WHERE Timestamp >= toDateTime({{from:UInt32}}, 'UTC') AND Timestamp < toDateTime({{to:UInt32}}, 'UTC')
            AND ServiceName IN (SELECT service_name FROM watchbill_sli_match WHERE revision = {{revision:String}})
            AND {ENTRY}
        ORDER BY Timestamp, Duration, StatusCode
        LIMIT 1 BY TraceId, SpanId, ServiceName
    )
    GROUP BY slice, service, environment, span_name, method, path, looked_up, degraded
) AS s
INNER JOIN (SELECT * FROM watchbill_sli_match WHERE revision = {{revision:String}}) AS m
    ON s.service = m.service_name
WHERE s.environment = m.environment AND NOT (m.degraded = 2 AND s.degraded)
    AND (m.span_name = '' OR m.span_name = s.span_name)
    AND (m.route = '' OR m.route = if(s.path = '', s.span_name, s.path)
        OR m.route = concat(s.method, ' ', s.path))
    AND arrayAll((position, value) -> s.looked_up[position] = value, m.attribute_positions, m.attribute_values)
GROUP BY m.operation_id, m.objective, s.slice
"""


# Rows of an earlier pass that this pass did not find again (an operation's match changed): now without events.
CLEAR_SQL = """
INSERT INTO watchbill_sli_counts
SELECT operation_id, objective, slice, slice_seconds, 0, 0, 1, '', {version:UInt64}
FROM watchbill_sli_counts FINAL
WHERE slice_seconds = {width:UInt32}
    AND slice >= toDateTime({from:UInt32}, 'UTC') AND slice < toDateTime({to:UInt32}, 'UTC')
    AND version < {version:UInt64} AND (total > 0 OR measured = 0)
    AND (operation_id, objective) IN
        (SELECT operation_id, objective FROM watchbill_sli_match WHERE revision = {revision:String})
"""

COVERAGE_SQL = """
INSERT INTO watchbill_sli_coverage
SELECT toDateTime(intDiv(toUnixTimestamp(Timestamp), {width:UInt32}) * {width:UInt32}, 'UTC') AS slice,
    {width:UInt32}, ServiceName, count(), {version:UInt64}
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}, 'UTC') AND Timestamp < toDateTime({to:UInt32}, 'UTC')
GROUP BY slice, ServiceName
"""

COUNTS_SQL = """
SELECT operation_id, objective, toUnixTimestamp(slice), good, total, measured, reason
FROM watchbill_sli_counts FINAL
WHERE slice_seconds = {width:UInt32}
    AND slice >= toDateTime({from:UInt32}, 'UTC') AND slice < toDateTime({to:UInt32}, 'UTC')
    AND operation_id IN {operations:Array(UUID)}
"""

REPORTED_SQL = """
SELECT DISTINCT toUnixTimestamp(slice) FROM watchbill_sli_coverage
WHERE slice_seconds = {width:UInt32}
    AND slice >= toDateTime({from:UInt32}, 'UTC') AND slice < toDateTime({to:UInt32}, 'UTC')
"""


def windows_sql(windows: int, *, only_some: bool) -> str:
    """Sum the counts of every window in one scan; parameters from0, from1 … and to (Unix seconds)."""
    sums = ", ".join(
        f"sumIf(good, measured AND slice >= toDateTime({{from{i}:UInt32}}, 'UTC')),"
        f"sumIf(total, measured AND slice >= toDateTime({{from{i}:UInt32}}, 'UTC')),"
        f"countIf(NOT measured AND slice >= toDateTime({{from{i}:UInt32}}, 'UTC'))"
        for i in range(windows)
    )
    some = "AND operation_id IN {operations:Array(UUID)}" if only_some else ""
    return f"""
SELECT operation_id, objective, {sums}
FROM watchbill_sli_counts FINAL
WHERE slice_seconds = {{width:UInt32}}
    AND slice >= toDateTime({{from:UInt32}}, 'UTC') AND slice < toDateTime({{to:UInt32}}, 'UTC') {some}
GROUP BY operation_id, objective
"""


def columns(
    engine: Engine,
    *,
    operation_id: UUID,
    objective: str,
    start_at: datetime,
    end_at: datetime,
    slice_seconds: int,
    given: bool = False,
) -> CountColumns:
    """What was counted for one operation and objective, as columns.

    Of spans a slice without events is measured when somebody else reported in it; of counts that are ``given`` it is
    so when it was given.
    """
    first, last = (int(at.timestamp()) // slice_seconds for at in (start_at, end_at))
    asked: dict[str, object] = {"from": first * slice_seconds, "to": last * slice_seconds, "width": slice_seconds}
    mine = {**asked, "first": first, "operation": str(operation_id), "objective": objective}
    # Whole columns: a year of minutes is half a million of them, and as rows they would take seconds.
    [[offsets, bad, total, unknown, empty]] = engine.rows(_COLUMNS_SQL, mine)
    heard = set(offsets)
    if given:
        heard.update(empty)
    else:
        [[reported]] = engine.rows(_REPORTED_COLUMN_SQL, {**asked, "first": first})
        heard.update(reported)
        heard.difference_update(unknown)
    return CountColumns(
        first=first,
        slice_seconds=slice_seconds,
        slices=last - first,
        offsets=list(offsets),
        bad=list(bad),
        total=list(total),
        unmeasured=_gaps(sorted(heard), last - first),
    )


_OFFSET = "toUInt32(intDiv(toUnixTimestamp(slice), {width:UInt32}) - {first:UInt32})"
_COLUMNS_SQL = f"""
SELECT groupArrayIf(offset, counted), groupArrayIf(least(bad, whole), counted), groupArrayIf(whole, counted),
    groupArrayIf(offset, NOT measured), groupArrayIf(offset, measured AND NOT counted)
FROM (
    SELECT {_OFFSET} AS offset, measured, measured AND total > 0 AS counted,
        toUInt64(floor(greatest(total, 0) + 0.5)) AS whole, toUInt64(floor(greatest(total - good, 0) + 0.5)) AS bad
    FROM watchbill_sli_counts FINAL
    WHERE slice_seconds = {{width:UInt32}} AND operation_id = {{operation:UUID}} AND objective = {{objective:String}}
        AND slice >= toDateTime({{from:UInt32}}, 'UTC') AND slice < toDateTime({{to:UInt32}}, 'UTC')
    ORDER BY slice
)
"""
_REPORTED_COLUMN_SQL = f"""
SELECT groupUniqArray({_OFFSET}) FROM watchbill_sli_coverage
WHERE slice_seconds = {{width:UInt32}}
    AND slice >= toDateTime({{from:UInt32}}, 'UTC') AND slice < toDateTime({{to:UInt32}}, 'UTC')
"""


def _gaps(there: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The stretches [from, until) of ``range(length)`` that are not in ``there``, which is sorted."""
    gaps: list[tuple[int, int]] = []
    expected = 0
    for place in [*there, length]:
        if place > expected:
            gaps.append((expected, place))
        expected = place + 1
    return gaps
