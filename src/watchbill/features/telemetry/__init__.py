"""Telemetry in ClickHouse: OTLP in, counts of good and bad events out. Only the observer process uses it."""

from watchbill.features.telemetry.commit import GroupCommit
from watchbill.features.telemetry.late import LateSpans
from watchbill.features.telemetry.logic import ranges_to_derive, slice_start
from watchbill.features.telemetry.model import (
    Inserted,
    OperationMatch,
    Reason,
    ServiceTraffic,
    Signal,
    SliceCount,
    Span,
    WindowCount,
)
from watchbill.features.telemetry.store import TelemetryStore

__all__ = [
    "GroupCommit",
    "Inserted",
    "LateSpans",
    "OperationMatch",
    "Reason",
    "ServiceTraffic",
    "Signal",
    "SliceCount",
    "Span",
    "TelemetryStore",
    "WindowCount",
    "ranges_to_derive",
    "slice_start",
]
