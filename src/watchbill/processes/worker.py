"""The worker: whatever may wait. Heavy libraries are imported only here."""

from __future__ import annotations

from watchbill.features import identity, oncall
from watchbill.processes.compose import Context, Parts
from watchbill.runtime import ledger
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

_MINUTE = 60.0
_HOUR = 3600.0


def build(context: Context) -> Parts:
    """Each duty is a loop; none of them is in the way of a page."""
    db = context.database("worker")
    return Parts(
        loops=[
            Loop("ledger-partitions", lambda: make_ledger_partitions(db), idle_seconds=6 * _HOUR),
            Loop("oncall-record", lambda: record_on_call(db), idle_seconds=_MINUTE),
            Loop("sessions", lambda: forget_sessions(db), idle_seconds=_HOUR),
        ]
    )


def make_ledger_partitions(db: Database) -> int:
    """Make the ledger's partitions for the coming months; returns 0, nothing is left after one run."""
    with db.transaction() as tx:
        ledger.ensure_partitions(tx)
    return 0


def record_on_call(db: Database) -> int:
    """Carry the record of who was on call forward; returns 0, one pass does all teams."""
    oncall.record_loop_work(db)
    return 0


def forget_sessions(db: Database) -> int:
    """Delete sessions that have ended; returns 0, one pass does all."""
    with db.transaction() as tx:
        identity.forget_expired_sessions(tx)
    return 0
