"""What every server integration does with a request, whatever the framework: the integrations only translate.

1. Health paths are answered at once, past every limit. 2. The caller's trace, deadline and priority are taken over; a
request whose deadline has passed is refused. 3. The limiter, if there is one, admits or sheds. 4. A server span and
``http.server.request.duration`` are recorded (when no other instrumentation has begun a span). 5. On the way out
errors of this package become answers (503, 504) with ``retry-after``, and the ``degraded`` header is set.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from watchbill_sdk import contract, shutdown
from watchbill_sdk.deadlines import deadline, read_headers, refuse_late, remaining
from watchbill_sdk.errors import DeadlineExceeded, ReliabilityError
from watchbill_sdk.fallbacks import begin_request
from watchbill_sdk.health import HEALTH
from watchbill_sdk.limiter import Limiter, Priority, current_priority
from watchbill_sdk.primitive import Seconds, seconds

Header = Callable[[str], str | None]
Classify = Callable[[str, str, Header], Priority | None]
"""(method, path, header) → the request's priority; None: as the header says, else normal."""

_tracer = trace.get_tracer("watchbill_sdk")
_duration = metrics.get_meter("watchbill_sdk").create_histogram(
    "http.server.request.duration",
    "s",
    "Duration of HTTP server requests.",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
)
_current: ContextVar[object] = ContextVar("watchbill_request", default=None)
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"}


class _HeaderGetter(Getter[Header]):
    def get(self, carrier: Header, key: str) -> list[str] | None:
        value = carrier(key)
        return None if value is None else [value]

    def keys(self, carrier: Header) -> list[str]:
        return []


_GETTER = _HeaderGetter()


class Inbound:
    """The rules for requests of one application.

    Args:
        limiter: admits or sheds; None: no limit.
        timeout: the deadline of requests that bring none, in seconds; None: none.
        trust_headers: take over ``request-timeout-ms`` and ``request-priority``. Say False at the edge, where
        strangers call.
        classify: decides the priority itself.
    """

    def __init__(
        self,
        *,
        limiter: Limiter | None = None,
        timeout: Seconds | None = None,
        trust_headers: bool = True,
        classify: Classify | None = None,
    ) -> None:
        self.limiter = limiter
        self._timeout = seconds(timeout, "timeout") if timeout is not None else None
        self._trust = trust_headers
        self._classify = classify

    def started(self) -> None:
        """Tell that the server runs: only now its own signal handlers are in place, to be put behind ours."""
        shutdown.install_again()

    def enter(self, *, method: str, path: str, scheme: str, header: Header) -> Request:
        """Begin a request, in the context (task or thread) that will serve it."""
        return Request(self, method=method, path=path, scheme=scheme, header=header)

    def priority(self, method: str, path: str, header: Header) -> Priority:
        """Return the priority of a request."""
        found = self._classify(method, path, header) if self._classify is not None else None
        if found is None and self._trust:
            found = Priority.parse(header(contract.PRIORITY_HEADER))
        return Priority.NORMAL if found is None else found

    def seconds_left(self, header: Header) -> float | None:
        """Return how long the caller waits: what it says, at most our own timeout."""
        said = read_headers(header) if self._trust else None
        if said is None:
            return self._timeout
        return said if self._timeout is None else min(said, self._timeout)


