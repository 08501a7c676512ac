"""Due rows: everything that has to happen later, kept in PostgreSQL and never dropped.

A row says *what* (``kind``), *about which* (``subject``, unique within its kind), and *when*
(``due_at``). Two ways to work one off:

- **inside** a transaction (`work_inside`): claim, decide and write in one commit. For moving pages.
- **outside** (`work_outside`): claim → perform → settle. The claim leases the row (commit), the I/O
  runs outside any transaction on bounded threads, and the result is settled only while the lease
  still holds. A worker that dies leaves an expired lease, which somebody picks up: a duplicate is
  possible and better than a loss.

A handler that raises leaves the row where it is, with the error written down and a later due time.
"""

from watchbill.runtime.due.duties import InsideDuty, LeaseKeeper, OutsideDuty, work_inside, work_outside
from watchbill.runtime.due.rows import (
    CHANNEL,
    Backlog,
    DueRow,
    backlog,
    backoff,
    cancel,
    claim,
    due_row,
    hasten,
    next_due_at,
    nudge,
    renew,
    retry,
    schedule,
    schedule_many,
    settle,
    take_marked,
)

__all__ = [
    "CHANNEL",
    "Backlog",
    "DueRow",
    "InsideDuty",
    "LeaseKeeper",
    "OutsideDuty",
    "backlog",
    "backoff",
    "cancel",
    "claim",
    "due_row",
    "hasten",
    "next_due_at",
    "nudge",
    "renew",
    "retry",
    "schedule",
    "schedule_many",
    "settle",
    "take_marked",
    "work_inside",
    "work_outside",
]
