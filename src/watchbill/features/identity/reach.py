"""Test pages: once a month everybody who may be paged is asked, over their own rule, to say "it arrived"."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from watchbill.features.identity.actions import people
from watchbill.features.identity.contacts import contact_methods, verify_contact_method
from watchbill.features.identity.model import Person
from watchbill.features.identity.personal import personal_rules
from watchbill.features.identity.rules import PersonalRule, is_quiet, plan_sends
from watchbill.features.identity.store import contact_method, reach_test
from watchbill.features.identity.verification import MESSAGE
from watchbill.kernel.errors import NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

ANSWER_WITHIN = timedelta(hours=24)
_FIRST_HOUR, _LAST_HOUR = 10, 16
_NOBODY_IS_TESTED_BEFORE = timedelta(days=1)


class ReachTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test page of one person; ``channel`` is the one it was answered through."""

    id: UUID
    person_id: UUID
    state: Literal["open", "answered", "unanswered"]
    started_at: datetime
    answer_by: datetime
    answered_at: datetime | None
    channel: str | None


def is_time_for_test(
    *, person: Person, rule: PersonalRule, last: ReachTest | None, every: timedelta, now: datetime
) -> bool:
    """Whether to send a test page now: one is due, and it is a weekday between 10 and 16, and not quiet, at theirs."""
    since = last.started_at if last is not None else person.created_at - every + _NOBODY_IS_TESTED_BEFORE
    if now - since < every or (last is not None and last.state == "open"):
        return False
    local = now.astimezone(ZoneInfo(person.time_zone))
    return local.weekday() < 5 and _FIRST_HOUR <= local.hour < _LAST_HOUR and not is_quiet(rule.quiet, local)


def latest_tests(tx: Tx, *, person_ids: Iterable[UUID]) -> dict[UUID, ReachTest]:
    """The latest test page of each of these people who had one."""
    rows = tx.execute(
        sa.select(reach_test)
        .ext(distinct_on(reach_test.c.person_id))
        .where(reach_test.c.person_id == sa.any_(sa.literal(list(person_ids), sa.ARRAY(sa.Uuid))))
        .order_by(reach_test.c.person_id, reach_test.c.started_at.desc())
    )
    return {row.person_id: msgspec.convert(row, ReachTest, from_attributes=True) for row in rows}


def begin_test(tx: Tx, *, person: Person, actor: Actor) -> ReachTest | None:
    """Send a test page over the person's own rule; None when no method is there to send it to."""
    methods = contact_methods(tx, person_ids=[person.id])[person.id]
    rule = personal_rules(tx, person_ids=[person.id]).get(person.id)
    planned = plan_sends(methods=methods, rule=rule, urgency="default", time_zone=person.time_zone, now=tx.now)
    if not planned.sends:
        return None
    begun = ReachTest(
        id=new_id(),
        person_id=person.id,
        state="open",
        started_at=tx.now,
        answer_by=tx.now + ANSWER_WITHIN,
        answered_at=None,
        channel=None,
    )
    tx.execute(sa.insert(reach_test), msgspec.structs.asdict(begun))
    for method, after in planned.sends:
        payload = {"test": str(begun.id)}
        due.schedule(tx, kind=MESSAGE, subject=f"{method.id}:reach", due_at=tx.now + after, payload=payload)
    ledger.append(tx, name="reach_test.begun", actor=actor, subject=("person", person.id))
    return begun


def begin_due_tests(tx: Tx, *, person_ids: Iterable[UUID], every: timedelta, limit: int = 100) -> int:
    """Begin the test pages that are due among these people; returns how many."""
    known = people(tx, ids=person_ids)
    rules = personal_rules(tx, person_ids=known)
    last = latest_tests(tx, person_ids=known)
    begun = 0
    for id, person in known.items():
        wanted = person.active and is_time_for_test(
            person=person, rule=rules.get(id, PersonalRule()), last=last.get(id), every=every, now=tx.now
        )
        if wanted and begin_test(tx, person=person, actor=ledger.system("worker")) is not None:
            begun += 1
            if begun >= limit:
                break
    return begun


def close_tests(tx: Tx) -> int:
    """Say of those nobody answered in time that they are unanswered; returns how many."""
    closed = tx.execute(
        sa.update(reach_test)
        .where(reach_test.c.state == "open", reach_test.c.answer_by <= tx.now)
        .values(state="unanswered")
        .returning(reach_test.c.person_id)
    ).scalars()
    ids = list(closed)
    for person_id in ids:
        ledger.append(
            tx,
            name="reach_test.unanswered",
            actor=ledger.system("worker"),
            subject=("person", person_id),
            why="nobody said within a day that it arrived",
        )
    return len(ids)


def is_test_open(tx: Tx, *, test_id: UUID) -> bool:
    """Whether an answer is still waited for."""
    state = tx.execute(sa.select(reach_test.c.state).where(reach_test.c.id == test_id)).scalar()
    return state == "open"


def prove_method(tx: Tx, *, contact_method_id: UUID, test_id: UUID | None) -> Person:
    """An answer came back through the method: it is verified, and the test page is answered, late or not.

    Raises:
        NotFound: the method is gone.
    """
    row = tx.execute(sa.select(contact_method).where(contact_method.c.id == contact_method_id)).one_or_none()
    if row is None:
        raise NotFound("this contact method is gone", code="contact_method_gone")
    actor = ledger.person(row.person_id)
    verify_contact_method(tx, contact_method_id=contact_method_id, actor=actor)
    if test_id is not None:
        answered = tx.execute(
            sa.update(reach_test)
            .where(
                reach_test.c.id == test_id, reach_test.c.person_id == row.person_id, reach_test.c.state != "answered"
            )
            .values(state="answered", answered_at=tx.now, channel=row.channel)
        )
        if answered.rowcount:
            ledger.append(
                tx,
                name="reach_test.answered",
                actor=actor,
                subject=("person", row.person_id),
                why=f"by {row.channel}",
            )
    return people(tx, ids=[row.person_id])[row.person_id]


def unanswered(tx: Tx, *, person_ids: Iterable[UUID]) -> list[Person]:
    """Those of these people whose latest test page nobody answered, by login: no message may reach them."""
    missed = [id for id, test in latest_tests(tx, person_ids=person_ids).items() if test.state == "unanswered"]
    return sorted(people(tx, ids=missed).values(), key=lambda person: person.login)
