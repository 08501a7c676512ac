"""A bulkhead: at most so many calls to one dependency at once, so that its slowness cannot take every thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Iterable

from watchbill_sdk import contract
from watchbill_sdk.deadlines import remaining
from watchbill_sdk.errors import BulkheadFull, ConfigError
from watchbill_sdk.primitive import Primitive, label, whole
from watchbill_sdk.recorder import RECORDER, Measurement, gauge


class Bulkhead(Primitive):
    """Let ``limit`` calls run at once; others wait up to ``wait`` seconds, first come first served.

    Nobody waits longer than its deadline.
    One bulkhead serves threads and coroutines together.

    Raises:
        BulkheadFull: by a call that got no place in time.
    """

    def __init__(self, dependency: str, limit: int, *, wait: float = 0.0) -> None:
        self.dependency = label(dependency)
        self.limit = whole(limit, "a bulkhead's limit")
        if isinstance(wait, bool) or not 0 <= wait < float("inf"):
            raise ConfigError(f"wait must be 0 or a positive, finite number of seconds, got {wait!r}")
        self._wait = float(wait)
        self.waits = wait > 0
        self._lock = threading.Lock()
        self._inflight = 0
        self._waiting: deque[concurrent.futures.Future[None]] = deque()
        self._evidence = RECORDER.evidence(dependency, "bulkhead", f"{limit} at once")
        self._refused = RECORDER.counter(contract.REJECTIONS, dependency, "bulkhead", BulkheadFull.code)
        RECORDER.watch(self)

    def _enter_or_queue(self) -> concurrent.futures.Future[None] | None:
        self._evidence.used()
        with self._lock:
            if self._inflight < self.limit:
                self._inflight += 1
                return None
            if not self._wait:
                raise self._full()
            place: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._waiting.append(place)
            return place

    def _patience(self) -> float:
        left = remaining()
        return self._wait if left is None else min(self._wait, left)

    def begin(self) -> None:
        """Take a place, waiting in this thread."""
        place = self._enter_or_queue()
        if place is None:
            return
        try:
            place.result(self._patience())
        except TimeoutError:
            if place.cancel():
                raise self._full() from None
        except BaseException:  # an interrupted wait gives the place back
            if not place.cancel():
                self.end(None, None)
            raise

    async def begin_async(self) -> None:
        """Take a place, letting other coroutines run meanwhile."""
        place = self._enter_or_queue()
        if place is None:
            return
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(place)), self._patience())
        except TimeoutError:
            if place.cancel():
                raise self._full() from None
        except BaseException:
            if not place.cancel():
                self.end(None, None)
            raise

    def end(self, held: None, error: BaseException | None) -> None:
        """Hand the place to who waits longest, else free it."""
        with self._lock:
            while self._waiting:
                place = self._waiting.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(None)
                    return
            self._inflight -= 1

    def _full(self) -> BulkheadFull:
        self._refused.add()
        message = f"{self.limit} calls to {self.dependency} are running already"
        return BulkheadFull(message, dependency=self.dependency, retry_after=1.0)

    def observe(self) -> Iterable[Measurement]:
        """Limit and calls in flight."""
        yield gauge(contract.CONCURRENCY_LIMIT, self.limit, self.dependency, "bulkhead")
        yield gauge(contract.CONCURRENCY_INFLIGHT, self._inflight, self.dependency, "bulkhead")
