"""Tables of incidents and the SQL over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.features.incidents.model import Incident
from watchbill.runtime.db import Instant, Tx, metadata

number_sequence = sa.Sequence("incident_number_seq", metadata=metadata, data_type=sa.BigInteger)

incident = sa.Table(
    "incident",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "number",
        sa.BigInteger,
        number_sequence,
        server_default=number_sequence.next_value(),
        nullable=False,
        unique=True,
    ),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id")),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id")),
    sa.Column("unowned", sa.Boolean, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("declared_at", Instant),
    sa.Column("resolved_at", Instant),
    sa.Column("settle_at", Instant),
    sa.Column("resolution", sa.Text),
    sa.Column("resolved_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("merged_into", sa.Uuid, sa.ForeignKey("incident.id")),
    sa.CheckConstraint("state IN ('open', 'resolved')", name="state"),
    sa.CheckConstraint("phase IN ('suspected', 'declared')", name="phase"),
    sa.Index("ix_incident_open", "opened_at", postgresql_where=sa.text("state = 'open'")),
    sa.Index("ix_incident_service", "service_id", "state"),
    sa.Index("ix_incident_team", "team_id", "opened_at"),
    sa.Index("ix_incident_resolved_at", "resolved_at"),
    sa.Index("ix_incident_merged_into", "merged_into", postgresql_where=sa.text("merged_into IS NOT NULL")),
)

incident_service = sa.Table(
    "incident_service",
    metadata,
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id"), primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("joined_at", Instant, nullable=False),
)

incident_evidence = sa.Table(
    "incident_evidence",
    metadata,
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("lines", JSONB, nullable=False),
    sa.Column("written_at", Instant, nullable=False),
)

incident_merge = sa.Table(
    "incident_merge",
    metadata,
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id"), primary_key=True),
    sa.Column("into_id", sa.Uuid, sa.ForeignKey("incident.id"), nullable=False),
    sa.Column("merged_at", Instant, nullable=False),
    sa.Column("moved", JSONB, nullable=False),
)
"""What moved when an incident was merged, so that it can move back; one line while it is merged."""


def to_incident(row: Any) -> Incident:
    return msgspec.convert(row, Incident, from_attributes=True)


BY_ID = sa.select(incident).where(incident.c.id == sa.bindparam("incident_id"))
_LOCK = BY_ID.with_for_update()


def lock_incident(tx: Tx, *, incident_id: UUID) -> Incident | None:
    """Read an incident and hold its row until the transaction ends: everything about it is decided in turn."""
    row = tx.execute(_LOCK, {"incident_id": incident_id}).one_or_none()
    return to_incident(row) if row else None


def lock_candidates(
    tx: Tx,
    *,
    service_ids: Collection[UUID],
    previous_incident_id: UUID | None,
    resolved_after: datetime,
) -> list[Incident]:
    """Open incidents of these services (or just resolved ones), and the named one; newest first, locked."""
    if not service_ids and previous_incident_id is None:
        return []
    members = sa.select(incident_service.c.incident_id).where(incident_service.c.service_id.in_(service_ids))
    rows = tx.execute(
        sa.select(incident)
        .where(
            sa.or_(
                sa.and_(incident.c.state == "open", incident.c.id.in_(members)),
                sa.and_(
                    incident.c.id == previous_incident_id,
                    sa.or_(incident.c.state == "open", incident.c.resolved_at >= resolved_after),
                ),
            )
        )
        .order_by(incident.c.id)
        .with_for_update()
    )
    return sorted((to_incident(row) for row in rows), key=lambda i: i.opened_at, reverse=True)


def services_of(tx: Tx, *, incident_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    if not incident_ids:
        return {}
    rows = tx.execute(
        sa.select(incident_service)
        .where(incident_service.c.incident_id.in_(incident_ids))
        .order_by(incident_service.c.joined_at, incident_service.c.service_id)
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.incident_id, []).append(row.service_id)
    return found


def touching(
    tx: Tx, *, service_ids: Collection[UUID], start_at: datetime, end_at: datetime, limit: int = 1000
) -> list[tuple[UUID, datetime, Incident]]:
    """(service, joined, incident) of the incidents that were open at any time in [start_at, end_at), oldest first."""
    if not service_ids:
        return []
    rows = tx.execute(
        sa.select(incident, incident_service.c.service_id.label("member_id"), incident_service.c.joined_at)
        .join(incident_service, incident_service.c.incident_id == incident.c.id)
        .where(
            incident_service.c.service_id == sa.any_(sa.literal(sorted(service_ids), sa.ARRAY(sa.Uuid))),
            incident_service.c.joined_at < end_at,
            sa.or_(incident.c.resolved_at.is_(None), incident.c.resolved_at >= start_at),
        )
        .order_by(incident_service.c.joined_at, incident.c.id)
        .limit(limit)
    )
    return [(row.member_id, row.joined_at, to_incident(row)) for row in rows]
