"""Loops: guarded, woken by hints, and stopped in time."""

from __future__ import annotations

import threading

from watchbill.kernel.errors import Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop, LoopGroup


def test_work_that_found_something_is_run_again_at_once() -> None:
    assert Loop("busy", lambda: 3, idle_seconds=9).run_once() == 0
    assert Loop("idle", lambda: 0, idle_seconds=9).run_once() == 9


def test_the_sleep_ends_when_the_next_row_is_due() -> None:
    assert Loop("due soon", lambda: 0, idle_seconds=9, due_in=lambda: 2.5).run_once() == 2.5
    assert Loop("overdue", lambda: 0, idle_seconds=9, due_in=lambda: -1.0).run_once() == 0.001
    assert Loop("nothing planned", lambda: 0, idle_seconds=9, due_in=lambda: None).run_once() == 9


def test_a_loop_outlives_what_it_raises_and_waits_longer_each_time() -> None:
    def fail() -> int:
        raise RuntimeError("a bug")

    loop = Loop("buggy", fail)
    assert [loop.run_once() for _ in range(9)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_something_away_is_tried_again_soon() -> None:
    def away() -> int:
        raise Unavailable("the database does not answer")

    loop = Loop("away", away)
    assert [loop.run_once() for _ in range(7)][-1] == 5


def test_a_success_forgets_the_failures() -> None:
    outcomes = iter([RuntimeError("once"), 1, RuntimeError("again")])

    def work() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    loop = Loop("recovering", work)
    assert [loop.run_once() for _ in range(3)] == [0.25, 0, 0.25]


def test_a_hint_wakes_the_loop_of_its_kind_and_no_other(db: Database) -> None:
    woken: dict[str, int] = {"page.step": 0, "notification.send": 0}
    first = threading.Barrier(3)
    again = threading.Event()

    def worker(kind: str) -> Loop:
        def work() -> int:
            woken[kind] += 1
            if woken[kind] == 2:  # 1: the start, 2: everybody looks once the listener is connected
                first.wait(timeout=20)
            if woken[kind] == 3:
                again.set()
            return 0

        return Loop(kind, work, channels=[kind], idle_seconds=60)

    group = LoopGroup([worker(kind) for kind in woken], listen_url=db.url)
    group.start()
    try:
        first.wait(timeout=20)
        with db.transaction() as tx:
            due.schedule(tx, kind="page.step", subject="p", due_at=tx.now)
        assert again.wait(timeout=20)
    finally:
        assert group.stop(timeout=10) == []
    assert woken == {"page.step": 3, "notification.send": 2}


def test_a_busy_loop_is_named_when_it_does_not_stop_in_time() -> None:
    release = threading.Event()
    begun = threading.Event()

    def slow() -> int:
        begun.set()
        release.wait(20)
        return 0

    group = LoopGroup([Loop("slow", slow)])
    group.start()
    assert begun.wait(20)
    assert group.stop(timeout=0.05) == ["slow"]
    release.set()
