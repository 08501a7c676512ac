"""Hedging: when an answer is late, ask a second time and take whichever comes first.

Source: Dean and Barroso, The Tail at Scale (2013). Only for what may be done twice. A hedge takes a token of the retry
budget, so that slowness everywhere does not double the load.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, cast

from watchbill_sdk import contract
from watchbill_sdk.deadlines import time_left
from watchbill_sdk.errors import DeadlineExceeded
from watchbill_sdk.primitive import F, Seconds, label, seconds, whole
from watchbill_sdk.recorder import RECORDER
from watchbill_sdk.retries import RetryBudget


class Hedge:
    """Ask again after ``after`` seconds (its 95th percentile is a good choice); the loser is cancelled.

    Sync calls run on ``threads`` threads of their own; a thread that lost cannot be stopped, its answer is dropped.
    An error of one is not raised while the other may still answer.
    """

    def __init__(self, dependency: str, *, after: Seconds, budget: RetryBudget | None = None, threads: int = 8) -> None:
        self.dependency = label(dependency)
        self._after = seconds(after, "after")
        self.budget = budget if budget is not None else RetryBudget(dependency)
        self._threads = whole(threads, "threads", least=2)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._pool_of = 0
        self._evidence = RECORDER.evidence(dependency, "hedge", f"after {self._after:g}s")
        self._outcome = {
            word: RECORDER.counter(contract.HEDGES, dependency, word) for word in ("sent", "won", "budget_spent")
        }

    def _may(self) -> bool:
        allowed = self.budget.withdraw()
        self._outcome["sent" if allowed else "budget_spent"].add()
        return allowed

    async def call_async(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a coroutine function, twice when the first is slow."""
        self._evidence.used()
        self.budget.deposit()
        first = asyncio.ensure_future(function(*arguments, **named))
        running = {first}
        try:
            done, _ = await asyncio.wait(running, timeout=self._after)
            if not done and self._may():
                running.add(asyncio.ensure_future(function(*arguments, **named)))
            error: BaseException | None = None
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        if task is not first:
                            self._outcome["won"].add()
                        return task.result()
            raise cast("BaseException", error)
        finally:
            for task in running | {first}:
                task.cancel()

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function on a thread, twice when the first is slow."""
        self._evidence.used()
        self.budget.deposit()
        if self._pool is None or self._pool_of != os.getpid():  # a forked child has the pool, but not its threads
            self._pool_of = os.getpid()
            self._pool = concurrent.futures.ThreadPoolExecutor(self._threads, f"hedge-{self.dependency}")
        pool = self._pool

        def start() -> concurrent.futures.Future[Any]:
            return pool.submit(contextvars.copy_context().run, functools.partial(function, *arguments, **named))

        first = start()
        running = {first}
        done, _ = concurrent.futures.wait(running, timeout=time_left(self._after))
        if not done and self._may():
            running.add(start())
        error: BaseException | None = None
        while running:
            done, running = concurrent.futures.wait(
                running, time_left(3600.0), return_when=concurrent.futures.FIRST_COMPLETED
            )
            if not done:
                raise DeadlineExceeded(f"the deadline for {self.dependency} has passed", dependency=self.dependency)
            for future in done:
                error = future.exception()
                if error is None:
                    if future is not first:
                        self._outcome["won"].add()
                    return future.result()
        raise cast("BaseException", error)

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def hedged_async(*arguments: Any, **named: Any) -> Any:
                return await self.call_async(function, *arguments, **named)

            return cast("F", hedged_async)

        @functools.wraps(function)
        def hedged(*arguments: Any, **named: Any) -> Any:
            return self.call(function, *arguments, **named)

        return cast("F", hedged)