class Request:
    """One request in progress. Call :meth:`admit` first, :meth:`leave` last and always."""

    def __init__(self, rules: Inbound, *, method: str, path: str, scheme: str, header: Header) -> None:
        self._rules = rules
        self._method = method if method in _METHODS else "_OTHER"
        self._path, self._scheme, self._header = path, scheme, header
        self.route: str | None = None
        """The pattern of the path, when the framework tells it."""
        self.deadline: deadline | None = None
        self._held: float | None = None
        self._entered_deadline = False
        self._began = time.perf_counter()
        self._current_token = _current.set(self)
        self._without, self._end_degraded = begin_request()
        self._priority_token = current_priority.set(rules.priority(method, path, header))
        self._span: Span | None = None
        self._otel_token: Any = None
        HEALTH.request_began()
        self._server_span = trace.get_current_span()
        if not self._server_span.is_recording():
            parent = propagate.extract(header, getter=_GETTER)
            self._span = _tracer.start_span(
                self._method,
                context=parent,
                kind=SpanKind.SERVER,
                attributes={"http.request.method": self._method, "url.path": path, "url.scheme": scheme},
            )
            self._server_span = self._span
            self._otel_token = otel_context.attach(trace.set_span_in_context(self._span, parent))

    def admit(self, *, enter_deadline: bool = True) -> None:
        """Take over the deadline and ask the limiter. Async integrations enter :attr:`deadline` themselves.

        Raises:
            DeadlineExceeded: it had passed before it came here.
            Overloaded: shed.
        """
        left = self._rules.seconds_left(self._header)
        if left is not None:
            if left <= 0:
                raise refuse_late("")
            self.deadline = deadline(left)
        if self._rules.limiter is not None:
            self._held = self._rules.limiter.begin()
        if self.deadline is not None and enter_deadline:
            self.deadline.__enter__()
            self._entered_deadline = True

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers to add to the answer."""
        without = self._without
        if not without:
            return []
        safe = [name.encode("ascii", "replace").decode().replace(",", "_") for name in without]
        return [(contract.DEGRADED_HEADER, ", ".join(safe))]

    def leave(self, *, status: int | None, error: BaseException | None, stream: bool = False) -> None:
        """End the request: ``status`` as answered, ``error`` if it was raised.

        How long a ``stream`` took says nothing about the load, so a limiter does not learn from it.

        A stream that was abandoned may be closed in another context: there is nothing of ours to take back in it.
        """
        here = _current.get() is self
        if here and self._entered_deadline and self.deadline is not None:
            if error is None and remaining() == 0:  # a thread cannot be cancelled: this answer is late all the same
                error = DeadlineExceeded("the answer came after its deadline")
            self.deadline.__exit__(None, None, None)
        if self._held is not None and self._rules.limiter is not None:
            failed = error if error is not None else (RuntimeError() if status is not None and status >= 500 else None)
            self._rules.limiter.end(self._held, asyncio.CancelledError() if stream else failed)
        HEALTH.request_ended()
        self._record(status, error)
        if here:
            if self._otel_token is not None:
                otel_context.detach(self._otel_token)
            current_priority.reset(self._priority_token)
            self._end_degraded()
            _current.reset(self._current_token)

    def _record(self, status: int | None, error: BaseException | None) -> None:
        without = self._without
        if without and self._server_span.is_recording():
            # It may have been noted inside the span of a call; an SLI looks at the server's, whoever began it.
            self._server_span.set_attribute(contract.SPAN_DEGRADED, True)
            self._server_span.set_attribute(contract.SPAN_DEGRADED_DEPENDENCIES, without)
        if self._span is None:
            return
        attributes: dict[str, str | int | bool] = {
            "http.request.method": self._method,
            "url.scheme": self._scheme,
        }
        if status is None and error is not None:
            status = error.status if isinstance(error, ReliabilityError) else 500
        if status is not None:
            attributes["http.response.status_code"] = status
        if self.route:
            attributes["http.route"] = self.route
            self._span.update_name(f"{self._method} {self.route}")
        if status is not None and status >= 500:
            attributes["error.type"] = type(error).__name__ if error is not None else str(status)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attributes(attributes)
        if without:
            attributes[contract.SPAN_DEGRADED] = True
        _duration.record(time.perf_counter() - self._began, attributes)
        self._span.end()


def is_stream(content_type: str | None) -> bool:
    """Whether an answer of this type goes on for as long as somebody listens: server-sent events."""
    return (content_type or "").partition(";")[0].strip().lower() == "text/event-stream"


def answer_for(error: ReliabilityError) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and JSON body for an error of this package that reached the edge of the application."""
    headers = {"content-type": "application/json"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return error.status, headers, json.dumps({"error": error.code, "message": str(error)}).encode()
