"""Deadlines that travel: one instant by which the caller wants an answer, for everything done on its behalf.

Inside this process it lives in a context variable (threads started by frameworks and asyncio tasks inherit it);
between processes it is the relative header ``request-timeout-ms``, or gRPC's own ``grpc-timeout``. Nested deadlines
only ever shorten. Async code is cancelled when time is up. A thread cannot be: sync code is held to its deadline by the
clients it uses (the integrations shorten their timeouts to what is left) and by :func:`check` between steps.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, cast

from watchbill_sdk.contract import DEADLINE_HEADER, ENVOY_DEADLINE_HEADER, REJECTIONS
from watchbill_sdk.errors import DeadlineExceeded
from watchbill_sdk.primitive import F, Seconds, seconds
from watchbill_sdk.recorder import RECORDER, Evidence

LONGEST_SECONDS = 3600.0
"""A caller that says it waits longer than an hour is taken to say an hour."""

_until: ContextVar[float | None] = ContextVar("watchbill_deadline", default=None)


def remaining() -> float | None:
    """Return the seconds left, never below 0; None when nobody set a deadline."""
    until = _until.get()
    return None if until is None else max(0.0, until - time.monotonic())


def check() -> None:
    """Raise :class:`DeadlineExceeded` when time is up; call it between the steps of long sync work."""
    left = remaining()
    if left is not None and left <= 0:
        raise _exceeded("")


def time_left(default: float) -> float:
    """Return the timeout for one call: ``default`` seconds, or what is left if that is less.

    Raises:
        DeadlineExceeded: nothing is left, so the call should not start.
    """
    left = remaining()
    if left is None:
        return default
    if left <= 0:
        raise _exceeded("")
    return min(default, left)


def _exceeded(dependency: str) -> DeadlineExceeded:
    RECORDER.counter(REJECTIONS, dependency, "deadline", DeadlineExceeded.code).add()
    where = f" for {dependency}" if dependency else ""
    return DeadlineExceeded(f"the deadline{where} has passed", dependency=dependency)


class deadline:  # noqa: N801  # it reads as a word in `with deadline(2):` and as `@deadline(2)`
    """Give a block, function or coroutine this many seconds, or what the caller left it if that is less.

    ``with deadline(2):``, ``async with deadline(2):``, ``@deadline(2)``. With ``dependency`` the use is evidence that
    calls to it have a timeout.

    Raises:
        ConfigError: when made, for anything but a positive, finite number.
        DeadlineExceeded: on entry when no time is left; in async code also when time runs out inside.
    """

    __slots__ = ("_dependency", "_evidence", "_seconds", "_timeout", "_token")

    def __init__(self, limit: Seconds, *, dependency: str = "") -> None:
        self._seconds = seconds(limit, "a deadline")
        self._dependency = dependency
        self._evidence: Evidence | None = None
        if dependency:
            self._evidence = RECORDER.evidence(dependency, "timeout", f"{self._seconds:g}s")
        self._token: Token[float | None] | None = None
        self._timeout: asyncio.Timeout | None = None

    @property
    def limit(self) -> float:
        """The seconds it was made with."""
        return self._seconds

    def _start(self) -> float:
        """Set the nearer of ours and the caller's; return the seconds to go."""
        now = time.monotonic()
        until = now + self._seconds
        outer = _until.get()
        if outer is not None and outer < until:
            until = outer
            if until <= now:
                raise _exceeded(self._dependency)
        self._token = _until.set(until)
        if self._evidence is not None:
            self._evidence.used()
        return until - now

    def _stop(self) -> None:
        if self._token is not None:
            _until.reset(self._token)
            self._token = None

    def __enter__(self) -> None:
        self._start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    async def __aenter__(self) -> None:
        left = self._start()
        self._timeout = asyncio.timeout(left)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        timeout = self._timeout
        self._stop()
        if timeout is None:
            return
        try:
            await timeout.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            where = f" for {self._dependency}" if self._dependency else ""
            raise DeadlineExceeded(f"the deadline{where} has passed", dependency=self._dependency) from late

    def again(self) -> deadline:
        """Return a fresh one with the same settings: an instance is for one block."""
        copy = object.__new__(deadline)
        copy._seconds, copy._dependency, copy._evidence = self._seconds, self._dependency, self._evidence
        copy._token = copy._timeout = None
        return copy

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def limited_async(*arguments: Any, **named: Any) -> Any:
                async with self.again():
                    return await function(*arguments, **named)

            return cast("F", limited_async)

        @functools.wraps(function)
        def limited(*arguments: Any, **named: Any) -> Any:
            with self.again():
                return function(*arguments, **named)

        return cast("F", limited)


def header_value() -> str | None:
    """Return what to send as ``request-timeout-ms``: whole milliseconds left, None without a deadline."""
    left = remaining()
    return None if left is None else str(math.floor(left * 1000))


def read_headers(get: Callable[[str], str | None]) -> float | None:
    """Return the seconds the caller still waits; None when it did not say, or not intelligibly.

    Zero and negative values mean that it no longer waits: 0.0. Values beyond an hour are taken as an hour. Text that is
    no number is ignored, as an absent header is: a broken client must not be refused for it.
    """
    for name in (DEADLINE_HEADER, ENVOY_DEADLINE_HEADER):
        text = get(name)
        if text is None:
            continue
        try:
            milliseconds = float(text)
        except ValueError:
            continue
        if math.isnan(milliseconds):
            continue
        return min(max(milliseconds / 1000, 0.0), LONGEST_SECONDS)
    return None


def refuse_late(dependency: str) -> DeadlineExceeded:
    """Return the error for a request that arrived after its deadline, counted."""
    return _exceeded(dependency)
