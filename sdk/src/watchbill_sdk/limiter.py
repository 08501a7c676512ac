"""An adaptive concurrency limit with load shedding by priority: the server's side of not falling over."""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar

from watchbill_sdk import contract
from watchbill_sdk.errors import ConfigError, DeadlineExceeded, Overloaded, Rejected
from watchbill_sdk.limits import Algorithm, Probing, Sample
from watchbill_sdk.primitive import Primitive, Seconds, label, seconds, share, whole
from watchbill_sdk.recorder import RECORDER, Measurement, gauge


class Priority(enum.IntEnum):
    """How much it hurts when this request is refused; travels as ``request-priority``."""

    CRITICAL = 0
    """A user waits and money or safety is at stake: placing an order."""
    NORMAL = 1
    """A user waits. What requests are that say nothing."""
    LOW = 2
    """Nobody waits just now: batch, sync."""
    BEST_EFFORT = 3
    """Prefetching, warming, crawling."""

    @classmethod
    def parse(cls, text: str | None) -> Priority | None:
        """Return the priority of a header's value; None when it says nothing intelligible."""
        return _BY_NAME.get(text.strip().lower()) if text else None

    @property
    def word(self) -> str:
        """As in the header: ``critical``, ``normal``, ``low``, ``best_effort``."""
        return self.name.lower()


_BY_NAME = {each.name.lower(): each for each in Priority}

SHARES: Mapping[Priority, float] = {
    Priority.CRITICAL: 1.0,
    Priority.NORMAL: 0.9,
    Priority.LOW: 0.7,
    Priority.BEST_EFFORT: 0.5,
}
"""The part of the limit that requests of each priority may fill: as load grows, the least important go first."""

current_priority: ContextVar[Priority] = ContextVar("watchbill_priority", default=Priority.NORMAL)
"""The priority of the request being served; the client integrations pass it on."""


def admits(*, limit: int, inflight: int, part: float) -> bool:
    """Return whether one more may start when ``inflight`` run, for a priority with this part of the limit.

    At least one may always run. Pure.
    """
    return inflight < max(1, int(limit * part))


class Limiter(Primitive):
    """Let as many run at once as the algorithm finds good; refuse the rest at once, the least important first.

    The algorithm sees one :class:`~watchbill_sdk.limits.Sample` for each window of at least ``window`` seconds and
    ``least_samples`` calls that ended well. Failures say nothing about capacity and are left out; a passed deadline
    counts as a drop. ``clock`` is for tests.

    Raises:
        Overloaded: by a call that may not start.
    """

    def __init__(
        self,
        name: str = "server",
        algorithm: Algorithm | None = None,
        *,
        shares: Mapping[Priority, float] = SHARES,
        window: Seconds = 1.0,
        least_samples: int = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = label(name, "a limiter's name")
        self._algorithm: Algorithm = algorithm if algorithm is not None else Probing()
        if set(shares) != set(Priority):
            raise ConfigError("shares must name each priority")
        self._shares = {priority: share(part, f"the share of {priority.word}") for priority, part in shares.items()}
        self._window = seconds(window, "window")
        self._least_samples = whole(least_samples, "least_samples")
        self._clock = clock
        self._lock = threading.Lock()
        self._inflight = 0
        self._window_began = clock()
        self._arrived = self._refusals = 0
        self._sum = 0.0
        self._count = 0
        self._peak = 0
        self._dropped = False
        self._evidence = RECORDER.evidence(name, "limiter", type(self._algorithm).__name__)
        self._shed = {p: RECORDER.counter(contract.SHED, name, p.word) for p in Priority}
        self._refused = RECORDER.counter(contract.REJECTIONS, name, "limiter", Overloaded.code)
        RECORDER.watch(self)

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return self._algorithm.limit

    @property
    def inflight(self) -> int:
        """How many run now."""
        return self._inflight

    def begin(self, priority: Priority | None = None) -> float:
        """Take a place for the priority given, else the current one; return when."""
        if priority is None:
            priority = current_priority.get()
        now = self._clock()
        self._evidence.used()
        with self._lock:
            self._arrived += 1
            if admits(limit=self._algorithm.limit, inflight=self._inflight, part=self._shares[priority]):
                self._inflight += 1
                self._peak = max(self._peak, self._inflight)
                return now
            self._refusals += 1
        self._shed[priority].add()
        self._refused.add()
        raise Overloaded(
            f"{self.name} is at its limit of {self.limit} at once for {priority.word} requests",
            dependency=self.name,
            retry_after=1.0,
        )

    def end(self, held: float, error: BaseException | None) -> None:
        """Give the place back and learn from it."""
        now = self._clock()
        dropped = isinstance(error, DeadlineExceeded)
        learn = error is None or dropped
        if isinstance(error, asyncio.CancelledError | Rejected):
            learn = False
        with self._lock:
            self._inflight -= 1
            if not learn:
                return
            self._sum += max(now - held, 1e-6)
            self._count += 1
            self._dropped |= dropped
            took = now - self._window_began
            if took < self._window or self._count < self._least_samples:
                return
            self._algorithm = self._algorithm.step(
                Sample(
                    self._sum / self._count,
                    self._peak,
                    self._dropped,
                    rate=self._count / took,
                    shed=self._refusals / self._arrived if self._arrived else 0.0,
                )
            )
            self._sum, self._count, self._dropped = 0.0, 0, False
            self._arrived = self._refusals = 0
            self._peak = self._inflight
            self._window_began = now

    def observe(self) -> Iterable[Measurement]:
        """Limit and calls in flight."""
        yield gauge(contract.CONCURRENCY_LIMIT, self.limit, self.name, "limiter")
        yield gauge(contract.CONCURRENCY_INFLIGHT, self._inflight, self.name, "limiter")
