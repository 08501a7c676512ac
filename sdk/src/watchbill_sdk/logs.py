"""Log lines that can be found from a trace, and traces from a log line."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from opentelemetry import trace

NO_TRACE, NO_SPAN = "0" * 32, "0" * 16


def _ids() -> tuple[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return NO_TRACE, NO_SPAN
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


def correlate_stdlib(service: str) -> None:
    """Give every record of :mod:`logging` ``trace_id``, ``span_id`` and ``service`` for formatters; once only."""
    made = logging.getLogRecordFactory()
    if getattr(made, "_watchbill", False):
        return

    def factory(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = made(*arguments, **named)
        record.trace_id, record.span_id = _ids()
        record.service = service
        return record

    factory._watchbill = True  # type: ignore[attr-defined]  # a mark on our own function
    logging.setLogRecordFactory(factory)


def add_trace_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add ``trace_id`` and ``span_id`` inside a span: a processor for ``structlog.configure(processors=[…])``."""
    trace_id, span_id = _ids()
    if trace_id != NO_TRACE:
        event["trace_id"], event["span_id"] = trace_id, span_id
    return event
