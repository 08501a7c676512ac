"""Loops over due rows: inside transactions, and on threads that talk to the outside world."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from watchbill.runtime import due
from watchbill.runtime.db import Database
from watchbill.runtime.due import InsideDuty, OutsideDuty
from watchbill.runtime.loops import Loop


def inside_loop(name: str, db: Database, duties: Sequence[InsideDuty], *, batch: int = 50) -> Loop:
    """A loop that works off due rows inside transactions."""
    kinds = [duty.kind for duty in duties]
    return Loop(
        name,
        lambda: due.work_inside(db, duties, limit=batch),
        channels=kinds,
        idle_seconds=1.0,
        due_in=lambda: seconds_until_due(db, kinds),
        batch=batch,
    )


def sending_loops(name: str, db: Database, duty: OutsideDuty[Any, Any], *, threads: int) -> list[Loop]:
    """A loop that sends on bounded threads, and one that keeps its leases while it does.

    It never leases more than threads are free to take up at once. Leases are short: what a killed process was sending
    is sent by another within seconds.
    """
    senders = _FreeThreads(threads)
    keeper = due.LeaseKeeper()

    def work() -> int:
        done = 0
        while free := senders.wait_for_some(threads // 2, patience_seconds=0.02, timeout_seconds=1.0):
            claimed = due.work_outside(db, duty, limit=free, executor=senders, keeper=keeper)
            done += claimed
            if claimed < free:
                break
        return done

    return [
        Loop(
            name,
            work,
            channels=[duty.kind],
            idle_seconds=1.0,
            due_in=lambda: seconds_until_due(db, [duty.kind]),
            batch=sys.maxsize,
        ),
        Loop(f"{name}-leases", lambda: keeper.renew(db), idle_seconds=keeper.EVERY_SECONDS),
    ]


class _FreeThreads(ThreadPoolExecutor):
    """An executor that knows how many of its threads have nothing to do."""

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="send")
        self._free = size
        self._changed = threading.Condition()

    def wait_for_some(self, wanted: int, *, patience_seconds: float, timeout_seconds: float) -> int:
        """How many threads are free; 0 when none was for that long.

        Under load several become free within a moment, and claiming for them together costs one commit, not one each;
        slow providers on the others make nobody wait longer than ``patience_seconds``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= wanted, patience_seconds):
                self._changed.wait_for(lambda: self._free > 0, timeout_seconds)
            return self._free

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._changed:
            self._free -= 1
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._freed)
        return future

    def _freed(self, _: Future[Any]) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify()


def seconds_until_due(db: Database, kinds: Sequence[str]) -> float | None:
    """How long until the next row of these kinds can be claimed; None when there is none."""
    with db.transaction() as tx:
        at = due.next_due_at(tx, kinds=kinds)
        return None if at is None else (at - tx.now).total_seconds()
