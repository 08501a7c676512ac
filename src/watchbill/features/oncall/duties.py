"""What the worker does for on-call, once a minute."""

from __future__ import annotations

from watchbill.features.oncall import absence, holidays, store, swaps
from watchbill.features.oncall.recording import record_shifts
from watchbill.runtime.db import Database


def record_loop_work(db: Database) -> int:
    """The worker's ``oncall.record`` duty: one pass over all teams; returns how many records changed.

    Requests that nobody answered are closed, time off that is long over is forgotten, and the public holidays of
    the coming years are written.
    """
    with db.transaction() as tx:
        changed = record_shifts(tx)
    with db.transaction() as tx:
        swaps.expire_swaps(tx)
        absence.forget_time_off(tx)
        holidays.ensure(tx, calendars=holidays.used(tx) | store.holiday_calendars(tx))
    return changed
