"""How due rows are worked off: inside one commit, or around I/O under a lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from watchbill.kernel.errors import Unavailable
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due.rows import DueRow, backoff, claim, put_back, renew, retry, settle, take

log = structlog.get_logger("watchbill.due")


class InsideDuty(Protocol):
    """Work that is only reading and writing the database."""

    kind: str

    def run(self, tx: Tx, row: DueRow) -> None:
        """Do the work. The row itself is already removed; schedule it again if there is more to come."""
        ...


def work_inside(db: Database, duties: Sequence[InsideDuty], *, limit: int = 50) -> int:
    """Claim and work off up to ``limit`` due rows in one commit; returns how many.

    When one row of a batch raises, the batch is undone and its rows are worked one commit each, so
    that a poison row delays nobody else.
    """
    by_kind = {duty.kind: duty for duty in duties}
    try:
        with db.transaction() as tx:
            return len(_take_and_run(tx, by_kind, limit))
    except Unavailable:
        raise
    except Exception:
        log.warning("batch failed; working its rows one by one", kinds=sorted(by_kind), exc_info=True)
    done = 0
    while done < limit and _work_one(db, by_kind):
        done += 1
    return done


def _take_and_run(tx: Tx, by_kind: Mapping[str, InsideDuty], limit: int) -> list[DueRow]:
    rows = take(tx, list(by_kind), limit)
    for row in rows:
        by_kind[row.kind].run(tx, row)
    return rows


def _work_one(db: Database, by_kind: Mapping[str, InsideDuty]) -> bool:
    with db.transaction() as tx:
        rows = take(tx, list(by_kind), 1)
        if not rows:
            return False
        row = rows[0]
        try:
            with tx.savepoint():
                by_kind[row.kind].run(tx, row)
        except Unavailable:
            raise
        except Exception as error:
            log.exception(
                "due row failed; it is tried again", kind=row.kind, subject=row.subject, attempts=row.attempts
            )
            put_back(tx, row, error)
        return True


Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


class OutsideDuty(Protocol[Job, Outcome]):
    """Work that talks to the outside world."""

    kind: str
    lease_for: timedelta

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """Gather what `perform` needs; None when there is nothing left to do (the row is removed)."""
        ...

    def perform(self, job: Job) -> Outcome:
        """The I/O; no transaction is open. Must end within ``lease_for`` and return failures as values."""
        ...

    def settle(self, tx: Tx, row: DueRow, job: Job, outcome: Outcome, /) -> None:
        """Write the outcome. Called only while the lease holds; the row is already removed."""
        ...


class LeaseKeeper:
    """Holds short leases while their work goes on, so that those of a killed process end in seconds.

    The work itself may take as long as its duty's ``lease_for``; past that the lease is let go, whatever hangs.
    """

    LEASE = timedelta(seconds=4)
    EVERY_SECONDS = 1.0

    def __init__(self) -> None:
        self._held: dict[int, tuple[DueRow, float]] = {}
        self._lock = threading.Lock()

    def hold(self, row: DueRow, *, most: timedelta) -> None:
        """Keep this lease from now on, for at most that long."""
        with self._lock:
            self._held[row.id] = (row, time.monotonic() + most.total_seconds())

    def let_go(self, row: DueRow) -> None:
        """Its work has ended."""
        with self._lock:
            self._held.pop(row.id, None)

    def renew(self, db: Database) -> int:
        """Renew what is held; to be called every `EVERY_SECONDS`. Returns 0: there is never more to do at once.

        Raises:
            Unavailable: the database is away; leases end unless it is back in time, and the work is done again.
        """
        now = time.monotonic()
        with self._lock:
            self._held = {id: held for id, held in self._held.items() if held[1] > now}
            rows = [row for row, _ in self._held.values()]
        if rows:
            with db.transaction() as tx:
                renew(tx, rows, until=tx.now + self.LEASE)
        return 0


def work_outside(
    db: Database,
    duty: OutsideDuty[Job, Outcome],
    *,
    limit: int = 20,
    executor: Executor | None = None,
    keeper: LeaseKeeper | None = None,
) -> int:
    """Claim → perform → settle up to ``limit`` due rows; returns how many were claimed.

    With an ``executor`` the performing (and settling) runs on its threads and this returns as soon
    as the jobs are handed over; without one, inline, which is what tests do. With a ``keeper``
    leases are short and renewed; without one they last as long as the work may.
    """
    lease_for = duty.lease_for if keeper is None else keeper.LEASE
    try:
        claimed, jobs = _claim_and_prepare(db, duty, limit, lease_for)
    except Unavailable:
        raise
    except Exception:
        log.warning("batch not prepared; preparing its rows one by one", kind=duty.kind, exc_info=True)
        claimed, jobs = _prepare_one_by_one(db, duty, limit, lease_for)
    for row, job in jobs:
        if keeper is not None:
            keeper.hold(row, most=duty.lease_for)
        if executor is None:
            _perform_and_settle(db, duty, row, job, keeper)
        else:
            executor.submit(_perform_and_settle, db, duty, row, job, keeper)
    return claimed


def _claim_and_prepare(
    db: Database, duty: OutsideDuty[Job, Outcome], limit: int, lease_for: timedelta
) -> tuple[int, list[tuple[DueRow, Job]]]:
    jobs: list[tuple[DueRow, Job]] = []
    with db.transaction() as tx:
        rows = claim(tx, kinds=[duty.kind], limit=limit, lease_for=lease_for)
        for row in rows:
            job = duty.prepare(tx, row)
            if job is None:
                settle(tx, row)
            else:
                jobs.append((row, job))
    return len(rows), jobs


def _prepare_one_by_one(
    db: Database, duty: OutsideDuty[Job, Outcome], limit: int, lease_for: timedelta
) -> tuple[int, list[tuple[DueRow, Job]]]:
    """After a failed batch: a commit for each row, and the one that cannot be prepared is put back for later."""
    jobs: list[tuple[DueRow, Job]] = []
    for claimed in range(limit):
        with db.transaction() as tx:
            rows = claim(tx, kinds=[duty.kind], limit=1, lease_for=lease_for)
            if not rows:
                return claimed, jobs
            row = rows[0]
            try:
                with tx.savepoint():
                    job = duty.prepare(tx, row)
            except Unavailable:
                raise
            except Exception as error:
                log.exception("row not prepared; it is tried again", kind=row.kind, subject=row.subject)
                retry(tx, row, at=tx.now + backoff(row.attempts), error=f"{type(error).__name__}: {error}")
                continue
            if job is None:
                settle(tx, row)
        if job is not None:
            jobs.append((row, job))
    return limit, jobs


def _perform_and_settle(
    db: Database, duty: OutsideDuty[Job, Outcome], row: DueRow, job: Job, keeper: LeaseKeeper | None
) -> None:
    """Never raises: an unexpected error leaves the lease to expire, which is a retry."""
    try:
        outcome = duty.perform(job)
        with db.transaction() as tx:
            if settle(tx, row):
                duty.settle(tx, row, job, outcome)
            else:
                log.info("lease was lost; outcome not written", kind=row.kind, subject=row.subject)
    except Unavailable as error:
        log.warning("outcome not written; the row comes back when its lease ends", kind=row.kind, why=str(error))
    except Exception as error:
        log.exception("duty failed; the row is tried again", kind=row.kind, subject=row.subject)
        try:
            with db.transaction() as tx:
                retry(tx, row, at=tx.now + backoff(row.attempts), error=f"{type(error).__name__}: {error}")
        except Unavailable as away:
            log.warning("retry not written; the row comes back when its lease ends", kind=row.kind, why=str(away))
    finally:
        if keeper is not None:
            keeper.let_go(row)
