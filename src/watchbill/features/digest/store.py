"""The digest has no table: a due row per team is its memory, and a due row per mail its outbox."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.digest.model import Memory
from watchbill.runtime import due
from watchbill.runtime.db import Tx

WRITE = "digest.write"
"""Due row: one per live team; the subject is the team's id."""
SEND = "digest.send"
"""Due row: one mail; the subject is team, day and person."""


def planned(tx: Tx) -> dict[UUID, Memory]:
    """Each team's row."""
    rows = tx.execute(sa.select(due.due_row.c.subject, due.due_row.c.payload).where(due.due_row.c.kind == WRITE))
    return {UUID(row.subject): msgspec.convert(row.payload, Memory) for row in rows}


def plan_if_missing(tx: Tx, *, team_id: UUID, at: datetime, memory: Memory) -> None:
    """Write a team's first row. One that is there stays as it is: it knows what was sent today."""
    row = insert(due.due_row).values(
        kind=WRITE, subject=str(team_id), payload=msgspec.to_builtins(memory), due_at=at, created_at=tx.now
    )
    tx.execute(row.on_conflict_do_nothing(index_elements=["kind", "subject"]))


def replan(tx: Tx, *, team_id: UUID, at: datetime, before: Memory, after: Memory) -> None:
    """Move a team's row, unless somebody changed it meanwhile."""
    row = due.due_row.c
    tx.execute(
        sa.update(due.due_row)
        .where(row.kind == WRITE, row.subject == str(team_id), row.payload == msgspec.to_builtins(before))
        .values(payload=msgspec.to_builtins(after), due_at=at)
    )
