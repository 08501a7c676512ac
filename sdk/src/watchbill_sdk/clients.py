"""One call through a client library, with a dependency's protections: what the client integrations share.

Only idempotent methods are retried. An answer of 429, 502, 503 or 504 counts as a failure for retries, breaker and
throttle, and is still returned to the caller as the answer it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from opentelemetry.trace import Span

from watchbill_sdk.deadlines import remaining
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.errors import BadAnswer, ConfigError, DeadlineExceeded
from watchbill_sdk.outbound import IDEMPOTENT, OVERLOAD_STATUS, client_span, end_span, note_answer, retry_after

A = TypeVar("A")
_EARLY_SECONDS = 0.005
"""Timers and servers that share our deadline give up a little before it."""
Get = Callable[[str], str | None]


def guarding(dependency: Dependency) -> Dependency:
    """Return a dependency that a client may be given.

    Raises:
        ConfigError: it has a fallback. What stands in for an answer is not the client's to say; a fallback that is
        configured and never used would look like protection.
    """
    if dependency.fallback is not None:
        raise ConfigError(
            f"the fallback of {dependency.name} cannot be used by a client: put it on the function that calls"
            " (@wb.Fallback(…)), and leave it out of this Dependency"
        )
    return dependency


class Call(Generic[A]):
    """One request of a client library, whose answers are of type ``A``."""

    def __init__(self, dependency: Dependency, *, method: str, url: str, host: str) -> None:
        self._dependency = dependency
        self._method, self._url, self._host = method.upper(), url.partition("?")[0], host
        self.answer: A | None = None

    def judge(self, span: Span, answer: A, status: int, get: Get) -> A:
        """Note an answer; raise :class:`BadAnswer` when it says "not now"."""
        end_span(span, status)
        note_answer(get)
        self.answer = answer
        left = remaining()
        if status == 504 and left is not None and left <= _EARLY_SECONDS:
            raise self.late(TimeoutError("the dependency gave up with us"))
        if status in OVERLOAD_STATUS:
            raise BadAnswer(status, dependency=self._dependency.name, retry_after=retry_after(get))
        return answer

    def late(self, error: Exception) -> Exception:
        """Return the error to raise for a library's timeout: ours when the deadline made it."""
        left = remaining()
        if left is not None and left <= _EARLY_SECONDS:
            name = self._dependency.name
            return DeadlineExceeded(f"the deadline for {name} has passed", dependency=name)
        return error

    def run(self, send: Callable[[Span], A], discard: Callable[[A], None]) -> A:
        """Send it, perhaps again; ``send`` ends with :meth:`judge`."""

        def once() -> A:
            if self.answer is not None:
                discard(self.answer)
                self.answer = None
            with self._span() as span:
                return send(span)

        try:
            if self._method in IDEMPOTENT:
                found: A = self._dependency.call(once)
                return found
            with self._dependency.attempt():
                return once()
        except BadAnswer:
            if self.answer is None:
                raise
            return self.answer

    async def run_async(self, send: Callable[[Span], Awaitable[A]], discard: Callable[[A], Awaitable[None]]) -> A:
        """Like :meth:`run` for coroutines."""

        async def once() -> A:
            if self.answer is not None:
                await discard(self.answer)
                self.answer = None
            with self._span() as span:
                return await send(span)

        try:
            if self._method in IDEMPOTENT:
                found: A = await self._dependency.call_async(once)
                return found
            async with self._dependency.attempt_async():
                return await once()
        except BadAnswer:
            if self.answer is None:
                raise
            return self.answer

    def _span(self) -> AbstractContextManager[Span]:
        return client_span(
            self._method, dependency=self._dependency.name, method=self._method, url=self._url, host=self._host
        )
