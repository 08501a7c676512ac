"""The pager: moves pages and sends notifications. Needs PostgreSQL and the network, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from watchbill.features import paging
from watchbill.processes.compose import Context, Parts
from watchbill.runtime import due
from watchbill.runtime.db import Database
from watchbill.runtime.due import InsideDuty
from watchbill.runtime.loops import Loop


def build(context: Context) -> Parts:
    """Routing, steps and notifications, each on a loop of its own, so that an alert storm delays no step."""
    db = context.database("pager")
    settle_for = timedelta(seconds=context.settings.settle_seconds)
    return Parts(
        loops=[
            inside_loop("routing", db, paging.routing_duties(settle_for=settle_for)),
            inside_loop("steps", db, paging.page_duties()),
        ]
    )


def inside_loop(name: str, db: Database, duties: Sequence[InsideDuty], *, batch: int = 50) -> Loop:
    """A loop that works off due rows inside transactions."""
    kinds = [duty.kind for duty in duties]
    return Loop(
        name,
        lambda: due.work_inside(db, duties, limit=batch),
        channels=kinds,
        idle_seconds=1.0,
        due_in=lambda: seconds_until_due(db, kinds),
    )


def seconds_until_due(db: Database, kinds: Sequence[str]) -> float | None:
    """How long until the next row of these kinds can be claimed; None when there is none."""
    with db.transaction() as tx:
        at = due.next_due_at(tx, kinds=kinds)
        return None if at is None else (at - tx.now).total_seconds()
