"""Telemetry in ClickHouse: OTLP in, counts of good and bad events out. Only the observer process uses it."""

from watchbill.features.telemetry import asking
from watchbill.features.telemetry.asking import FindTraces, GetCounts, GetLogs, GetTrace, PutCounts
from watchbill.features.telemetry.calls import GetCalls, TraceCalls
from watchbill.features.telemetry.commit import GroupCommit
from watchbill.features.telemetry.edges import Edge, Edges, GetEdges
from watchbill.features.telemetry.evidence import SeenEvidence
from watchbill.features.telemetry.late import LateSpans
from watchbill.features.telemetry.load import GetLoad, LoadStep
from watchbill.features.telemetry.logic import ranges_to_derive, slice_start
from watchbill.features.telemetry.model import (
    CountColumns,
    CounterCount,
    Degraded,
    Inserted,
    LogLine,
    MetricMatch,
    MetricSelector,
    OperationMatch,
    Outcome,
    Reason,
    ServiceTraffic,
    Signal,
    SliceCount,
    Span,
    TraceLine,
    WindowCount,
)
from watchbill.features.telemetry.past import Past
from watchbill.features.telemetry.remote import Observer
from watchbill.features.telemetry.store import TelemetryStore
from watchbill.features.telemetry.versions import GetVersions, SeenVersion, Versions, VersionSlice

__all__ = [
    "CountColumns",
    "CounterCount",
    "Degraded",
    "Edge",
    "Edges",
    "FindTraces",
    "GetCalls",
    "GetCounts",
    "GetEdges",
    "GetLoad",
    "GetLogs",
    "GetTrace",
    "GetVersions",
    "GroupCommit",
    "Inserted",
    "LateSpans",
    "LoadStep",
    "LogLine",
    "MetricMatch",
    "MetricSelector",
    "Observer",
    "OperationMatch",
    "Outcome",
    "Past",
    "PutCounts",
    "Reason",
    "SeenEvidence",
    "SeenVersion",
    "ServiceTraffic",
    "Signal",
    "SliceCount",
    "Span",
    "TelemetryStore",
    "TraceCalls",
    "TraceLine",
    "VersionSlice",
    "Versions",
    "WindowCount",
    "asking",
    "ranges_to_derive",
    "slice_start",
]
