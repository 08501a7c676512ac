"""Tables of tickets and the SQL over them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from watchbill.features.tickets.model import Ticket
from watchbill.runtime.db import Instant, Tx, metadata

ticket = sa.Table(
    "ticket",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("alert_id", sa.Uuid, nullable=False),
    sa.Column("integration_id", sa.Uuid, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("place", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("marker", sa.Text, nullable=False),
    sa.Column("ref", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("said", JSONB(none_as_null=True)),
    sa.Column("comments", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("tried_at", Instant),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("failing_at", Instant),
    sa.Column("told_at", Instant),
    sa.Column("error", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("opened_at", Instant),
    sa.Column("closed_at", Instant),
    sa.Column("looked_at", Instant),
    sa.CheckConstraint(
        "state IN ('wanted', 'open', 'closed', 'closed_outside', 'gone', 'dropped', 'failed')", name="state"
    ),
    sa.UniqueConstraint("alert_id"),
    sa.Index("ix_ticket_identity", "integration_id", "identity", "created_at"),
    sa.Index("ix_ticket_team_id", "team_id", "created_at"),
    sa.Index("ix_ticket_failing", "failing_at", postgresql_where=sa.text("failing_at IS NOT NULL")),
)

ticket_pause = sa.Table(
    "ticket_pause",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("until_at", Instant, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
"""A provider's own limit was reached: nothing is asked of it until then."""


def to_ticket(row: Any) -> Ticket:
    return msgspec.convert(row, Ticket, from_attributes=True)


def ticket_of_alert(tx: Tx, *, alert_id: UUID) -> Ticket | None:
    row = tx.execute(sa.select(ticket).where(ticket.c.alert_id == alert_id)).one_or_none()
    return None if row is None else to_ticket(row)


def latest_of_identity(tx: Tx, *, integration_id: UUID, identity: str) -> Ticket | None:
    """The newest ticket of the identity that was made at all."""
    row = tx.execute(
        sa.select(ticket)
        .where(ticket.c.integration_id == integration_id, ticket.c.identity == identity, ticket.c.ref.is_not(None))
        .order_by(ticket.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else to_ticket(row)


def insert_ticket(tx: Tx, *, made: Ticket) -> None:
    tx.execute(sa.insert(ticket).values(msgspec.to_builtins(made, builtin_types=(UUID, datetime))))


def change_ticket(tx: Tx, id: UUID, **values: Any) -> None:
    if values.get("said") is not None:
        values["said"] = msgspec.to_builtins(values["said"])
    tx.execute(sa.update(ticket).where(ticket.c.id == id).values(**values))


def tickets_of(
    tx: Tx,
    *,
    team_ids: Iterable[UUID] | None = None,
    alert_ids: Iterable[UUID] | None = None,
    identity: tuple[UUID, str] | None = None,
    failing: bool = False,
    open_only: bool = False,
    limit: int = 50,
) -> list[Ticket]:
    query = sa.select(ticket).order_by(ticket.c.created_at.desc(), ticket.c.id).limit(limit)
    if team_ids is not None:
        query = query.where(ticket.c.team_id.in_(list(team_ids)))
    if alert_ids is not None:
        query = query.where(ticket.c.alert_id.in_(list(alert_ids)))
    if identity is not None:
        query = query.where(ticket.c.integration_id == identity[0], ticket.c.identity == identity[1])
    if failing:
        query = query.where(ticket.c.failing_at.is_not(None), ticket.c.state.in_(("wanted", "open", "closed")))
    if open_only:
        query = query.where(ticket.c.state.in_(("wanted", "open")))
    return [to_ticket(row) for row in tx.execute(query)]


def pause(tx: Tx, *, connection: str, until: datetime, why: str) -> None:
    """Ask nothing of this provider until then; a longer pause stands."""
    statement = insert(ticket_pause).values(connection=connection, until_at=until, why=why)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["connection"],
            set_={"until_at": sa.func.greatest(ticket_pause.c.until_at, until), "why": why},
        )
    )


def paused_until(tx: Tx, *, connection: str) -> datetime | None:
    """Until when nothing is asked of it; None: it may be asked now."""
    at: datetime | None = tx.execute(
        sa.select(ticket_pause.c.until_at).where(
            ticket_pause.c.connection == connection, ticket_pause.c.until_at > tx.now
        )
    ).scalar()
    return at
