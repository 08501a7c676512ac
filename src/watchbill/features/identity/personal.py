"""Personal rules as they are kept, the order of methods, and who counts as reachable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.identity.actions import people
from watchbill.features.identity.contacts import contact_methods
from watchbill.features.identity.model import ContactMethod
from watchbill.features.identity.rules import PersonalRule, Planned, Urgency, check_rule, plan_sends
from watchbill.features.identity.store import contact_method, person, personal_rule
from watchbill.features.identity.store import web_push_key as store_key
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a person counts as reachable: only a verified method is a reason. ``why`` says why not.

    Unverified methods are tried all the same when a page comes.
    """

    reachable: bool
    why: str = ""
    proved_at: datetime | None = None


def personal_rules(tx: Tx, *, person_ids: Iterable[UUID]) -> dict[UUID, PersonalRule]:
    """The rules of those of these people who have set one."""
    rows = tx.execute(
        sa.select(personal_rule.c.person_id, personal_rule.c.rule).where(
            personal_rule.c.person_id == sa.any_(sa.literal(list(person_ids), sa.ARRAY(sa.Uuid)))
        )
    )
    return {row.person_id: msgspec.convert(row.rule, PersonalRule) for row in rows}


def set_personal_rule(tx: Tx, *, person_id: UUID, rule: PersonalRule, actor: Actor) -> PersonalRule:
    """Replace a person's rule; the same one again is no entry.

    Raises:
        Invalid: see `rules.check_rule`.
    """
    mine = contact_methods(tx, person_ids=[person_id])[person_id]
    checked = check_rule(rule, mine=[method.id for method in mine])
    if personal_rules(tx, person_ids=[person_id]).get(person_id, PersonalRule()) == checked:
        return checked
    kept = {"rule": msgspec.to_builtins(checked), "changed_at": tx.now}
    statement = insert(personal_rule).values(person_id=person_id, **kept)
    tx.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_=kept))
    ledger.append(
        tx,
        name="personal_rule.changed",
        actor=actor,
        subject=("person", person_id),
        data={"steps": len(checked.default) + len(checked.important), "quiet": len(checked.quiet)},
    )
    return checked


def order_contact_methods(tx: Tx, *, person_id: UUID, order: Sequence[UUID], actor: Actor) -> list[ContactMethod]:
    """Put the methods into this order; those not named follow as they were.

    Raises:
        NotFound: one of them is not this person's. Invalid: one is named twice.
    """
    mine = contact_methods(tx, person_ids=[person_id])[person_id]
    known = {method.id: method for method in mine}
    if any(id not in known for id in order):
        raise NotFound("there is no such contact method", field="order", hint="see `watchbill contact list`")
    if len(set(order)) != len(order):
        raise Invalid("a method is named twice", field="order")
    wanted = [*order, *(method.id for method in mine if method.id not in set(order))]
    if wanted == [method.id for method in mine]:
        return mine
    for position, id in enumerate(wanted):
        tx.execute(sa.update(contact_method).where(contact_method.c.id == id).values(position=position))
    ledger.append(
        tx,
        name="contact_method.ordered",
        actor=actor,
        subject=("person", person_id),
        data={"order": [str(id) for id in wanted]},
    )
    return contact_methods(tx, person_ids=[person_id])[person_id]


def reach_of(methods: Sequence[ContactMethod]) -> Reach:
    """Pure: a verified method makes reachable; which of them was proved last says since when."""
    verified = [method for method in methods if method.verified_at is not None]
    if verified:
        proved = [method.proved_at or method.verified_at for method in verified]
        return Reach(reachable=True, proved_at=max(at for at in proved if at is not None))
    return Reach(reachable=False, why="no contact method is verified" if methods else "has no contact method")


def reachable(tx: Tx, *, person_ids: Iterable[UUID]) -> dict[UUID, Reach]:
    """Whether each of these people counts as reachable, for warnings; paging tries unverified methods too."""
    return {id: reach_of(methods) for id, methods in contact_methods(tx, person_ids=person_ids).items()}


def plan_people(
    tx: Tx, *, person_ids: Iterable[UUID], urgency: Urgency, at: datetime | None = None
) -> dict[UUID, Planned]:
    """How to reach each of these people at ``at`` (now) by their own rules; nobody who is not active."""
    known = {id: found for id, found in people(tx, ids=person_ids).items() if found.active}
    methods = contact_methods(tx, person_ids=known)
    rules = personal_rules(tx, person_ids=known)
    return {
        id: plan_sends(
            methods=methods[id],
            rule=rules.get(id),
            urgency=urgency,
            time_zone=found.time_zone,
            now=at or tx.now,
        )
        for id, found in known.items()
    }


def person_at(tx: Tx, *, channel: str, addresses: Iterable[str]) -> UUID | None:
    """The active person whose contact method has one of these addresses: who answered in a team's channel.

    None when nobody or more than one has it.
    """
    rows = tx.execute(
        sa.select(contact_method.c.person_id)
        .join(person, person.c.id == contact_method.c.person_id)
        .where(contact_method.c.channel == channel, contact_method.c.address.in_(list(addresses)), person.c.active)
        .distinct()
        .limit(2)
    ).scalars()
    found = list(rows)
    return found[0] if len(found) == 1 else None


def web_push_key(tx: Tx, *, make: Callable[[], str]) -> str:
    """The key that web pushes are signed with; made the first time, because browsers subscribe to it for good."""
    kept = tx.execute(sa.select(store_key.c.private_key)).scalar()
    if kept is None:
        made = insert(store_key).values(id=1, private_key=make(), created_at=tx.now)
        tx.execute(made.on_conflict_do_nothing(index_elements=["id"]))
        kept = tx.execute(sa.select(store_key.c.private_key)).scalar_one()
    return str(kept)
