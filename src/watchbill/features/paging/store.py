"""Tables of paging and the SQL over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.features.alerts import BusyError
from watchbill.features.paging.model import EscalationPolicy, Notification, Page
from watchbill.runtime.db import Instant, Tx, metadata

page = sa.Table(
    "page",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id"), nullable=False),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id")),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("policy", JSONB, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("acknowledged_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_until", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("ended_because", sa.Text),
    sa.Column("tier", sa.SmallInteger),
    sa.Column("held_because", sa.Text),
    sa.Column("snoozed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("handover_to", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("handover_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("handover_until", Instant),
    sa.CheckConstraint("state IN ('held', 'escalating', 'acknowledged', 'ended')", name="state"),
    sa.Index(
        "uq_page_one_per_team",
        sa.text("incident_id"),
        sa.text("coalesce(team_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
        unique=True,
        postgresql_where=sa.text("state <> 'ended'"),
    ),
    sa.Index("ix_page_incident", "incident_id"),
    sa.Index("ix_page_open_team", "team_id", postgresql_where=sa.text("state <> 'ended'")),
)

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("page_id", sa.Uuid, sa.ForeignKey("page.id"), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("team_channel_id", sa.Uuid),
    sa.Column("watching", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("error", sa.Text),
    sa.Column("provider_ref", sa.Text),
    sa.Column("queued_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("settled_at", Instant),
    sa.Column("sending_at", Instant),
    sa.Column("about", sa.Uuid),
    sa.Column("bundle_id", sa.Uuid),
    sa.CheckConstraint("state IN ('queued', 'sent', 'delivered', 'failed', 'cancelled')", name="state"),
    sa.Index("ix_notification_page", "page_id", "epoch", "step"),
    sa.Index("ix_notification_storm", "address", "sending_at", postgresql_where=sa.text("sending_at IS NOT NULL")),
    sa.Index("ix_notification_bundle", "bundle_id", postgresql_where=sa.text("bundle_id IS NOT NULL")),
    sa.Index(
        "ix_notification_waiting",
        "address",
        postgresql_where=sa.text("state = 'queued' AND sending_at IS NULL"),
    ),
)

channel_throttle = sa.Table(
    "channel_throttle",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("per_second", sa.Double, nullable=False),
    sa.Column("burst", sa.Integer, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.CheckConstraint("per_second > 0 AND burst > 0", name="positive"),
)
"""How fast a channel may be used, by all pagers together; ``next_at`` is the theoretical arrival time."""

round_robin = sa.Table(
    "round_robin",
    metadata,
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), primary_key=True),
    sa.Column("taken", sa.BigInteger, nullable=False),
)
"""How many turns of a team's round-robin steps have been taken."""


def to_page(row: Any) -> Page:
    values = dict(row._mapping)
    values["policy"] = msgspec.convert(values["policy"], EscalationPolicy)
    return Page(**{str(key): value for key, value in values.items()})


def to_notification(row: Any) -> Notification:
    return msgspec.convert(row, Notification, from_attributes=True)


_INSERT_PAGE = sa.insert(page)


def insert_page(tx: Tx, new: Page) -> None:
    tx.execute(_INSERT_PAGE, {**msgspec.structs.asdict(new), "policy": msgspec.to_builtins(new.policy)})


def page_by_id(tx: Tx, *, page_id: UUID) -> Page | None:
    row = tx.execute(sa.select(page).where(page.c.id == page_id)).one_or_none()
    return to_page(row) if row else None


def lock_page(tx: Tx, *, page_id: UUID) -> Page | None:
    """Read a page and hold its row: an acknowledgement and a step of the same page happen one after the other."""
    row = tx.execute(sa.select(page).where(page.c.id == page_id).with_for_update()).one_or_none()
    return to_page(row) if row else None


