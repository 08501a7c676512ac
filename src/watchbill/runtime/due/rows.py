"""The table of due rows, and each way to write, claim and look at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from watchbill.runtime.db import Instant, Tx, metadata

due_row = sa.Table(
    "due_row",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("lease", sa.Uuid),
    sa.Column("leased_until", Instant),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.UniqueConstraint("kind", "subject"),
    sa.Index("ix_due_row_kind_due_at", "kind", "due_at"),
)

CHANNEL = "watchbill_due"
"""The NOTIFY channel; the payload is the kind."""


class DueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed row. ``attempts`` counts the tries before this one."""

    id: int
    kind: str
    subject: str
    payload: dict[str, Any]
    due_at: datetime
    attempts: int
    lease: UUID | None


def schedule(
    tx: Tx, *, kind: str, subject: UUID | str, due_at: datetime, payload: Mapping[str, Any] | None = None
) -> None:
    """Write the row, or move the one there is: new time and payload, attempts forgotten, lease broken.

    Breaking the lease makes the settlement of a worker that is still busy with the old row a no-op.
    """
    schedule_many(tx, kind=kind, rows=[(str(subject), due_at, dict(payload or {}))])


def schedule_many(tx: Tx, *, kind: str, rows: Iterable[tuple[str, datetime, dict[str, Any]]]) -> None:
    """`schedule` for many subjects of one kind.

    What a transaction schedules is written together when it commits, sorted, so that two cannot deadlock.
    """
    ordered = sorted(rows, key=lambda row: row[0])
    if not ordered:
        return
    for subject, due_at, payload in ordered:
        tx.gather(_schedule, {"kind": kind, "subject": subject, "due_at": due_at, "payload": payload})
    if any(due_at <= tx.now for _, due_at, _ in ordered):
        tx.hint(CHANNEL, kind)


def _schedule(tx: Tx, rows: list[dict[str, Any]]) -> None:
    """All of a transaction's in one statement; of two for the same subject the later counts."""
    latest = {(row["kind"], row["subject"]): row for row in rows}
    ordered = [latest[key] for key in sorted(latest)]
    tx.execute(
        _SCHEDULE,
        {
            "now": tx.now,
            "kinds": [row["kind"] for row in ordered],
            "subjects": [row["subject"] for row in ordered],
            "payloads": [msgspec.json.encode(row["payload"]).decode() for row in ordered],
            "dues": [row["due_at"] for row in ordered],
        },
    )


_SCHEDULE = sa.text(
    """
    INSERT INTO due_row (kind, subject, payload, due_at, created_at)
    SELECT kind, subject, payload, due_at, :now
    FROM unnest(CAST(:kinds AS text[]), CAST(:subjects AS text[]),
                CAST(:payloads AS jsonb[]), CAST(:dues AS timestamptz[]))
      AS wanted (kind, subject, payload, due_at)
    ON CONFLICT (kind, subject) DO UPDATE SET
      payload = excluded.payload, due_at = excluded.due_at,
      lease = NULL, leased_until = NULL, attempts = 0, last_error = NULL
    """
)
"""One constant statement for any number of rows, so that it is planned once."""


def cancel(tx: Tx, *, kind: str, subject: UUID | str) -> bool:
    """Remove the row; True when there was one."""
    tx.write_gathered()
    result = tx.execute(sa.delete(due_row).where(due_row.c.kind == kind, due_row.c.subject == str(subject)))
    return result.rowcount == 1


