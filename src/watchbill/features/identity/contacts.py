"""Contact methods: the addresses a person can be reached at, in the order they are tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.identity.addresses import check_address
from watchbill.features.identity.model import ContactMethod
from watchbill.features.identity.store import contact_method
from watchbill.kernel.errors import NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

_METHODS = (
    sa.select(contact_method)
    .where(contact_method.c.person_id == sa.any_(sa.bindparam("person_ids", type_=sa.ARRAY(sa.Uuid))))
    .order_by(contact_method.c.person_id, contact_method.c.position, contact_method.c.id)
)


def contact_methods(tx: Tx, *, person_ids: Iterable[UUID]) -> dict[UUID, list[ContactMethod]]:
    """The methods of each of these people, first tried first; an empty list for those without."""
    wanted = list(person_ids)
    found: dict[UUID, list[ContactMethod]] = {person_id: [] for person_id in wanted}
    rows = tx.execute(_METHODS, {"person_ids": wanted})
    for row in rows:
        found[row.person_id].append(msgspec.convert(row, ContactMethod, from_attributes=True))
    return found


def add_email_methods(tx: Tx, addresses: Mapping[UUID, str]) -> None:
    """Give new people the address that their login is; the entry ``person.added`` covers it."""
    if addresses:
        tx.execute(
            insert(contact_method)
            .values(
                [
                    {
                        "id": new_id(),
                        "person_id": person_id,
                        "channel": "email",
                        "address": address,
                        "position": 0,
                        "created_at": tx.now,
                    }
                    for person_id, address in sorted(addresses.items())
                ]
            )
            .on_conflict_do_nothing()
        )


def add_contact_method(tx: Tx, *, person_id: UUID, channel: str, address: str, actor: Actor) -> ContactMethod:
    """Add one at the end; the same address again is the one there is, and no entry.

    Raises:
        Invalid: an unknown channel or an address it cannot reach.
    """
    cleaned = check_address(channel, address)
    last = sa.select(sa.func.coalesce(sa.func.max(contact_method.c.position) + 1, 0)).where(
        contact_method.c.person_id == person_id
    )
    made = tx.execute(
        insert(contact_method)
        .values(
            id=new_id(),
            person_id=person_id,
            channel=channel,
            address=cleaned,
            position=last.scalar_subquery(),
            created_at=tx.now,
        )
        .on_conflict_do_nothing(index_elements=["person_id", "channel", "address"])
        .returning(contact_method.c.id)
    ).scalar()
    if made is not None:
        ledger.append(
            tx,
            name="contact_method.added",
            actor=actor,
            subject=("person", person_id),
            data={"contact_method_id": str(made), "channel": channel},
        )
    mine = contact_methods(tx, person_ids=[person_id])[person_id]
    return next(method for method in mine if (method.channel, method.address) == (channel, cleaned))


def remove_contact_method(tx: Tx, *, person_id: UUID, contact_method_id: UUID, actor: Actor) -> None:
    """Remove one of this person's methods.

    Raises:
        NotFound: this person has no such method.
    """
    channel = tx.execute(
        sa.delete(contact_method)
        .where(contact_method.c.id == contact_method_id, contact_method.c.person_id == person_id)
        .returning(contact_method.c.channel)
    ).scalar()
    if channel is None:
        raise NotFound(
            "there is no such contact method", field="contact_method_id", hint="see `watchbill contact list`"
        )
    ledger.append(
        tx,
        name="contact_method.removed",
        actor=actor,
        subject=("person", person_id),
        data={"contact_method_id": str(contact_method_id), "channel": channel},
    )


def verify_contact_method(tx: Tx, *, contact_method_id: UUID, actor: Actor) -> None:
    """Mark it as seen working (an acknowledgement came through it, say); a second time changes nothing.

    Raises:
        NotFound: no such method.
    """
    row = tx.execute(sa.select(contact_method).where(contact_method.c.id == contact_method_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such contact method", field="contact_method_id")
    changed = tx.execute(
        sa.update(contact_method)
        .where(contact_method.c.id == contact_method_id, contact_method.c.verified_at.is_(None))
        .values(verified_at=tx.now)
    )
    tx.execute(sa.update(contact_method).where(contact_method.c.id == contact_method_id).values(proved_at=tx.now))
    if changed.rowcount == 1:
        ledger.append(
            tx,
            name="contact_method.verified",
            actor=actor,
            subject=("person", row.person_id),
            data={"contact_method_id": str(contact_method_id), "channel": row.channel},
        )
