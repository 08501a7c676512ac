"""What every client integration sends with a call, and what it reads off the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from watchbill_sdk import contract
from watchbill_sdk.deadlines import header_value
from watchbill_sdk.fallbacks import note_degraded
from watchbill_sdk.limiter import Priority, current_priority

_tracer = trace.get_tracer("watchbill_sdk")
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110, section 9.2.2: only these are retried by an integration."""

OVERLOAD_STATUS = frozenset({429, 502, 503, 504})
"""Answers that say that the dependency could not, not that the request was wrong."""


def outgoing_headers() -> dict[str, str]:
    """Return the headers for a call made now: trace context, ``request-timeout-ms``, ``request-priority``."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    left = header_value()
    if left is not None:
        headers[contract.DEADLINE_HEADER] = left
    priority = current_priority.get()
    if priority is not Priority.NORMAL:
        headers[contract.PRIORITY_HEADER] = priority.word
    return headers


def add_headers(headers: MutableMapping[str, str]) -> None:
    """Set them on a call; they win over what is there, because what is there is older."""
    for name, value in outgoing_headers().items():
        headers[name] = value


def note_answer(get: Callable[[str], str | None]) -> None:
    """Pass on what a downstream did without."""
    for name in (get(contract.DEGRADED_HEADER) or "").split(",")[:20]:
        if name.strip():
            note_degraded(name.strip()[:100])


def retry_after(get: Callable[[str], str | None]) -> float | None:
    """Return the seconds of ``retry-after``; a date or nonsense is None."""
    text = get("retry-after") or ""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def begin_span(name: str, *, dependency: str, method: str, url: str, host: str) -> Span:
    """Begin a client span that the caller ends: for calls that outlive the block that began them."""
    return _tracer.start_span(
        name,
        kind=SpanKind.CLIENT,
        attributes={
            "http.request.method": method,
            "server.address": host,
            "url.full": url,
            "peer.service": dependency,
            contract.DEPENDENCY: dependency,
        },
    )


@contextmanager
def client_span(name: str, *, dependency: str, method: str, url: str, host: str) -> Iterator[Span]:
    """Record a client span around a call; an exception marks it."""
    span = begin_span(name, dependency=dependency, method=method, url=url, host=host)
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def end_span(span: Span, status: int) -> None:
    """Note the status of an answer."""
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))
