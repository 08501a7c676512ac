"""OTLP's protobuf, as the engine itself reads it.

The engine decodes OTLP bytes in its own (native, multi-threaded) code: Python never touches an attribute, which is
what makes tens of thousands of spans a second possible on two cores. A body is a sequence of Export requests, each
preceded by its length; field numbers are OTLP's. Array and map values of attributes must have been turned into JSON
text before (see ``intake.otlp.flatten``): the engine cannot read messages that contain themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

_COMMON = (
    'syntax = "proto3";'
    "message Any { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3;"
    " double double_value = 4; bytes bytes_value = 7; } }"
    "message KV { string key = 1; Any value = 2; }"
    "message Resource { repeated KV attributes = 1; }"
    "message Scope { string name = 1; string version = 2; repeated KV attributes = 3;"
    " uint32 dropped_attributes_count = 4; }"
)
_TRACES = (
    _COMMON + "message Event { fixed64 time_unix_nano = 1; string name = 2; repeated KV attributes = 3; }"
    "message Link { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KV attributes = 4; }"
    "message Status { string message = 2; int32 code = 3; }"
    "message Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4;"
    " string name = 5; int32 kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;"
    " repeated KV attributes = 9; repeated Event events = 11; repeated Link links = 13; Status status = 15; }"
    "message ScopeItems { Scope scope = 1; repeated Span items = 2; string schema_url = 3; }"
    "message ResourceItems { Resource resource = 1; repeated ScopeItems scopes = 2; string schema_url = 3; }"
    "message Request { repeated ResourceItems resources = 1; }"
)
_LOGS = (
    _COMMON + "message Log { fixed64 time_unix_nano = 1; int32 severity_number = 2; string severity_text = 3;"
    " Any body = 5; repeated KV attributes = 6; fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10;"
    " fixed64 observed_time_unix_nano = 11; string event_name = 12; }"
    "message ScopeItems { Scope scope = 1; repeated Log items = 2; string schema_url = 3; }"
    "message ResourceItems { Resource resource = 1; repeated ScopeItems scopes = 2; string schema_url = 3; }"
    "message Request { repeated ResourceItems resources = 1; }"
)
_METRICS = (
    _COMMON + "message Exemplar { fixed64 time_unix_nano = 2; double as_double = 3; bytes span_id = 4;"
    " bytes trace_id = 5; sfixed64 as_int = 6; repeated KV filtered_attributes = 7; }"
    "message Number { fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; double as_double = 4;"
    " repeated Exemplar exemplars = 5; sfixed64 as_int = 6; repeated KV attributes = 7; uint32 flags = 8; }"
    "message Gauge { repeated Number points = 1; }"
    "message Sum { repeated Number points = 1; int32 temporality = 2; bool monotonic = 3; }"
    "message Histo { fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;"
    " double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;"
    " repeated Exemplar exemplars = 8; repeated KV attributes = 9; uint32 flags = 10; double min = 11;"
    " double max = 12; }"
    "message Histogram { repeated Histo points = 1; int32 temporality = 2; }"
    "message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }"
    "message Expo { repeated KV attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;"
    " fixed64 count = 4; double sum = 5; sint32 scale = 6; fixed64 zero_count = 7; Buckets positive = 8;"
    " Buckets negative = 9; uint32 flags = 10; repeated Exemplar exemplars = 11; double min = 12; double max = 13; }"
    "message Exponential { repeated Expo points = 1; int32 temporality = 2; }"
    "message Quantile { double quantile = 1; double value = 2; }"
    "message Summ { fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;"
    " double sum = 5; repeated Quantile quantiles = 6; repeated KV attributes = 7; uint32 flags = 8; }"
    "message Summary { repeated Summ points = 1; }"
    "message Metric { string name = 1; string description = 2; string unit = 3; Gauge gauge = 5; Sum sum = 7;"
    " Histogram histogram = 9; Exponential exponential_histogram = 10; Summary summary = 11; }"
    "message ScopeItems { Scope scope = 1; repeated Metric items = 2; string schema_url = 3; }"
    "message ResourceItems { Resource resource = 1; repeated ScopeItems scopes = 2; string schema_url = 3; }"
    "message Request { repeated ResourceItems resources = 1; }"
)

_ANY = (
    "Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),"
    " double_value Nullable(Float64), bytes_value Nullable(String))"
)
_KV = f"Array(Tuple(key String, value {_ANY}))"
_EXEMPLAR = (
    "Array(Tuple(time_unix_nano UInt64, as_double Nullable(Float64), as_int Nullable(Int64), span_id String,"
    f" trace_id String, filtered_attributes {_KV}))"
)
_POINT = f"start_time_unix_nano UInt64, time_unix_nano UInt64, attributes {_KV}, flags UInt32"
_SPAN = (
    "trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32,"
    f" start_time_unix_nano UInt64, end_time_unix_nano UInt64, attributes {_KV},"
    f" events Array(Tuple(time_unix_nano UInt64, name String, attributes {_KV})),"
    f" links Array(Tuple(trace_id String, span_id String, trace_state String, attributes {_KV})),"
    " status Tuple(message String, code Int32)"
)
_LOG = (
    f"time_unix_nano UInt64, observed_time_unix_nano UInt64, severity_number Int32, severity_text String,"
    f" body {_ANY}, attributes {_KV}, flags UInt32, trace_id String, span_id String, event_name String"
)
_NUMBER = f"{_POINT}, as_double Nullable(Float64), as_int Nullable(Int64), exemplars {_EXEMPLAR}"
_BUCKETS = "Tuple(offset Int32, bucket_counts Array(UInt64))"
_POINTS = {
    "gauge": f"points Array(Tuple({_NUMBER}))",
    "sum": f"points Array(Tuple({_NUMBER})), temporality Int32, monotonic Bool",
    "histogram": f"points Array(Tuple({_POINT}, count UInt64, sum Float64, bucket_counts Array(UInt64),"
    f" explicit_bounds Array(Float64), exemplars {_EXEMPLAR}, min Float64, max Float64)), temporality Int32",
    "exponential_histogram": f"points Array(Tuple({_POINT}, count UInt64, sum Float64, scale Int32,"
    f" zero_count UInt64, positive {_BUCKETS}, negative {_BUCKETS}, exemplars {_EXEMPLAR}, min Float64,"
    " max Float64)), temporality Int32",
    "summary": f"points Array(Tuple({_POINT}, count UInt64, sum Float64,"
    " quantiles Array(Tuple(quantile Float64, value Float64))))",
}


def _structure(item: str) -> str:
    scope = f"Tuple(name String, version String, attributes {_KV}, dropped_attributes_count UInt32)"
    scopes = f"Array(Tuple(scope {scope}, items Array(Tuple({item})), schema_url String))"
    return f"resources Array(Tuple(resource Tuple(attributes {_KV}), scopes {scopes}, schema_url String))"


def _text(value: str) -> str:
    """An AnyValue as the Collector's exporter writes it: numbers in digits, bytes in base64."""
    return (
        f"multiIf(isNotNull({value}.string_value), assumeNotNull({value}.string_value),"
        f" isNotNull({value}.int_value), toString(assumeNotNull({value}.int_value)),"
        f" isNotNull({value}.bool_value), if(assumeNotNull({value}.bool_value), 'true', 'false'),"
        f" isNotNull({value}.double_value), toString(assumeNotNull({value}.double_value)),"
        f" isNotNull({value}.bytes_value), base64Encode(assumeNotNull({value}.bytes_value)), '')"
    )


