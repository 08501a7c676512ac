"""The tables: the OpenTelemetry ClickHouse exporter's own, and Watchbill's two tables of counts.

Source: opentelemetry-collector-contrib ``exporter/clickhouseexporter`` (``internal/sqltemplates``). Tables are
created only when absent and never altered, so one that the Collector made keeps its own shape.
"""

from __future__ import annotations

_MAP = "Map(LowCardinality(String), String)"
_Z = "CODEC(ZSTD(1))"

_TRACES = f"""
CREATE TABLE IF NOT EXISTS otel_traces (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String {_Z}, SpanId String {_Z}, ParentSpanId String {_Z}, TraceState String {_Z},
    SpanName LowCardinality(String) {_Z}, SpanKind LowCardinality(String) {_Z},
    ServiceName LowCardinality(String) {_Z},
    ResourceAttributes {_MAP} {_Z}, ScopeName String {_Z}, ScopeVersion String {_Z},
    SpanAttributes {_MAP} {_Z},
    Duration UInt64 {_Z}, StatusCode LowCardinality(String) {_Z}, StatusMessage String {_Z},
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes {_MAP}) {_Z},
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes {_MAP}) {_Z},
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp)
PRIMARY KEY (ServiceName, SpanName, toDateTime(Timestamp))
TTL toDateTime(Timestamp) + toIntervalDay({{days}})
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""

_TRACE_TIMES = """
CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime) CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = AggregatingMergeTree
PARTITION BY toDate(Start)
ORDER BY TraceId
TTL toDateTime(Start) + toIntervalDay({days})
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""

_TRACE_TIMES_VIEW = """
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM otel_traces WHERE TraceId != '' GROUP BY TraceId
"""

_LOGS = f"""
CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), TimestampTime DateTime DEFAULT toDateTime(Timestamp),
    TraceId String {_Z}, SpanId String {_Z}, TraceFlags UInt8,
    SeverityText LowCardinality(String) {_Z}, SeverityNumber UInt8,
    ServiceName LowCardinality(String) {_Z}, Body String {_Z},
    ResourceSchemaUrl LowCardinality(String) {_Z}, ResourceAttributes {_MAP} {_Z},
    ScopeSchemaUrl LowCardinality(String) {_Z}, ScopeName String {_Z},
    ScopeVersion LowCardinality(String) {_Z}, ScopeAttributes {_MAP} {_Z},
    LogAttributes {_MAP} {_Z}, EventName String {_Z},
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(TimestampTime)
PRIMARY KEY (ServiceName, TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp)
TTL TimestampTime + toIntervalDay({{days}})
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""

_EXEMPLARS = f"""Exemplars Nested (FilteredAttributes {_MAP}, TimeUnix DateTime64(9), Value Float64,
        SpanId String, TraceId String) {_Z}"""

_METRIC_COLUMNS = {
    "gauge": f"Value Float64 {_Z}, {_EXEMPLARS}",
    "sum": f"Value Float64 {_Z}, {_EXEMPLARS}, AggregationTemporality Int32, IsMonotonic Boolean",
    "histogram": f"""Count UInt64, Sum Float64, BucketCounts Array(UInt64) {_Z}, ExplicitBounds Array(Float64) {_Z},
    {_EXEMPLARS}, Min Float64, Max Float64, AggregationTemporality Int32""",
    "exponential_histogram": f"""Count UInt64, Sum Float64, Scale Int32, ZeroCount UInt64,
    PositiveOffset Int32, PositiveBucketCounts Array(UInt64) {_Z},
    NegativeOffset Int32, NegativeBucketCounts Array(UInt64) {_Z},
    {_EXEMPLARS}, Min Float64, Max Float64, AggregationTemporality Int32""",
    "summary": "Count UInt64, Sum Float64, ValueAtQuantiles Nested (Quantile Float64, Value Float64)",
}
METRIC_KINDS = tuple(_METRIC_COLUMNS)


def _metrics(kind: str, days: int) -> str:
    return f"""