def hasten(tx: Tx, *, kind: str, subject: UUID | str) -> bool:
    """Make a waiting row due now; False when there is none, or somebody is at it this very moment.

    Never waits, so a caller that holds other rows cannot be part of a deadlock.
    """
    tx.write_gathered()
    waiting = (
        sa.select(due_row.c.id)
        .where(due_row.c.kind == kind, due_row.c.subject == str(subject), due_row.c.lease.is_(None))
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    result = tx.execute(sa.update(due_row).where(due_row.c.id == waiting.c.id).values(due_at=tx.now))
    if result.rowcount:
        tx.hint(CHANNEL, kind)
    return result.rowcount == 1


_CHOSEN = (
    sa.select(due_row.c.id)
    .where(
        due_row.c.kind == sa.any_(sa.bindparam("kinds", type_=sa.ARRAY(sa.Text))),
        due_row.c.due_at <= sa.bindparam("now", type_=Instant),
        sa.or_(due_row.c.leased_until.is_(None), due_row.c.leased_until <= sa.bindparam("now", type_=Instant)),
    )
    .order_by(due_row.c.due_at, due_row.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("chosen")
)
"""Due rows that nobody holds, oldest due first. The statements are built once: they run at every wake-up."""
_TAKE = sa.delete(due_row).where(due_row.c.id == _CHOSEN.c.id).returning(due_row)
_CLAIM = (
    sa.update(due_row)
    .where(due_row.c.id == _CHOSEN.c.id)
    .values(
        lease=sa.bindparam("new_lease", type_=sa.Uuid),
        leased_until=sa.bindparam("until", type_=Instant),
        attempts=due_row.c.attempts + 1,
    )
    .returning(due_row)
)
_SETTLE = sa.delete(due_row).where(
    due_row.c.id == sa.bindparam("row_id"), due_row.c.lease == sa.bindparam("held", type_=sa.Uuid)
)


def claim(tx: Tx, *, kinds: Sequence[str], limit: int, lease_for: timedelta) -> list[DueRow]:
    """Lease up to ``limit`` due rows, oldest due first; rows that another claimer holds are skipped."""
    rows = tx.execute(
        _CLAIM,
        {"kinds": list(kinds), "now": tx.now, "limit": limit, "new_lease": uuid4(), "until": tx.now + lease_for},
    )
    claimed = [_to_row(row, attempts=row.attempts - 1) for row in rows]
    return sorted(claimed, key=lambda row: (row.due_at, row.id))


def renew(tx: Tx, rows: Iterable[DueRow], *, until: datetime) -> int:
    """Keep the leases that still hold for longer; returns how many do."""
    held = list(rows)
    statement = (
        sa.update(due_row)
        .where(due_row.c.id.in_([row.id for row in held]), due_row.c.lease.in_({row.lease for row in held}))
        .values(leased_until=until)
    )
    return tx.execute(statement).rowcount


def settle(tx: Tx, row: DueRow) -> bool:
    """Delete a leased row; False when the lease was lost, and then the caller must change nothing."""
    return tx.execute(_SETTLE, {"row_id": row.id, "held": row.lease}).rowcount == 1


def retry(tx: Tx, row: DueRow, *, at: datetime, error: str) -> bool:
    """Give a leased row back, due again at ``at``; False when the lease was lost."""
    result = tx.execute(
        sa.update(due_row)
        .where(due_row.c.id == row.id, due_row.c.lease == row.lease)
        .values(lease=None, leased_until=None, due_at=at, last_error=error[:2000])
    )
    return result.rowcount == 1


def backoff(attempts: int, *, first_seconds: float = 1.0, most_seconds: float = 300.0) -> timedelta:
    """Exponential: 1 s, 2 s, 4 s … up to five minutes, for ever."""
    return timedelta(seconds=min(most_seconds, first_seconds * 2 ** min(attempts, 20)))


def take(tx: Tx, kinds: Sequence[str], limit: int) -> list[DueRow]:
    """Lock and remove due rows within this transaction, the earliest first: for work in the same commit."""
    rows = tx.execute(_TAKE, {"kinds": list(kinds), "now": tx.now, "limit": limit})
    return sorted((_to_row(row, attempts=row.attempts) for row in rows), key=lambda row: (row.due_at, row.id))


def put_back(tx: Tx, row: DueRow, error: Exception) -> None:
    """A row that `take` removed and whose work raised: it is there again, later, with the error written down."""
    statement = insert(due_row).values(
        kind=row.kind,
        subject=row.subject,
        payload=row.payload,
        due_at=tx.now + backoff(row.attempts),
        attempts=row.attempts + 1,
        last_error=f"{type(error).__name__}: {error}"[:2000],
        created_at=tx.now,
    )
    tx.execute(statement.on_conflict_do_nothing(index_elements=["kind", "subject"]))


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How far behind one kind is: rows due, the longest wait in seconds, and rows that have failed at least once."""

    kind: str
    due: int
    oldest_seconds: float
    failing: int


def backlog(tx: Tx) -> list[Backlog]:
    """One line per kind that has due rows, for metrics and for the page that watches the watcher."""
    rows = tx.execute(
        sa.select(
            due_row.c.kind,
            sa.func.count().label("due"),
            sa.func.min(due_row.c.due_at).label("oldest"),
            sa.func.count().filter(due_row.c.last_error.is_not(None)).label("failing"),
        )
        .where(due_row.c.due_at <= tx.now)
        .group_by(due_row.c.kind)
        .order_by(due_row.c.kind)
    )
    return [
        Backlog(kind=row.kind, due=row.due, oldest_seconds=(tx.now - row.oldest).total_seconds(), failing=row.failing)
        for row in rows
    ]


def next_due_at(tx: Tx, *, kinds: Sequence[str]) -> datetime | None:
    """When the next row of these kinds can be claimed; None when there is none."""
    tx.write_gathered()
    at: datetime | None = tx.execute(
        sa.select(sa.func.min(sa.func.greatest(due_row.c.due_at, due_row.c.leased_until))).where(
            due_row.c.kind.in_(kinds)
        )
    ).scalar()
    return at


def _to_row(row: Any, *, attempts: int) -> DueRow:
    return DueRow(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        payload=row.payload,
        due_at=row.due_at,
        attempts=attempts,
        lease=row.lease,
    )


def take_marked(tx: Tx, row: DueRow, *, subjects: Sequence[str], mark: str) -> list[str]:
    """Remove rows of the same kind whose payload has ``mark``, because the work of ``row`` covers them.

    Only what nobody else holds: free rows, and those leased together with ``row``. Returns the subjects removed.
    """
    if not subjects:
        return []
    tx.write_gathered()
    chosen = (
        sa.select(due_row.c.id)
        .where(
            due_row.c.kind == row.kind,
            due_row.c.subject.in_(subjects),
            due_row.c.payload.has_key(mark),
            sa.or_(due_row.c.lease.is_(None), due_row.c.leased_until <= tx.now, due_row.c.lease == row.lease),
        )
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    removed = sa.delete(due_row).where(due_row.c.id == chosen.c.id).returning(due_row.c.subject)
    return list(tx.execute(removed).scalars())


def nudge(tx: Tx, *, kind: str, subject: UUID | str) -> None:
    """Make sure that somebody looks at the subject soon, without disturbing who is at it this very moment.

    Writes the row where there is none, hastens one that waits, and leaves one that is leased: its work goes on, and is
    settled. So whoever settles such a kind schedules another look.
    """
    if hasten(tx, kind=kind, subject=subject):
        return
    there = tx.execute(sa.select(due_row.c.id).where(due_row.c.kind == kind, due_row.c.subject == str(subject)))
    if there.one_or_none() is None:
        schedule(tx, kind=kind, subject=subject, due_at=tx.now)