def _map(pairs: str) -> str:
    return f"CAST(arrayMap(kv -> (kv.key, {_text('kv.value')}), {pairs}), 'Map(LowCardinality(String), String)')"


def _maps(items: str, field: str) -> str:
    return f"arrayMap(item -> {_map(f'item.{field}')}, {items})"


def _nanos(value: str) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({value}))"


def _hex(value: str) -> str:
    return f"lower(hex({value}))"


_RESOURCE_AND_SCOPE = {
    "ServiceName": "ra['service.name']",
    "ResourceAttributes": "ra",
    "ResourceSchemaUrl": "r_schema",
    "ScopeName": "sc.scope.name",
    "ScopeVersion": "sc.scope.version",
    "ScopeAttributes": _map("sc.scope.attributes"),
    "ScopeDroppedAttrCount": "sc.scope.dropped_attributes_count",
    "ScopeSchemaUrl": "sc.schema_url",
}
_TRACE_COLUMNS = {
    "Timestamp": _nanos("i.start_time_unix_nano"),
    "TraceId": _hex("i.trace_id"),
    "SpanId": _hex("i.span_id"),
    "ParentSpanId": _hex("i.parent_span_id"),
    "TraceState": "i.trace_state",
    "SpanName": "i.name",
    "SpanKind": "transform(i.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'],"
    " 'Unspecified')",
    "SpanAttributes": _map("i.attributes"),
    "Duration": "if(i.end_time_unix_nano > i.start_time_unix_nano, i.end_time_unix_nano - i.start_time_unix_nano, 0)",
    "StatusCode": "transform(i.status.code, [1, 2], ['Ok', 'Error'], 'Unset')",
    "StatusMessage": "i.status.message",
    "Events.Timestamp": f"arrayMap(e -> {_nanos('e.time_unix_nano')}, i.events)",
    "Events.Name": "arrayMap(e -> e.name, i.events)",
    "Events.Attributes": _maps("i.events", "attributes"),
    "Links.TraceId": f"arrayMap(l -> {_hex('l.trace_id')}, i.links)",
    "Links.SpanId": f"arrayMap(l -> {_hex('l.span_id')}, i.links)",
    "Links.TraceState": "arrayMap(l -> l.trace_state, i.links)",
    "Links.Attributes": _maps("i.links", "attributes"),
}
_LOG_TIME = _nanos("if(i.time_unix_nano > 0, i.time_unix_nano, i.observed_time_unix_nano)")
_LOG_COLUMNS = {
    "Timestamp": _LOG_TIME,
    "TimestampTime": f"toDateTime({_LOG_TIME})",
    "TraceId": _hex("i.trace_id"),
    "SpanId": _hex("i.span_id"),
    "TraceFlags": "bitAnd(i.flags, 255)",
    "SeverityText": "i.severity_text",
    "SeverityNumber": "bitAnd(i.severity_number, 255)",
    "Body": _text("i.body"),
    "LogAttributes": _map("i.attributes"),
    "EventName": "i.event_name",
}
_NUMBER_VALUE = "coalesce(p.as_double, toFloat64(p.as_int), 0)"
_EXEMPLARS = {
    "Exemplars.FilteredAttributes": _maps("p.exemplars", "filtered_attributes"),
    "Exemplars.TimeUnix": f"arrayMap(e -> {_nanos('e.time_unix_nano')}, p.exemplars)",
    "Exemplars.Value": "arrayMap(e -> coalesce(e.as_double, toFloat64(e.as_int), 0), p.exemplars)",
    "Exemplars.SpanId": f"arrayMap(e -> {_hex('e.span_id')}, p.exemplars)",
    "Exemplars.TraceId": f"arrayMap(e -> {_hex('e.trace_id')}, p.exemplars)",
}
_COUNT_AND_SUM = {"Count": "p.count", "Sum": "p.sum"}
_MIN_MAX = {"Min": "p.min", "Max": "p.max", "AggregationTemporality": "d.temporality"}
_POINT_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "gauge": {"Value": _NUMBER_VALUE, **_EXEMPLARS},
    "sum": {
        "Value": _NUMBER_VALUE,
        **_EXEMPLARS,
        "AggregationTemporality": "d.temporality",
        "IsMonotonic": "d.monotonic",
    },
    "histogram": {
        **_COUNT_AND_SUM,
        "BucketCounts": "p.bucket_counts",
        "ExplicitBounds": "p.explicit_bounds",
        **_EXEMPLARS,
        **_MIN_MAX,
    },
    "exponential_histogram": {
        **_COUNT_AND_SUM,
        "Scale": "p.scale",
        "ZeroCount": "p.zero_count",
        "PositiveOffset": "p.positive.offset",
        "PositiveBucketCounts": "p.positive.bucket_counts",
        "NegativeOffset": "p.negative.offset",
        "NegativeBucketCounts": "p.negative.bucket_counts",
        **_EXEMPLARS,
        **_MIN_MAX,
    },
    "summary": {
        **_COUNT_AND_SUM,
        "ValueAtQuantiles.Quantile": "arrayMap(q -> q.quantile, p.quantiles)",
        "ValueAtQuantiles.Value": "arrayMap(q -> q.value, p.quantiles)",
    },
}
_METRIC_COLUMNS = {
    "MetricName": "i.name",
    "MetricDescription": "i.description",
    "MetricUnit": "i.unit",
    "Attributes": _map("p.attributes"),
    "StartTimeUnix": _nanos("p.start_time_unix_nano"),
    "TimeUnix": _nanos("p.time_unix_nano"),
    "Flags": "p.flags",
}

