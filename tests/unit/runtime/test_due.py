"""Due rows: claimed once, settled once, never lost."""

from __future__ import annotations

from datetime import timedelta

from watchbill.kernel.clock import VirtualClock
from watchbill.runtime import due
from watchbill.runtime.db import Database


def test_a_row_is_claimed_when_it_is_due_and_not_before(virtual_db: Database, clock: VirtualClock) -> None:
    with virtual_db.transaction() as tx:
        due.schedule(tx, kind="k", subject="a", due_at=tx.now + timedelta(minutes=5))
    with virtual_db.transaction() as tx:
        assert due.claim(tx, kinds=["k"], limit=10, lease_for=timedelta(seconds=30)) == []
    clock.advance(timedelta(minutes=5))
    with virtual_db.transaction() as tx:
        assert [row.subject for row in due.claim(tx, kinds=["k"], limit=10, lease_for=timedelta(seconds=30))] == ["a"]
