"""Loops: work that a process does again and again, each on a thread of its own.

A loop runs its work until there is none, then sleeps until a hint wakes it, the next due row's
time comes, or ``idle_seconds`` have passed. Polling is the truth; hints only make it quicker. A run
that raises is logged and counted and never ends the loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

import structlog

from watchbill.kernel.errors import Unavailable
from watchbill.runtime import due, metrics
from watchbill.runtime.listen import Listener

log = structlog.get_logger("watchbill.loops")


_ASK_EVERY = 0.2


class Loop:
    """One duty of a process.

    Args:
        name: as it appears in logs and metrics.
        work: does a batch and returns how many pieces it did; 0 means nothing is left for now.
        channels: kinds of due rows whose hint wakes this loop.
        idle_seconds: the longest sleep when nothing is left.
        due_in: seconds until the next piece is due, None when unknown; shortens the sleep. Asked at most
            every `_ASK_EVERY` seconds: a busy loop is woken by hints and need not ask after each piece.
        batch: a run that did fewer pieces than this has left nothing.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], int],
        *,
        channels: Collection[str] = (),
        idle_seconds: float = 1.0,
        due_in: Callable[[], float | None] | None = None,
        batch: int = 1,
    ) -> None:
        self.name = name
        self.channels = frozenset(channels)
        self.idle_seconds = idle_seconds
        self.succeeded_at: float | None = None
        self._work = work
        self._due_in = due_in
        self._asked_at = -_ASK_EVERY
        self._batch = batch
        self._failures = 0
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def run_once(self) -> float:
        """One run, guarded; returns the seconds to sleep before the next (0: there may be more)."""
        started = time.monotonic()
        try:
            done = self._work()
            pause = 0.0 if done >= self._batch else self._pause()
        except Unavailable as error:
            return self._failed(error, most_seconds=5.0)
        except Exception as error:  # noqa: BLE001  the guard: a loop ends only when its process does
            return self._failed(error, most_seconds=30.0)
        if self._failures:
            log.info("works again", loop=self.name, failures=self._failures)
        self._failures = 0
        self.succeeded_at = time.time()
        metrics.loop_work.labels(self.name).inc(done)
        metrics.loop_seconds.labels(self.name).observe(time.monotonic() - started)
        metrics.loop_last_success.labels(self.name).set_to_current_time()
        return pause

    def wake(self) -> None:
        """Look at once."""
        self._awake.set()

    def start(self) -> None:
        """Begin on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name=f"loop-{self.name}", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the current run end and begin no other."""
        self._stopping.set()
        self._awake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; False when the time was too short."""
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()  # before the work: a hint that comes during it is not lost
            pause = self.run_once()
            if pause > 0:
                self._awake.wait(pause)

    def _pause(self) -> float:
        if self._due_in is None:
            return self.idle_seconds
        now = time.monotonic()
        if now - self._asked_at < _ASK_EVERY:
            return min(self.idle_seconds, _ASK_EVERY)
        self._asked_at = now
        seconds = self._due_in()
        return self.idle_seconds if seconds is None else min(self.idle_seconds, max(0.001, seconds))

    def _failed(self, error: Exception, *, most_seconds: float) -> float:
        metrics.loop_failures.labels(self.name).inc()
        pause = due.backoff(self._failures, first_seconds=0.25, most_seconds=most_seconds).total_seconds()
        if isinstance(error, Unavailable):
            if self._failures == 0:
                log.warning("something is away; trying again", loop=self.name, why=error.problem.message)
        else:
            log.error("loop failed; trying again", loop=self.name, seconds=pause, exc_info=error)
        self._failures += 1
        return pause


class LoopGroup:
    """The loops of one process and the one connection on which they hear hints.

    Args:
        loops: with different names.
        listen_url: the database to listen on; None means polling only.
    """

    def __init__(self, loops: Sequence[Loop], *, listen_url: str | None = None) -> None:
        self.loops = tuple(loops)
        self._listener = (
            None
            if listen_url is None
            else Listener(listen_url, channels=[due.CHANNEL], heard=self._heard, missed=self._wake_all)
        )

    def start(self) -> None:
        """Start every loop and begin to listen."""
        for loop in self.loops:
            loop.start()
        if self._listener is not None:
            self._listener.start()

    def stop(self, timeout: float = 3.0) -> list[str]:
        """Ask all to stop and wait; returns the names of loops still busy after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        for loop in self.loops:
            loop.ask_to_stop()
        if self._listener is not None:
            self._listener.stop(min(1.0, timeout))
        return [loop.name for loop in self.loops if not loop.join(max(0.0, deadline - time.monotonic()))]

    def _heard(self, _channel: str, payload: str) -> None:
        for loop in self.loops:
            if payload in loop.channels:
                loop.wake()

    def _wake_all(self) -> None:
        for loop in self.loops:
            loop.wake()
