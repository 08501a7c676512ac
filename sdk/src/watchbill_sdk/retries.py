"""Retries that cannot become a storm: stamina waits and repeats, a budget says whether it may.

The budget is a token bucket filled by traffic, not by time: each call adds a tenth of a token, each retry takes one.
So retries stay near 10% of traffic however much fails. Source: Google SRE, chapter 21; Finagle's RetryBudget.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast

import stamina

from watchbill_sdk import contract
from watchbill_sdk.deadlines import remaining
from watchbill_sdk.errors import BadAnswer, ConfigError, DeadlineExceeded, Rejected
from watchbill_sdk.primitive import F, Seconds, label, seconds, share, whole
from watchbill_sdk.recorder import RECORDER, Measurement, gauge

T = TypeVar("T")


class RetryBudget:
    """``ratio`` tokens for each call, one for each retry, ``reserve`` to begin with and at most.

    Share one among everything that calls the same dependency.
    """

    def __init__(self, dependency: str, *, ratio: float = 0.1, reserve: int = 10) -> None:
        self.dependency = label(dependency)
        self._ratio = share(ratio, "ratio")
        self._most = float(whole(reserve, "reserve"))
        self._tokens = self._most
        self._lock = threading.Lock()
        self.setting = f"{ratio:.0%} of traffic"
        RECORDER.watch(self)

    @property
    def tokens(self) -> float:
        """What is left."""
        return self._tokens

    def deposit(self) -> None:
        """Count a first attempt."""
        if self._tokens < self._most:  # full almost always: no lock then, and a lost tenth does no harm
            with self._lock:
                self._tokens = min(self._most, self._tokens + self._ratio)

    def withdraw(self) -> bool:
        """Take a token for a retry; False when there is none."""
        with self._lock:
            if self._tokens < 1 - 1e-9:  # ten tenths are a little less than one
                return False
            self._tokens = max(0.0, self._tokens - 1)
            return True

    def observe(self) -> Iterable[Measurement]:
        """The tokens as a gauge."""
        yield gauge(contract.RETRY_TOKENS, self._tokens, self.dependency)


class Retry:
    """Try up to ``attempts`` times on the exceptions ``on``, with stamina's backoff and jitter, within the budget.

    Never retried: a passed deadline, a wait that would pass it, refusals by other primitives (they would only be
    repeated). Use it for what may be done twice. The last error is raised as it was.

    ``@retry`` or ``retry.call(function, …)``; there is no ``with``, because a block cannot be run twice.
    """

    def __init__(
        self,
        dependency: str,
        *,
        on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool | float],
        attempts: int = 3,
        budget: RetryBudget | None = None,
        wait_initial: Seconds = 0.1,
        wait_max: Seconds = 5.0,
        wait_jitter: Seconds = 1.0,
    ) -> None:
        self.dependency = label(dependency)
        if isinstance(on, tuple) and not on:
            raise ConfigError("on must name at least one exception")
        self._on = on
        self._attempts = whole(attempts, "attempts")
        self.budget = budget if budget is not None else RetryBudget(dependency)
        self._initial = seconds(wait_initial, "wait_initial")
        self._longest = seconds(wait_max, "wait_max")
        self._jitter = seconds(wait_jitter, "wait_jitter")
        self._evidence = RECORDER.evidence(dependency, "retry", f"{attempts} attempts, {self.budget.setting}")
        self._outcome = {
            word: RECORDER.counter(contract.RETRIES, dependency, word)
            for word in ("sent", "budget_spent", "deadline", "gave_up")
        }

    def _wanted(self, error: Exception) -> bool | float:
        """False, True, or the seconds that the callable ``on`` wants to wait."""
        if isinstance(error, Rejected | DeadlineExceeded):
            return False
        wanted = isinstance(error, self._on) if isinstance(self._on, type | tuple) else self._on(error)
        if wanted is True and isinstance(error, BadAnswer) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._longest else False
        return wanted

    def _decide(self, error: Exception, attempt: int) -> bool | float:
        """Whether attempt ``attempt`` (from 1) that ended with this error is followed by another."""
        wanted = self._wanted(error)
        if wanted is False:
            return False
        if attempt >= self._attempts:
            self._outcome["gave_up"].add()
            return False
        left = remaining()
        longest = (
            wanted if wanted is not True else min(self._longest, self._initial * 2 ** (attempt - 1) + self._jitter)
        )
        if left is not None and left <= longest:
            self._outcome["deadline"].add()
            return False
        if not self.budget.withdraw():
            self._outcome["budget_spent"].add()
            return False
        self._outcome["sent"].add()
        return wanted

    def _attempts_after(self) -> Iterable[stamina.Attempt]:
        """Stamina's attempts; the first is the one that already failed."""
        seen = 0

        def decide(error: Exception) -> bool | float:
            nonlocal seen
            seen += 1
            return self._decide(error, seen)

        return stamina.retry_context(
            on=decide,
            attempts=self._attempts,
            timeout=None,  # the deadline is looked at before each wait
            wait_initial=self._initial,
            wait_max=self._longest,
            wait_jitter=self._jitter,
        )

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a function, and again."""
        self._evidence.used()
        self.budget.deposit()
        try:
            return function(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # which errors are tried again is the user's to say
            failed = error
        first: Exception | None = failed
        for attempt in self._attempts_after():
            with attempt:
                if first is not None:
                    again, first = first, None
                    raise again
                return function(*arguments, **named)
        raise AssertionError("stamina raises the last error")

    async def call_async(self, function: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
        """Call a coroutine function, and again."""
        self._evidence.used()
        self.budget.deposit()
        try:
            return await function(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # as above
            failed = error
        first: Exception | None = failed
        async for attempt in cast("Any", self._attempts_after()):
            with attempt:
                if first is not None:
                    again, first = first, None
                    raise again
                return await function(*arguments, **named)
        raise AssertionError("stamina raises the last error")

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def retried_async(*arguments: Any, **named: Any) -> Any:
                return await self.call_async(function, *arguments, **named)

            return cast("F", retried_async)

        @functools.wraps(function)
        def retried(*arguments: Any, **named: Any) -> Any:
            return self.call(function, *arguments, **named)

        return cast("F", retried)