_ITEMS = (
    "(SELECT ra, r_schema, sc, arrayJoin(sc.items) AS i FROM"
    f" (SELECT {_map('r.resource.attributes')} AS ra, r.schema_url AS r_schema, arrayJoin(r.scopes) AS sc FROM"
    " (SELECT arrayJoin(resources) AS r FROM {source})))"
)


def structure(table: str) -> str:
    """The columns that the engine reads out of an Export request bound for ``table``."""
    if table == "otel_traces":
        return _structure(_SPAN)
    if table == "otel_logs":
        return _structure(_LOG)
    kind = table.removeprefix("otel_metrics_")
    return _structure(f"name String, description String, unit String, {kind} Tuple({_POINTS[kind]})")


def settings(table: str) -> str:
    """Query settings: the schema travels with the statement, and one request may span many days."""
    schema = {"otel_traces": _TRACES, "otel_logs": _LOGS}.get(table, _METRICS)
    return (
        f"format_schema_source = 'string', format_schema = '{schema}', format_schema_message_name = 'Request',"
        " max_partitions_per_insert_block = 0, max_query_size = 1048576"
    )


def insert_sql(table: str, existing: frozenset[str]) -> str:
    """INSERT … SELECT from ``{source}`` into those columns of ``table`` that exist there."""
    if table == "otel_traces":
        columns, rows = {**_TRACE_COLUMNS, **_RESOURCE_AND_SCOPE}, _ITEMS
    elif table == "otel_logs":
        columns, rows = {**_LOG_COLUMNS, **_RESOURCE_AND_SCOPE}, _ITEMS
    else:
        kind = table.removeprefix("otel_metrics_")
        columns = {**_METRIC_COLUMNS, **_RESOURCE_AND_SCOPE, **_POINT_COLUMNS[kind]}
        rows = f"(SELECT ra, r_schema, sc, i, i.{kind} AS d, arrayJoin(i.{kind}.points) AS p FROM {_ITEMS})"
    written = {name: expression for name, expression in columns.items() if name in existing}
    names = ", ".join(f"`{name}`" for name in written)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(written.values())} FROM {rows}"