CREATE TABLE IF NOT EXISTS otel_metrics_{kind} (
    ResourceAttributes {_MAP} {_Z}, ResourceSchemaUrl String {_Z},
    ScopeName String {_Z}, ScopeVersion String {_Z}, ScopeAttributes {_MAP} {_Z},
    ScopeDroppedAttrCount UInt32, ScopeSchemaUrl String {_Z},
    ServiceName LowCardinality(String) {_Z}, MetricName LowCardinality(String) {_Z},
    MetricDescription String {_Z}, MetricUnit String {_Z}, Attributes {_MAP} {_Z},
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD(1)), TimeUnix DateTime64(9) CODEC(Delta, ZSTD(1)),
    Flags UInt32,
    {_METRIC_COLUMNS[kind]}
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay({days})
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""


# One row per operation, objective and slice that has (or once had) events; the newest version wins, so a pass that
# runs again overwrites exactly. Slices without a row had no events.
_COUNTS = """
CREATE TABLE IF NOT EXISTS watchbill_sli_counts (
    operation_id UUID, objective LowCardinality(String), slice DateTime('UTC'), slice_seconds UInt32,
    good Float64, total Float64, measured UInt8, reason LowCardinality(String), version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(slice)
ORDER BY (operation_id, objective, slice_seconds, slice)
TTL slice + toIntervalDay({days})
"""

# Who reported when: a slice in which nobody reported is unmeasured for everybody.
_COVERAGE = """
CREATE TABLE IF NOT EXISTS watchbill_sli_coverage (
    slice DateTime('UTC'), slice_seconds UInt32, service_name String, spans UInt64, version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(slice)
ORDER BY (slice_seconds, slice, service_name)
TTL slice + toIntervalDay({days})
"""

# The operations of a pass, so that ten thousand of them are one join and not one SQL text.
_MATCHES = """
CREATE TABLE IF NOT EXISTS watchbill_sli_match (
    revision String, operation_id UUID, objective String, service_name String, environment String,
    route String, span_name String, attribute_positions Array(UInt32), attribute_values Array(String),
    threshold_position UInt32, written_at DateTime('UTC'), degraded UInt8
) ENGINE = MergeTree ORDER BY (revision, service_name)
TTL written_at + toIntervalDay(2)
"""
# A table of an earlier version has no such column; 0 is what it meant.
_MATCHES_DEGRADED = "ALTER TABLE watchbill_sli_match ADD COLUMN IF NOT EXISTS degraded UInt8"


# What each SLO is called and promises, for people who read the counts with SQL (Grafana); written by the observer.
_NAMES = """
CREATE TABLE IF NOT EXISTS watchbill_slo_names (
    operation_id UUID, objective LowCardinality(String), slo_id UUID, team String, service String, operation String,
    environment LowCardinality(String), target Float64, window_seconds UInt32, slice_seconds UInt32,
    version UInt64, live UInt8
) ENGINE = ReplacingMergeTree(version)
ORDER BY (operation_id, objective)
"""


def statements(ttl_days: int, counts_ttl_days: int) -> list[str]:
    """Every statement in the order it must run; each is a no-op where its table or column exists."""
    return [
        _TRACES.format(days=ttl_days),
        _TRACE_TIMES.format(days=ttl_days),
        _TRACE_TIMES_VIEW,
        _LOGS.format(days=ttl_days),
        *(_metrics(kind, ttl_days) for kind in METRIC_KINDS),
        _COUNTS.format(days=counts_ttl_days),
        _COVERAGE.format(days=counts_ttl_days),
        _MATCHES,
        _NAMES,
        _MATCHES_DEGRADED,
    ]


TABLES = (
    "otel_traces",
    "otel_logs",
    *(f"otel_metrics_{kind}" for kind in METRIC_KINDS),
)
