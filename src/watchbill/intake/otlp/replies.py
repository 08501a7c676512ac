"""The bodies OTLP answers with: ``Export…ServiceResponse`` and ``google.rpc.Status``, in the request's encoding."""

from __future__ import annotations

from typing import Literal

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from watchbill.features.telemetry import Signal

Encoding = Literal["protobuf", "json"]
CONTENT_TYPE: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}

# HTTP status to google.rpc.Code.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}


def export_reply(signal: Signal, encoding: Encoding, *, rejected: int, message: str) -> bytes:
    """The body of a 200. ``partial_success`` stays unset when all was taken and there is nothing to say."""
    if encoding == "json":
        if not rejected and not message:
            return b"{}"
        field = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}[signal]
        partial = {"errorMessage": message} if not rejected else {field: str(rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial})
    if not rejected and not message:
        return b""
    if signal == "traces":
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans = rejected
        traces.partial_success.error_message = message
        return traces.SerializeToString()
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse()
        metrics.partial_success.rejected_data_points = rejected
        metrics.partial_success.error_message = message
        return metrics.SerializeToString()
    logs = ExportLogsServiceResponse()
    logs.partial_success.rejected_log_records = rejected
    logs.partial_success.error_message = message
    return logs.SerializeToString()


def status_reply(status: int, encoding: Encoding, message: str) -> bytes:
    """A ``google.rpc.Status`` for an HTTP status of 4xx or 5xx."""
    code = _CODES.get(status, 2)
    if encoding == "json":
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode()[:4096]
    # Status has two fields worth sending: int32 code = 1, string message = 2.
    return b"\x08" + bytes([code]) + b"\x12" + _varint(len(text)) + text


def _varint(value: int) -> bytes:
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(low) + bytes([value])
