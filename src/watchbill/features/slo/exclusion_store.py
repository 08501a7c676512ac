"""The tables of exclusions and of budget policies, and the SQL over exclusions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from watchbill.features.slo.exclusion import Exclusion
from watchbill.runtime.db import Instant, Tx, metadata

slo_exclusion = sa.Table(
    "slo_exclusion",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("slo_id", sa.Uuid, sa.ForeignKey("slo.id")),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("start_at", Instant, nullable=False),
    sa.Column("end_at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("needs_second", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("first_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("second_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("second_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("revoked_kind", sa.Text),
    sa.Column("revoked_id", sa.Text),
    sa.Column("revoke_reason", sa.Text),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("counted_at", Instant),
    sa.CheckConstraint("start_at < end_at", name="span"),
    sa.CheckConstraint("second_by IS NULL OR second_by <> first_by", name="two_people"),
    sa.Index("ix_slo_exclusion_service_id", "service_id", "start_at"),
    sa.Index("ix_slo_exclusion_changed_at", "changed_at"),
)
"""One row for each exclusion; of what was declared nothing is ever changed, only what became of it is added."""

slo_policy = sa.Table(
    "slo_policy",
    metadata,
    sa.Column("owner_kind", sa.Text, primary_key=True),
    sa.Column("owner_id", sa.Uuid, primary_key=True),
    sa.Column("policy", JSONB, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.CheckConstraint("owner_kind IN ('team', 'service')", name="owner_kind"),
)
"""What happens when budgets run low, as the manifests of teams and services say; before and after are in the ledger."""

slo_crossing = sa.Table(
    "slo_crossing",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("slo_id", sa.Uuid, sa.ForeignKey("slo.id"), nullable=False),
    sa.Column("threshold", sa.Numeric, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("remaining", sa.Numeric, nullable=False),
    sa.Column("actions", JSONB, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("target", sa.Numeric, nullable=False),
    sa.Column("window_seconds", sa.Integer, nullable=False),
    sa.Column("reviewed_at", Instant),
    sa.Column("reviewed_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("review", sa.Text),
    sa.CheckConstraint("direction IN ('down', 'up')", name="direction"),
    sa.Index("ix_slo_crossing_slo_id", "slo_id", "threshold", "at"),
)
"""Each time what remains of a budget passed a threshold; ``told`` when something was done about it."""

_exclusions = sa.select(slo_exclusion)


def to_exclusion(row: Any) -> Exclusion:
    return msgspec.convert(row, Exclusion, from_attributes=True)


def insert_exclusion(tx: Tx, *, one: Exclusion) -> None:
    tx.execute(sa.insert(slo_exclusion).values(**msgspec.structs.asdict(one)))


def exclusion_by_id(tx: Tx, *, exclusion_id: UUID, lock: bool = False) -> Exclusion | None:
    query = _exclusions.where(slo_exclusion.c.id == exclusion_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return to_exclusion(row) if row else None


def set_exclusion(tx: Tx, *, exclusion_id: UUID, **values: Any) -> Exclusion:
    """Add what became of it; the series are to be counted again."""
    row = tx.execute(
        sa.update(slo_exclusion)
        .where(slo_exclusion.c.id == exclusion_id)
        .values(**values, changed_at=tx.now, counted_at=None)
        .returning(*slo_exclusion.c)
    ).one()
    return to_exclusion(row)


def exclusions_of(tx: Tx, *, service_ids: Collection[UUID], since: datetime | None = None) -> list[Exclusion]:
    """Every exclusion of these services and of their SLOs, also waiting and revoked ones; the newest first."""
    query = _exclusions.where(slo_exclusion.c.service_id == sa.any_(sa.cast(sorted(service_ids), ARRAY(sa.Uuid))))
    if since is not None:
        query = query.where(slo_exclusion.c.end_at > since)
    return [to_exclusion(row) for row in tx.execute(query.order_by(slo_exclusion.c.start_at.desc()).limit(1000))]


def holding(tx: Tx, *, since: datetime) -> list[Exclusion]:
    """Those whose minutes are left out now and that reach past ``since``."""
    rows = tx.execute(_exclusions.where(slo_exclusion.c.end_at > since, slo_exclusion.c.revoked_at.is_(None)))
    return [one for one in map(to_exclusion, rows) if one.holds]


def uncounted(tx: Tx) -> list[Exclusion]:
    """Those that the stored series do not know of as they are now; the oldest change first."""
    rows = tx.execute(
        _exclusions.where(slo_exclusion.c.counted_at.is_(None)).order_by(slo_exclusion.c.changed_at).limit(200)
    )
    return [to_exclusion(row) for row in rows]


def note_counted(tx: Tx, *, seen: Collection[Exclusion]) -> None:
    """The series know of these, unless they were changed meanwhile."""
    for one in seen:
        tx.execute(
            sa.update(slo_exclusion)
            .where(slo_exclusion.c.id == one.id, slo_exclusion.c.changed_at == one.changed_at)
            .values(counted_at=tx.now)
        )


def exclusions_mark(tx: Tx) -> tuple[int, datetime | None]:
    """Changes whenever an exclusion is declared, signed, ended or revoked."""
    row = tx.execute(
        sa.select(sa.func.count().label("known"), sa.func.max(slo_exclusion.c.changed_at).label("changed_at"))
    ).one()
    return row.known, row.changed_at
