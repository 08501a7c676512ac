"""Tables of alerts and the SQL over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from watchbill.features.alerts.model import Alert, Integration
from watchbill.runtime.db import Instant, Tx, metadata

integration = sa.Table(
    "integration",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("key_hash", sa.LargeBinary, unique=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id")),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_event_at", Instant),
    sa.Column("revoked_at", Instant),
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("integration_id", sa.Uuid, sa.ForeignKey("integration.id"), primary_key=True),
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Index("ix_delivery_at", "at"),
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("integration_id", sa.Uuid, sa.ForeignKey("integration.id"), nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("urgency", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("annotations", JSONB, nullable=False),
    sa.Column("links", JSONB, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("service_name", sa.Text),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id")),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id")),
    sa.Column("operation", sa.Text),
    sa.Column("declares", sa.Boolean, nullable=False),
    sa.Column("incident_id", sa.Uuid),
    sa.Column("muted_because", sa.Text),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("last_event_at", Instant, nullable=False),
    sa.Column("source_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("stale_at", Instant),
    sa.Column("held_at", Instant),
    sa.Column("resolved_at", Instant),
    sa.Column("resolved_because", sa.Text),
    sa.Column("refreshes", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.CheckConstraint("state IN ('firing', 'resolved', 'stale', 'held')", name="state"),
    sa.CheckConstraint("urgency IN ('page', 'ticket')", name="urgency"),
    sa.Index(
        "uq_alert_open_identity",
        "integration_id",
        "identity",
        unique=True,
        postgresql_where=sa.text("state <> 'resolved'"),
    ),
    sa.Index("ix_alert_incident", "incident_id", postgresql_where=sa.text("incident_id IS NOT NULL")),
    sa.Index("ix_alert_history", "integration_id", "identity", "started_at"),
    sa.Index("ix_alert_resolved_at", "resolved_at", postgresql_where=sa.text("state = 'resolved'")),
    sa.Index("ix_alert_open_team", "team_id", postgresql_where=sa.text("state <> 'resolved'")),
)

intake_beat = sa.Table(
    "intake_beat",
    metadata,
    sa.Column("one", sa.Boolean, sa.CheckConstraint("one", name="one"), primary_key=True),
    sa.Column("beat_at", Instant, nullable=False),
    sa.Column("resumed_at", Instant, nullable=False),
)


def to_alert(row: Any) -> Alert:
    return msgspec.convert(row, Alert, from_attributes=True)


def to_integration(row: Any) -> Integration:
    return msgspec.convert(row, Integration, from_attributes=True)


class BusyError(Exception):
    """Another transaction holds the row; a duty puts its work back for a moment instead of waiting."""


OF_INCIDENT = sa.select(alert).where(alert.c.incident_id == sa.bindparam("incident_id")).order_by(alert.c.started_at)
_LOCK = sa.select(alert).where(alert.c.id == sa.bindparam("alert_id")).with_for_update(skip_locked=True)


def lock_alert(tx: Tx, *, alert_id: UUID) -> Alert | None:
    """Read an alert and hold its row until the transaction ends.

    A duty already holds its due row, and whoever holds the alert may want that very row: waiting
    here could be a deadlock, so this never waits.

    Raises:
        BusyError: another transaction holds it.
    """
    row = tx.execute(_LOCK, {"alert_id": alert_id}).one_or_none()
    if row is not None:
        return to_alert(row)
    if tx.execute(sa.select(alert.c.id).where(alert.c.id == alert_id)).one_or_none() is not None:
        raise BusyError
    return None


def lock_open(tx: Tx, *, integration_id: UUID, identities: Sequence[str]) -> dict[str, Alert]:
    """Lock the open alerts of these identities, in a fixed order so that two batches cannot deadlock."""
    rows = tx.execute(
        sa.select(alert)
        .where(
            alert.c.integration_id == integration_id,
            alert.c.identity.in_(identities),
            alert.c.state != "resolved",
        )
        .order_by(alert.c.identity)
        .with_for_update()
    )
    return {row.identity: to_alert(row) for row in rows}


_INSERT = insert(alert).on_conflict_do_nothing().returning(alert.c.id)


def insert_alerts(tx: Tx, *, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Insert new alerts; returns the ids that went in. The others lost a race with another sender."""
    if not rows:
        return set()
    return set(tx.execute(_INSERT, list(rows)).scalars())


def refresh_alerts(tx: Tx, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bring open alerts up to date with their newest trigger, one statement for all."""
    if not rows:
        return
    tx.execute(
        sa.update(alert)
        .where(alert.c.id == sa.bindparam("alert_id"))
        .values(
            state=sa.bindparam("new_state"),
            title=sa.bindparam("new_title"),
            description=sa.bindparam("new_description"),
            severity=sa.bindparam("new_severity"),
            annotations=sa.bindparam("new_annotations", type_=JSONB),
            links=sa.bindparam("new_links", type_=JSONB),
            urgency=sa.bindparam("new_urgency"),
            declares=sa.bindparam("new_declares"),
            last_event_at=sa.bindparam("event_at"),
            source_at=sa.func.greatest(alert.c.source_at, sa.bindparam("new_source_at", type_=Instant)),
            expires_at=sa.bindparam("new_expires_at", type_=Instant),
            stale_at=None,
            refreshes=alert.c.refreshes + 1,
        ),
        list(rows),
    )


def resolve_alerts(tx: Tx, *, alert_ids: Sequence[UUID], because: str) -> None:
    tx.execute(
        sa.update(alert)
        .where(alert.c.id.in_(sorted(alert_ids)))
        .values(state="resolved", resolved_at=tx.now, resolved_because=because, last_event_at=tx.now)
    )


def new_deliveries(tx: Tx, *, integration_id: UUID, delivery_ids: Sequence[str]) -> set[str]:
    """Record these delivery ids; returns those never seen before."""
    if not delivery_ids:
        return set()
    statement = (
        insert(delivery)
        .values(
            [
                {"integration_id": integration_id, "delivery_id": delivery_id, "at": tx.now}
                for delivery_id in sorted(set(delivery_ids))
            ]
        )
        .on_conflict_do_nothing()
        .returning(delivery.c.delivery_id)
    )
    return set(tx.execute(statement).scalars())


def intake_resumed_at(tx: Tx) -> tuple[datetime | None, datetime | None]:
    """(last beat, last time intake came back after an absence)."""
    row = tx.execute(sa.select(intake_beat.c.beat_at, intake_beat.c.resumed_at)).one_or_none()
    return (row.beat_at, row.resumed_at) if row else (None, None)
