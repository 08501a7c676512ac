"""What leaves and when, in SQL: throttles that all pagers share, and the notifications that one message carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.paging import sending, store
from watchbill.features.paging.model import Notification, Page
from watchbill.features.paging.sending import Recent
from watchbill.features.paging.store import channel_throttle, notification
from watchbill.runtime import due
from watchbill.runtime.db import Instant, Tx
from watchbill.runtime.due import DueRow

HELD = "held"
"""In a due row's payload: a storm holds it for the next message to its address."""
SLOT = "slot"
"""In a due row's payload: its turn at a throttled channel has come."""


def set_throttles(tx: Tx, throttles: Mapping[str, tuple[float, int]]) -> None:
    """Write the rate (messages a second) and burst of each channel; channels not named lose theirs."""
    tx.execute(sa.delete(channel_throttle).where(channel_throttle.c.channel.not_in(list(throttles))))
    for channel, (per_second, burst) in sorted(throttles.items()):
        kept = {"per_second": per_second, "burst": burst}
        statement = insert(channel_throttle).values(channel=channel, next_at=tx.now, **kept)
        tx.execute(statement.on_conflict_do_update(index_elements=["channel"], set_=kept))


def throttles(tx: Tx) -> dict[str, tuple[float, int]]:
    """Rate and burst by channel."""
    rows = tx.execute(sa.select(channel_throttle).order_by(channel_throttle.c.channel))
    return {row.channel: (row.per_second, row.burst) for row in rows}


_LOCK_THROTTLE = (
    sa.select(channel_throttle).where(channel_throttle.c.channel == sa.bindparam("channel")).with_for_update()
)


def take_slot(tx: Tx, *, channel: str) -> datetime:
    """When this message may use its channel; the slot is taken."""
    row = tx.execute(_LOCK_THROTTLE, {"channel": channel}).one_or_none()
    if row is None:
        return tx.now
    slot = sending.take_slot(now=tx.now, next_at=row.next_at, per_second=row.per_second, burst=row.burst)
    tx.execute(sa.update(channel_throttle).where(channel_throttle.c.channel == channel).values(next_at=slot.next_at))
    return slot.at


_RECENT = (
    sa.select(notification.c.sending_at, notification.c.about, notification.c.bundle_id)
    .where(
        notification.c.address == sa.bindparam("address"),
        notification.c.channel == sa.bindparam("channel"),
        notification.c.sending_at > sa.bindparam("since", type_=Instant),
    )
    .order_by(notification.c.sending_at)
)


def recent(tx: Tx, *, channel: str, address: str) -> list[Recent]:
    """What was handed to this address within the window of a storm."""
    values = {"channel": channel, "address": address, "since": tx.now - sending.STORM_WINDOW}
    return [
        Recent(at=row.sending_at, about=row.about, led=row.bundle_id is None) for row in tx.execute(_RECENT, values)
    ]


def carry(tx: Tx, row: DueRow, leading: Notification) -> None:
    """Let ``leading``'s message carry what a storm holds for the same address: its due row stands for all."""
    held = tx.execute(
        sa.select(notification.c.id).where(
            notification.c.address == leading.address,
            notification.c.channel == leading.channel,
            notification.c.person_id == leading.person_id,
            notification.c.state == "queued",
            notification.c.sending_at.is_(None),
            notification.c.bundle_id.is_(None),
            notification.c.id != leading.id,
        )
    ).scalars()
    taken = due.take_marked(tx, row, subjects=[str(id) for id in held], mark=HELD)
    if taken:
        tx.execute(
            sa.update(notification)
            .where(notification.c.id.in_([UUID(subject) for subject in taken]), notification.c.state == "queued")
            .values(bundle_id=leading.id)
        )


def carried_by(tx: Tx, *, notification_id: UUID) -> list[tuple[Notification, Page]]:
    """The queued notifications that go with this one, each with its page."""
    ids = tx.execute(
        sa.select(notification.c.id)
        .where(notification.c.bundle_id == notification_id, notification.c.state == "queued")
        .order_by(notification.c.queued_at, notification.c.id)
    ).scalars()
    found = [store.notification_with_page(tx, notification_id=id) for id in list(ids)]
    return [pair for pair in found if pair is not None]


def bundle_of(tx: Tx, *, notification_id: UUID) -> list[UUID]:
    """This notification and all that its message carried, whatever became of them."""
    ids = tx.execute(
        sa.select(notification.c.id)
        .where(sa.or_(notification.c.id == notification_id, notification.c.bundle_id == notification_id))
        .order_by(notification.c.queued_at, notification.c.id)
    ).scalars()
    return list(ids)


def lead_by(tx: Tx, *, leader: UUID, members: Iterable[UUID]) -> None:
    """Another notification leads the bundle from now on."""
    tx.execute(sa.update(notification).where(notification.c.id.in_(list(members))).values(bundle_id=leader))
    tx.execute(sa.update(notification).where(notification.c.id == leader).values(bundle_id=None))


def mark_sending(tx: Tx, *, ids: Iterable[UUID], about: Mapping[UUID, UUID]) -> None:
    """They are being handed over now, for the first time."""
    for id in ids:
        tx.execute(
            sa.update(notification)
            .where(notification.c.id == id, notification.c.sending_at.is_(None))
            .values(sending_at=tx.now, about=about[id])
        )
