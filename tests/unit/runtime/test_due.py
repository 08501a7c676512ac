"""Due rows: claimed once, settled once, never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import given

from watchbill.kernel.clock import VirtualClock
from watchbill.runtime import due
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due import DueRow

LEASE = timedelta(seconds=30)


def schedule(db: Database, *subjects: str, after: timedelta = timedelta(0), kind: str = "k") -> None:
    with db.transaction() as tx:
        for subject in subjects:
            due.schedule(tx, kind=kind, subject=subject, due_at=tx.now + after)


def claim(db: Database, limit: int = 10) -> list[DueRow]:
    with db.transaction() as tx:
        return due.claim(tx, kinds=["k"], limit=limit, lease_for=LEASE)


class Duty:
    """Work inside: records what it saw; raises for poison."""

    kind = "k"

    def __init__(self, run: Callable[[Tx, DueRow], None] | None = None) -> None:
        self.seen: list[str] = []
        self._run = run

    def run(self, tx: Tx, row: DueRow) -> None:
        if self._run is not None:
            self._run(tx, row)
        self.seen.append(row.subject)


def refuse_poison(_tx: Tx, row: DueRow) -> None:
    if row.subject == "poison":
        raise RuntimeError("cannot digest this")


def test_a_row_is_claimed_when_it_is_due_and_not_before(virtual_db: Database, clock: VirtualClock) -> None:
    schedule(virtual_db, "a", after=timedelta(minutes=5))
    assert claim(virtual_db) == []
    clock.advance(timedelta(minutes=5))
    assert [row.subject for row in claim(virtual_db)] == ["a"]


def test_a_leased_row_is_nobody_elses_until_the_lease_ends(virtual_db: Database, clock: VirtualClock) -> None:
    schedule(virtual_db, "a")
    assert len(claim(virtual_db)) == 1
    assert claim(virtual_db) == []
    clock.advance(LEASE)
    (again,) = claim(virtual_db)
    assert again.attempts == 1


def test_only_the_holder_of_the_lease_settles(virtual_db: Database, clock: VirtualClock) -> None:
    schedule(virtual_db, "a")
    (late,) = claim(virtual_db)
    clock.advance(LEASE)
    (holder,) = claim(virtual_db)
    with virtual_db.transaction() as tx:
        assert not due.settle(tx, late)
        assert not due.retry(tx, late, at=tx.now, error="late")
        assert due.settle(tx, holder)
    assert claim(virtual_db) == []


def test_scheduling_again_moves_the_row_and_breaks_the_lease(virtual_db: Database) -> None:
    schedule(virtual_db, "a")
    (busy,) = claim(virtual_db)
    schedule(virtual_db, "a", after=timedelta(hours=1))
    with virtual_db.transaction() as tx:
        assert not due.settle(tx, busy)
        assert due.next_due_at(tx, kinds=["k"]) == tx.now + timedelta(hours=1)


def test_one_poison_row_delays_nobody_else(virtual_db: Database, clock: VirtualClock) -> None:
    schedule(virtual_db, "a", "poison", "z")
    duty = Duty(refuse_poison)
    assert due.work_inside(virtual_db, [duty]) == 3
    assert {"a", "z"} <= set(duty.seen)
    with virtual_db.transaction() as tx:
        assert [line.failing for line in due.backlog(tx)] == []
    clock.advance(timedelta(seconds=1))
    with virtual_db.transaction() as tx:
        (line,) = due.backlog(tx)
    assert (line.kind, line.due, line.failing) == ("k", 1, 1)


def test_a_row_that_keeps_failing_is_kept_and_tried_ever_later(virtual_db: Database, clock: VirtualClock) -> None:
    schedule(virtual_db, "poison")
    waits: list[float] = []
    for _ in range(4):
        due.work_inside(virtual_db, [Duty(refuse_poison)])
        with virtual_db.transaction() as tx:
            at = due.next_due_at(tx, kinds=["k"])
            assert at is not None
            waits.append((at - tx.now).total_seconds())
        clock.move_to(at)
    assert waits == [1, 2, 4, 8]


def test_work_may_schedule_its_own_next_step(virtual_db: Database, clock: VirtualClock) -> None:
    duty = Duty(lambda tx, row: due.schedule(tx, kind="k", subject=row.subject, due_at=tx.now + timedelta(minutes=1)))
    schedule(virtual_db, "a")
    for _ in range(3):
        assert due.work_inside(virtual_db, [duty]) == 1
        clock.advance(timedelta(minutes=1))
    assert duty.seen == ["a", "a", "a"]


class Outside:
    """Work outside: performs with a scripted outcome."""

    kind = "k"
    lease_for = LEASE

    def __init__(self, perform: Callable[[str], str]) -> None:
        self._perform = perform
        self.settled: list[tuple[str, str]] = []

    def prepare(self, tx: Tx, row: DueRow) -> str | None:
        return None if row.subject == "gone" else row.subject

    def perform(self, job: str) -> str:
        return self._perform(job)

    def settle(self, tx: Tx, row: DueRow, job: str, outcome: str) -> None:
        self.settled.append((job, outcome))


def test_outside_work_is_settled_once_and_what_is_gone_is_removed(virtual_db: Database) -> None:
    schedule(virtual_db, "a", "gone")
    duty = Outside(lambda job: f"sent {job}")
    assert due.work_outside(virtual_db, duty) == 2
    assert duty.settled == [("a", "sent a")]
    assert due.work_outside(virtual_db, duty) == 0


def test_outside_work_that_raises_comes_back(virtual_db: Database, clock: VirtualClock) -> None:
    def fail(_job: str) -> str:
        raise OSError("provider away")

    schedule(virtual_db, "a")
    due.work_outside(virtual_db, Outside(fail))
    clock.advance(timedelta(seconds=1))
    second = Outside(lambda job: "sent")
    assert due.work_outside(virtual_db, second) == 1
    assert second.settled == [("a", "sent")]


def test_an_outcome_after_the_lease_is_lost_changes_nothing(virtual_db: Database) -> None:
    duty = Outside(lambda job: schedule(virtual_db, job, after=timedelta(hours=1)) or "sent")
    schedule(virtual_db, "a")
    due.work_outside(virtual_db, duty)
    assert duty.settled == []
    with virtual_db.transaction() as tx:
        assert due.next_due_at(tx, kinds=["k"]) == tx.now + timedelta(hours=1)


@given(attempts=st.integers(min_value=0, max_value=10_000))
def test_backoff_grows_to_a_limit_and_never_stops(attempts: int) -> None:
    wait = due.backoff(attempts)
    assert timedelta(seconds=1) <= wait <= timedelta(minutes=5)
    assert due.backoff(attempts + 1) >= wait


def test_a_kept_lease_outlasts_slow_work_and_one_that_nobody_keeps_ends_in_seconds(
    virtual_db: Database, clock: VirtualClock
) -> None:
    schedule(virtual_db, "slow")
    keeper = due.LeaseKeeper()

    def slowly(job: str) -> str:
        for _ in range(5):  # twenty seconds of work, renewed as the keeper's loop does
            clock.advance(keeper.LEASE - timedelta(milliseconds=1))
            assert claim(virtual_db) == []
            keeper.renew(virtual_db)
        return f"sent {job}"

    duty = Outside(slowly)
    due.work_outside(virtual_db, duty, keeper=keeper)
    assert duty.settled == [("slow", "sent slow")]

    schedule(virtual_db, "killed")
    killed = Outside(lambda job: job)
    with virtual_db.transaction() as tx:
        due.claim(tx, kinds=["k"], limit=1, lease_for=keeper.LEASE)
    clock.advance(keeper.LEASE)
    keeper.renew(virtual_db)  # it holds nothing of the killed process
    due.work_outside(virtual_db, killed, keeper=keeper)
    assert killed.settled == [("killed", "killed")]
