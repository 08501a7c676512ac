"""Everything about calling one dependency, said once and applied in the right order."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, cast

from watchbill_sdk import contract
from watchbill_sdk.breakers import Breaker
from watchbill_sdk.bulkheads import Bulkhead
from watchbill_sdk.chaos import CHAOS
from watchbill_sdk.deadlines import deadline, remaining
from watchbill_sdk.errors import DeadlineExceeded, Rejected
from watchbill_sdk.fallbacks import Fallback
from watchbill_sdk.primitive import F, Primitive, Seconds, label
from watchbill_sdk.recorder import RECORDER
from watchbill_sdk.retries import Retry
from watchbill_sdk.switches import Switch
from watchbill_sdk.throttles import Throttle


class Held:
    """An attempt that ends elsewhere, such as a stream: see :meth:`Dependency.begin`. Safe from any thread."""

    def __init__(self, count: Callable[[BaseException | None], None]) -> None:
        self._count = count
        self._open: list[tuple[Primitive, Any]] = []
        self._lock = threading.Lock()
        self._over = False
        self.seconds: float | None = None
        """How long it may take as a whole; None: as long as it likes."""

    def add(self, primitive: Primitive, held: Any) -> None:
        """Remember something that began."""
        self._open.append((primitive, held))

    def proved(self) -> None:
        """Say that the dependency answers: what judges it is told now, what counts places goes on holding them.

        So that a stream of hours does not keep a breaker half open for hours.
        """
        with self._lock:
            told = [one for one in self._open if not isinstance(one[0], Bulkhead)]
            self._open = [one for one in self._open if isinstance(one[0], Bulkhead)]
        for primitive, held in reversed(told):
            primitive.end(held, None)

    def end(self, error: BaseException | None) -> None:
        """End it; only the first time counts."""
        with self._lock:
            if self._over:
                return
            self._over = True
            left, self._open = self._open, []
        for primitive, held in reversed(left):
            primitive.end(held, error)
        self._count(error)


class Dependency:
    """One dependency and its protections, each optional. ``@payments`` protects a function; see also :meth:`attempt`.

    Outermost first: fallback, switch, throttle, retry; then for each attempt breaker, bulkhead, timeout, drill. So a
    refused call costs nothing, every attempt is counted by the breaker, and the fallback sees whatever was raised.

    ``timeout`` is of one attempt; the whole is bounded by the deadline around it.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout: Seconds | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        bulkhead: Bulkhead | None = None,
        throttle: Throttle | None = None,
        switch: Switch | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        self.name = label(name)
        self.retry = retry
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.throttle = throttle
        self.switch = switch
        self.fallback = fallback
        self._timeout = deadline(timeout, dependency=name) if timeout is not None else None
        self._before: tuple[Primitive, ...] = tuple(p for p in (switch, throttle) if p is not None)
        self._each: tuple[Primitive, ...] = tuple(p for p in (breaker, bulkhead) if p is not None)
        self._outcome = {
            word: RECORDER.counter(contract.CALLS, name, word) for word in ("ok", "error", "timeout", "rejected")
        }

    @property
    def timeout_seconds(self) -> float | None:
        """The limit of one attempt."""
        return self._timeout.limit if self._timeout is not None else None

    def _count(self, error: BaseException | None) -> None:
        if error is None:
            word = "ok"
        elif isinstance(error, Rejected):
            word = "rejected"
        else:
            word = "timeout" if isinstance(error, DeadlineExceeded | TimeoutError) else "error"
        self._outcome[word].add()

    @contextmanager
    def _held(self, primitives: tuple[Primitive, ...]) -> Iterator[None]:
        """Begin in order, end in the opposite one; what began ends even if a later one refuses."""
        if not primitives:
            yield
            return
        first, rest = primitives[0], primitives[1:]
        held = first.begin()
        try:
            with self._held(rest):
                yield
        except BaseException as error:
            first.end(held, error)
            raise
        first.end(held, None)

    @asynccontextmanager
    async def _held_async(self, primitives: tuple[Primitive, ...]) -> AsyncIterator[None]:
        if not primitives:
            yield
            return
        first, rest = primitives[0], primitives[1:]
        held = await first.begin_async()
        try:
            async with self._held_async(rest):
                yield
        except BaseException as error:
            first.end(held, error)
            raise
        first.end(held, None)

    def begin(self) -> Held:
        """Begin one attempt that does not end with a block; call :meth:`Held.end` when it has, and always.

        Raises:
            Rejected: it must not begin.
            DeadlineExceeded: no time is left.
        """
        held = Held(self._count)
        try:
            for primitive in (*self._before, *self._each):
                held.add(primitive, primitive.begin())
            with self._timeout.again() if self._timeout is not None else nullcontext():
                CHAOS.strike(self.name)
                held.seconds = remaining()
        except BaseException as error:
            held.end(error)
            raise
        return held

    async def begin_async(self) -> Held:
        """Like :meth:`begin` for coroutines."""
        held = Held(self._count)
        try:
            for primitive in (*self._before, *self._each):
                held.add(primitive, await primitive.begin_async())
            async with self._timeout.again() if self._timeout is not None else nullcontext():
                await CHAOS.strike_async(self.name)
                held.seconds = remaining()
        except BaseException as error:
            held.end(error)
            raise
        return held

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Protect a block as one attempt: all but retry and fallback, which would have to run it twice."""
        try:
            with self._held(self._before), self._one():
                yield
        except BaseException as error:
            self._count(error)
            raise
        self._count(None)

    @asynccontextmanager
    async def attempt_async(self) -> AsyncIterator[None]:
        """Like :meth:`attempt` for coroutines."""
        try:
            async with self._held_async(self._before), self._one_async():
                yield
        except BaseException as error:
            self._count(error)
            raise
        self._count(None)

    @contextmanager
    def _one(self) -> Iterator[None]:
        with self._held(self._each):
            if self._timeout is None:
                CHAOS.strike(self.name)
                yield
                return
            with self._timeout.again():
                CHAOS.strike(self.name)
                yield

    @asynccontextmanager
    async def _one_async(self) -> AsyncIterator[None]:
        async with self._held_async(self._each):
            if self._timeout is None:
                await CHAOS.strike_async(self.name)
                yield
                return
            async with self._timeout.again():
                await CHAOS.strike_async(self.name)
                yield

    def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call a function with everything but the fallback."""

        def once() -> Any:
            with self._one():
                return function(*arguments, **named)

        try:
            with self._held(self._before):
                result = once() if self.retry is None else self.retry.call(once)
        except BaseException as error:
            self._count(error)
            raise
        self._count(None)
        return result

    async def call_async(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call a coroutine function with everything but the fallback."""

        async def once() -> Any:
            async with self._one_async():
                return await function(*arguments, **named)

        try:
            async with self._held_async(self._before):
                result = await once() if self.retry is None else await self.retry.call_async(once)
        except BaseException as error:
            self._count(error)
            raise
        self._count(None)
        return result

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function with everything."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def protected_async(*arguments: Any, **named: Any) -> Any:
                return await self.call_async(function, *arguments, **named)

            wrapped: Any = protected_async
        else:

            @functools.wraps(function)
            def protected(*arguments: Any, **named: Any) -> Any:
                return self.call(function, *arguments, **named)

            wrapped = protected
        return cast("F", self.fallback(wrapped) if self.fallback is not None else wrapped)
