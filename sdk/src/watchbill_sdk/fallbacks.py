"""Fallbacks that do not hide: an answer without a dependency is marked as degraded, up to the SLI.

The mark is the span attribute ``reliability.degraded``, the response header ``degraded`` and the counter
``reliability.degraded``; the client integrations pass a downstream's mark on to the caller.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from opentelemetry import trace

from watchbill_sdk import contract
from watchbill_sdk.errors import ConfigError, ReliabilityError
from watchbill_sdk.primitive import F, label
from watchbill_sdk.recorder import RECORDER

_without: ContextVar[list[str] | None] = ContextVar("watchbill_degraded", default=None)
_MOST = 20


def degraded() -> tuple[str, ...]:
    """Return what the answer being made does without, in the order it was found out."""
    return tuple(_without.get() or ())


def mark_degraded(dependency: str, reason: str = "fallback") -> None:
    """Say that the answer being made does without this dependency; for fallbacks written by hand."""
    RECORDER.counter(contract.DEGRADED, label(dependency), reason).add()
    note_degraded(dependency)


def note_degraded(dependency: str) -> None:
    """Mark request and span without counting: the service that fell back has counted already."""
    noted = _without.get()
    if noted is not None and dependency not in noted and len(noted) < _MOST:
        noted.append(dependency)
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attribute(contract.SPAN_DEGRADED, True)
        span.set_attribute(contract.SPAN_DEGRADED_DEPENDENCIES, list(noted or [dependency]))


class Fallback:
    """When the call ends with one of ``on``, use ``value`` instead and mark the answer.

    ``value`` is a value, or a function of the same arguments.
    A function for a coroutine may be a coroutine function. What is not in ``on`` is raised: a fallback for every
    error hides bugs, so say which.
    """

    def __init__(
        self,
        dependency: str,
        value: Any,
        *,
        on: tuple[type[Exception], ...] = (ReliabilityError, OSError),
    ) -> None:
        self.dependency = label(dependency)
        if not on:
            raise ConfigError("on must name at least one exception")
        self._value = value
        self._on = on
        self._evidence = RECORDER.evidence(dependency, "fallback", "function" if callable(value) else "value")

    def _mark(self, error: Exception) -> None:
        self._evidence.used()
        reason = error.code if isinstance(error, ReliabilityError) else type(error).__name__
        mark_degraded(self.dependency, reason)

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function."""
        value = self._value
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def backed_async(*arguments: Any, **named: Any) -> Any:
                try:
                    return await function(*arguments, **named)
                except self._on as error:
                    self._mark(error)
                found = value(*arguments, **named) if callable(value) else value
                return await found if inspect.isawaitable(found) else found

            return cast("F", backed_async)

        @functools.wraps(function)
        def backed(*arguments: Any, **named: Any) -> Any:
            try:
                return function(*arguments, **named)
            except self._on as error:
                self._mark(error)
            return value(*arguments, **named) if callable(value) else value

        return cast("F", backed)


def begin_request() -> tuple[list[str], Callable[[], None]]:
    """Start a list for one inbound request; return it, and how to end it."""
    noted: list[str] = []
    token = _without.set(noted)
    return noted, lambda: _without.reset(token)
