"""The ledger: one entry for every change of state, written in the transaction that makes the change.

State tables decide; the ledger explains. Nothing is rebuilt from it. Entries name people by id only.
The table is partitioned by month from the first day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.runtime.bulk import insert_many
from watchbill.runtime.db import Instant, Tx, metadata


class Actor(msgspec.Struct, frozen=True):
    """Who did it: a person (by id), a token (by id), or a part of Watchbill (by name)."""

    kind: Literal["person", "token", "system", "integration"]
    id: str

    @property
    def person_id(self) -> UUID | None:
        return UUID(self.id) if self.kind == "person" else None


def system(name: str) -> Actor:
    """The actor for what Watchbill does by itself, such as ``system("pager")``."""
    return Actor("system", name)


def person(person_id: UUID) -> Actor:
    """The actor for a person."""
    return Actor("person", str(person_id))


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``name`` is ``noun.past_participle`` such as ``page.acknowledged``."""

    id: int
    at: datetime
    name: str
    version: int
    actor: Actor
    subject_kind: str
    subject_id: str
    incident_id: UUID | None
    team_id: UUID | None
    why: str
    data: dict[str, Any]


ledger_entry = sa.Table(
    "ledger_entry",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("at", Instant, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.SmallInteger, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("incident_id", sa.Uuid),
    sa.Column("team_id", sa.Uuid),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("data", JSONB, nullable=False),
    sa.Index("ix_ledger_entry_incident", "incident_id", "id", postgresql_where=sa.text("incident_id IS NOT NULL")),
    sa.Index("ix_ledger_entry_subject", "subject_kind", "subject_id", "id"),
    postgresql_partition_by="RANGE (at)",
)


def append(
    tx: Tx,
    *,
    name: str,
    actor: Actor,
    subject: tuple[str, UUID | int | str],
    why: str = "",
    incident_id: UUID | None = None,
    team_id: UUID | None = None,
    data: Mapping[str, Any] | None = None,
    version: int = 1,
) -> None:
    """Write one entry at ``tx.now``; all of a transaction's go in one statement.

    ``data`` must be JSON; never a secret, never a person's name.
    """
    tx.gather(
        _write,
        {
            "at": tx.now,
            "name": name,
            "version": version,
            "actor_kind": actor.kind,
            "actor_id": actor.id,
            "subject_kind": subject[0],
            "subject_id": str(subject[1]),
            "incident_id": incident_id,
            "team_id": team_id,
            "why": why,
            "data": dict(data or {}),
        },
    )


def _write(tx: Tx, rows: list[dict[str, Any]]) -> None:
    tx.execute(sa.insert(ledger_entry), rows)


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line yet to be written; the fields are those of `append`."""

    name: str
    subject: tuple[str, UUID]
    why: str = ""
    team_id: UUID | None = None
    data: dict[str, Any] = {}


def append_many(tx: Tx, *, actor: Actor, entries: Sequence[NewEntry], version: int = 1) -> None:
    """Write many entries of one actor at ``tx.now`` with few statements (an apply may make thousands)."""
    tx.write_gathered()
    rows = [
        {
            "at": tx.now,
            "name": entry.name,
            "version": version,
            "actor_kind": actor.kind,
            "actor_id": actor.id,
            "subject_kind": entry.subject[0],
            "subject_id": str(entry.subject[1]),
            "team_id": entry.team_id,
            "why": entry.why,
            "data": entry.data,
        }
        for entry in entries
    ]
    insert_many(tx, ledger_entry, rows)


def entries(
    tx: Tx,
    *,
    incident_id: UUID | None = None,
    subject: tuple[str, UUID | int | str] | None = None,
    after_id: int = 0,
    limit: int = 500,
    actor_kinds: Collection[str] | None = None,
    name: str | None = None,
) -> list[Entry]:
    """Entries oldest first, of one incident or one subject, after ``after_id``; of some kinds of actor, of one name."""
    tx.write_gathered()
    query = sa.select(ledger_entry).where(ledger_entry.c.id > after_id)
    if incident_id is not None:
        query = query.where(ledger_entry.c.incident_id == incident_id)
    if subject is not None:
        query = query.where(ledger_entry.c.subject_kind == subject[0], ledger_entry.c.subject_id == str(subject[1]))
    if actor_kinds is not None:
        query = query.where(ledger_entry.c.actor_kind.in_(sorted(actor_kinds)))
    if name is not None:
        query = query.where(ledger_entry.c.name == name)
    rows = tx.execute(query.order_by(ledger_entry.c.id).limit(limit))
    return [_to_entry(row) for row in rows]


def _to_entry(row: sa.Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        at=row.at,
        name=row.name,
        version=row.version,
        actor=Actor(row.actor_kind, row.actor_id),
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        incident_id=row.incident_id,
        team_id=row.team_id,
        why=row.why,
        data=row.data,
    )


def newest(tx: Tx, *, name_prefix: str | None = None, before_id: int | None = None, limit: int = 100) -> list[Entry]:
    """Entries of the whole installation, newest first; ``name_prefix`` such as ``page.``."""
    tx.write_gathered()
    query = sa.select(ledger_entry)
    if name_prefix:
        query = query.where(ledger_entry.c.name.startswith(name_prefix, autoescape=True))
    if before_id is not None:
        query = query.where(ledger_entry.c.id < before_id)
    rows = tx.execute(query.order_by(ledger_entry.c.id.desc()).limit(limit))
    return [_to_entry(row) for row in rows]


def ensure_partitions(tx: Tx, *, months_ahead: int = 3) -> list[str]:
    """Create the monthly partitions from this month to ``months_ahead``; returns the new names.

    A default partition, made by the first migration, catches anything outside, so that an entry
    is never refused because this has not run.
    """
    made: list[str] = []
    first = tx.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(months_ahead + 1):
        following = (first + timedelta(days=32)).replace(day=1)
        name = f"ledger_entry_{first:%Y_%m}"
        exists = tx.execute(sa.text("SELECT to_regclass(:name)"), {"name": name}).scalar()
        if exists is None:
            _make_partition(tx, name, first, following)
            made.append(name)
        first = following
    return made


def _make_partition(tx: Tx, name: str, first: datetime, following: datetime) -> None:
    """Entries of that month that already lie in the default partition move over; PostgreSQL would refuse otherwise."""
    bounds = {"first": first, "following": following}
    month = "at >= :first AND at < :following"
    columns = ", ".join(column.name for column in ledger_entry.columns)
    tx.execute(sa.text(f"CREATE TABLE {name} (LIKE ledger_entry INCLUDING DEFAULTS)"))
    tx.execute(
        sa.text(
            f"WITH moved AS (DELETE FROM ledger_entry_default WHERE {month} RETURNING {columns})"
            f" INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
        ),
        bounds,
    )
    tx.execute(
        sa.text(
            f"ALTER TABLE ledger_entry ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{first.isoformat()}') TO ('{following.isoformat()}')"
        )
    )
