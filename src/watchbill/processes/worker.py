"""The worker: whatever may wait. Heavy libraries are imported only here."""

from __future__ import annotations

from watchbill.processes.compose import Context, Parts
from watchbill.runtime import ledger
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

_HOUR = 3600.0


def build(context: Context) -> Parts:
    """Each duty is a loop; none of them is in the way of a page."""
    db = context.database("worker")
    return Parts(loops=[Loop("ledger-partitions", lambda: make_ledger_partitions(db), idle_seconds=6 * _HOUR)])


def make_ledger_partitions(db: Database) -> int:
    """Make the ledger's partitions for the coming months; returns 0, nothing is left after one run."""
    with db.transaction() as tx:
        ledger.ensure_partitions(tx)
    return 0
