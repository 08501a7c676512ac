"""The table of changes and the SQL over it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from watchbill.features.changes.model import ROLLS, Change, ChangeKind
from watchbill.runtime.db import Instant, Tx, metadata

change = sa.Table(
    "change",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id")),
    sa.Column("service_name", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("version", sa.Text),
    sa.Column("previous_version", sa.Text),
    sa.Column("commits", JSONB, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("approver", sa.Text),
    sa.Column("reversible", sa.Text, nullable=False),
    sa.Column("is_fix", sa.Boolean, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Column("last_at", Instant, nullable=False),
    sa.Column("start_seen", sa.Boolean, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("integration_id", sa.Uuid, sa.ForeignKey("integration.id"), nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("links", JSONB, nullable=False),
    sa.Column("inferred", sa.Boolean, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("committed_at", Instant),
    sa.Column("rolled_back_by", sa.Uuid, sa.ForeignKey("change.id")),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("integration_id", "external_id"),
    sa.CheckConstraint("kind IN ('deploy', 'flag', 'config', 'schema', 'rollback')", name="kind"),
    sa.CheckConstraint("state IN ('started', 'finished', 'failed', 'cancelled', 'rolled_back')", name="state"),
    sa.CheckConstraint("reversible IN ('yes', 'no', 'unknown')", name="reversible"),
    sa.Index("ix_change_last_at", "last_at"),
    sa.Index("ix_change_service", "service_id", "environment", "last_at"),
    sa.Index("ix_change_service_name", "service_name", "environment", "last_at"),
)

change_alias = sa.Table(
    "change_alias",
    metadata,
    sa.Column("integration_id", sa.Uuid, sa.ForeignKey("integration.id"), primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    sa.Column("change_id", sa.Uuid, sa.ForeignKey("change.id"), nullable=False),
    sa.Index("ix_change_alias_change_id", "change_id"),
)
"""What other senders than the first call a change."""


def to_change(row: Any) -> Change:
    return msgspec.convert(row, Change, from_attributes=True)


def columns_of(one: Change) -> dict[str, Any]:
    """The change as a row."""
    return {**msgspec.structs.asdict(one), "links": msgspec.to_builtins(one.links)}


def lock_external(tx: Tx, *, integration_id: UUID, external_id: str) -> Change | None:
    """The change this source calls so, held until the transaction ends."""
    named = sa.and_(change.c.integration_id == integration_id, change.c.external_id == external_id)
    row = tx.execute(sa.select(change).where(named).with_for_update()).one_or_none()
    if row is None:
        other = sa.select(change_alias.c.change_id).where(
            change_alias.c.integration_id == integration_id, change_alias.c.external_id == external_id
        )
        row = tx.execute(
            sa.select(change).where(change.c.id == other.scalar_subquery()).with_for_update()
        ).one_or_none()
    return to_change(row) if row else None


def write_alias(tx: Tx, *, integration_id: UUID, external_id: str, change_id: UUID) -> None:
    """Keep what another sender calls a change."""
    row = {"integration_id": integration_id, "external_id": external_id, "change_id": change_id}
    tx.execute(insert(change_alias).values(row).on_conflict_do_nothing())


def aliases(tx: Tx, *, change_id: UUID) -> list[tuple[str, UUID, str]]:
    """(source, integration, its name) of the other senders of a change."""
    integration = sa.table("integration", sa.column("id"), sa.column("format"))
    rows = tx.execute(
        sa.select(integration.c.format, change_alias.c.integration_id, change_alias.c.external_id)
        .join(integration, integration.c.id == change_alias.c.integration_id)
        .where(change_alias.c.change_id == change_id)
    )
    return [(row.format, row.integration_id, row.external_id) for row in rows]


def lock_latest(
    tx: Tx, *, integration_id: UUID, service_name: str, environment: str, kind: ChangeKind, version: str | None
) -> Change | None:
    """The newest change of this source to the service, of this version if one is named; an open one before an ended."""
    query = sa.select(change).where(
        change.c.integration_id == integration_id,
        change.c.service_name == service_name,
        change.c.environment == environment,
        change.c.kind == kind,
    )
    if version is not None:
        query = query.where(change.c.version == version)
    ordered = query.order_by((change.c.state == "started").desc(), change.c.last_at.desc(), change.c.id.desc())
    row = tx.execute(ordered.limit(1).with_for_update()).one_or_none()
    return to_change(row) if row else None


def insert_change(tx: Tx, one: Change) -> bool:
    """Write a new change; False when another transaction wrote the same identity first."""
    statement = insert(change).values(**columns_of(one)).on_conflict_do_nothing().returning(change.c.id)
    return tx.execute(statement).scalar() is not None


def update_change(tx: Tx, one: Change) -> None:
    """Overwrite the row with what is known now."""
    tx.execute(sa.update(change).where(change.c.id == one.id).values(**columns_of(one)))


def change_by_id(tx: Tx, *, id: UUID, lock: bool = False) -> Change | None:
    query = sa.select(change).where(change.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return to_change(row) if row else None


def between(
    tx: Tx,
    *,
    start_at: datetime,
    end_at: datetime,
    service_ids: Collection[UUID] | None,
    environment: str | None,
    kinds: Collection[ChangeKind] | None = None,
    limit: int | None = None,
) -> list[Change]:
    """Changes under way or ended in [start_at, end_at), newest first."""
    query = sa.select(change).where(change.c.last_at >= start_at, change.c.started_at < end_at)
    if service_ids is not None:
        query = query.where(change.c.service_id == sa.any_(sa.cast(sorted(service_ids), ARRAY(sa.Uuid))))
    if environment is not None:
        query = query.where(change.c.environment == environment)
    if kinds is not None:
        query = query.where(change.c.kind.in_(sorted(kinds)))
    query = query.order_by(change.c.last_at.desc(), change.c.id.desc())
    return [to_change(row) for row in tx.execute(query if limit is None else query.limit(limit))]


def of_place(
    tx: Tx, *, service_name: str, environment: str, since_at: datetime, kinds: Collection[ChangeKind]
) -> list[Change]:
    """Changes under way, or ended since then, of one service by its name; newest first."""
    query = sa.select(change).where(
        change.c.service_name == service_name,
        change.c.environment == environment,
        change.c.kind.in_(sorted(kinds)),
        change.c.last_at >= since_at,
    )
    return [to_change(row) for row in tx.execute(query.order_by(change.c.last_at.desc(), change.c.id.desc()).limit(50))]


def placed(
    tx: Tx,
    *,
    service_name: str,
    environment: str,
    before_at: datetime,
    not_version: str | None = None,
    limit: int = 1,
) -> list[Change]:
    """Finished deploys and rollbacks that ended at or before ``before_at``, newest first, with a version."""
    query = sa.select(change).where(
        change.c.service_name == service_name,
        change.c.environment == environment,
        change.c.kind.in_(sorted(ROLLS)),
        change.c.state == "finished",
        change.c.version.is_not(None),
        change.c.last_at <= before_at,
    )
    if not_version is not None:
        query = query.where(change.c.version != not_version)
    rows = tx.execute(query.order_by(change.c.last_at.desc(), change.c.id.desc()).limit(limit))
    return [to_change(row) for row in rows]


def newest(
    tx: Tx,
    *,
    service_ids: Collection[UUID] | None = None,
    service_name: str | None = None,
    unowned: bool = False,
    kind: ChangeKind | None = None,
    environment: str | None = None,
    state: str | None = None,
    since_at: datetime | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> Sequence[Change]:
    """Changes as the lists show them, newest first; ``before`` is the (last_at, id) of the last one shown."""
    query = sa.select(change)
    if service_ids is not None:
        query = query.where(change.c.service_id == sa.any_(sa.cast(sorted(service_ids), ARRAY(sa.Uuid))))
    if service_name is not None:
        query = query.where(change.c.service_name == service_name)
    if unowned:
        query = query.where(change.c.service_id.is_(None))
    for column, wanted in ((change.c.kind, kind), (change.c.environment, environment), (change.c.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    if since_at is not None:
        query = query.where(change.c.last_at >= since_at)
    if before is not None:
        query = query.where(sa.tuple_(change.c.last_at, change.c.id) < sa.tuple_(*before))
    rows = tx.execute(query.order_by(change.c.last_at.desc(), change.c.id.desc()).limit(limit))
    return [to_change(row) for row in rows]


def adopt(tx: Tx) -> list[tuple[UUID, UUID]]:
    """Give changes that nobody owned to the service that now has their name; returns (change, service) ids."""
    service = sa.table("service", sa.column("id"), sa.column("name"), sa.column("removed_at"))
    rows = tx.execute(
        sa.update(change)
        .where(change.c.service_id.is_(None), change.c.service_name == service.c.name, service.c.removed_at.is_(None))
        .values(service_id=service.c.id, updated_at=tx.now)
        .returning(change.c.id.label("change_id"), change.c.service_id)
    )
    return [(row.change_id, row.service_id) for row in rows]