def lock_page_or_busy(tx: Tx, *, page_id: UUID) -> Page | None:
    """`lock_page` for duties, which hold their due row already and therefore must not wait.

    Raises:
        BusyError: another transaction holds the page.
    """
    row = tx.execute(sa.select(page).where(page.c.id == page_id).with_for_update(skip_locked=True)).one_or_none()
    if row is not None:
        return to_page(row)
    if page_by_id(tx, page_id=page_id) is not None:
        raise BusyError
    return None


def lock_open_pages(tx: Tx, *, incident_id: UUID) -> list[Page]:
    rows = tx.execute(
        sa.select(page)
        .where(page.c.incident_id == incident_id, page.c.state != "ended")
        .order_by(page.c.id)
        .with_for_update()
    )
    return [to_page(row) for row in rows]


def change_page(tx: Tx, current: Page, **values: Any) -> Page:
    tx.execute(sa.update(page).where(page.c.id == current.id).values(**values))
    return msgspec.structs.replace(current, **values)


def pages_of(tx: Tx, *, incident_ids: Sequence[UUID]) -> list[Page]:
    rows = tx.execute(
        sa.select(page).where(page.c.incident_id.in_(incident_ids)).order_by(page.c.created_at, page.c.id)
    )
    return [to_page(row) for row in rows]


def notifications_of(tx: Tx, *, page_ids: Sequence[UUID]) -> list[Notification]:
    rows = tx.execute(
        sa.select(notification)
        .where(notification.c.page_id.in_(page_ids))
        .order_by(notification.c.queued_at, notification.c.due_at, notification.c.id)
    )
    return [to_notification(row) for row in rows]


def notification_by_id(tx: Tx, *, notification_id: UUID) -> Notification | None:
    row = tx.execute(sa.select(notification).where(notification.c.id == notification_id)).one_or_none()
    return to_notification(row) if row else None


_PAGE = {name: page.c[name].label(f"of_page_{name}") for name in Page.__struct_fields__}
_WITH_PAGE = (
    sa.select(notification, *_PAGE.values())
    .join(page, page.c.id == notification.c.page_id)
    .where(notification.c.id == sa.bindparam("wanted"))
)


def notification_with_page(tx: Tx, *, notification_id: UUID) -> tuple[Notification, Page] | None:
    """A notification and its page, in one statement."""
    row = tx.execute(_WITH_PAGE, {"wanted": notification_id}).one_or_none()
    if row is None:
        return None
    of_page = {name: row._mapping[label.name] for name, label in _PAGE.items()}
    of_page["policy"] = msgspec.convert(of_page["policy"], EscalationPolicy)
    return to_notification(row), Page(**of_page)


def notifications_of_step(tx: Tx, *, page_id: UUID, epoch: int, step: int) -> list[Notification]:
    rows = tx.execute(
        sa.select(notification)
        .where(notification.c.page_id == page_id, notification.c.epoch == epoch, notification.c.step == step)
        .order_by(notification.c.due_at, notification.c.id)
    )
    return [to_notification(row) for row in rows]


def change_notification(tx: Tx, notification_id: UUID, *, only_queued: bool = False, **values: Any) -> bool:
    """Write columns; with ``only_queued`` False comes back, and nothing changed, when it is no longer queued."""
    change = sa.update(notification).where(notification.c.id == notification_id).values(**values)
    if only_queued:
        change = change.where(notification.c.state == "queued")
    return tx.execute(change).rowcount == 1


def notified_people(tx: Tx, *, page_id: UUID) -> set[UUID]:
    """Everybody who was asked; whoever was only told along is not among them."""
    asked = sa.select(notification.c.person_id).where(
        notification.c.page_id == page_id, notification.c.person_id.is_not(None), sa.not_(notification.c.watching)
    )
    return {person for person in tx.execute(asked.distinct()).scalars() if person is not None}


def responders_of(tx: Tx, *, incident_id: UUID) -> set[UUID]:
    """Whoever acknowledged any page of the incident."""
    found = tx.execute(
        sa.select(page.c.acknowledged_by).where(page.c.incident_id == incident_id, page.c.acknowledged_by.is_not(None))
    ).scalars()
    return {person for person in found if person is not None}
