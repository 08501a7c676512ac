"""People and how to reach them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.identity import logic
from watchbill.features.identity.contacts import add_email_methods
from watchbill.features.identity.model import Person, Role
from watchbill.features.identity.store import PERSON, person, session
from watchbill.kernel.errors import NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

MANIFEST = ledger.system("manifest")


def ensure_people(tx: Tx, *, logins: Iterable[str], actor: Actor = MANIFEST) -> dict[str, UUID]:
    """The ids of these logins, making those who are new (as responders); the keys are spelled as given.

    A new login that is an e-mail address gets that address as its first contact method.

    Raises:
        Invalid: a login that cannot be one.
    """
    spelled = {login: logic.normalise_login(login) for login in logins}
    wanted = sorted(set(spelled.values()))
    known = _ids_of(tx, wanted)
    missing = [login for login in wanted if login not in known]
    if missing:
        made = tx.execute(
            insert(person)
            .values(
                [
                    {
                        "id": new_id(),
                        "login": login,
                        "name": login.partition("@")[0],
                        "email": logic.email_of_login(login),
                        "role": "responder",
                        "created_at": tx.now,
                    }
                    for login in missing
                ]
            )
            .on_conflict_do_nothing(index_elements=["login"])
            .returning(person.c.id, person.c.email)
        ).all()
        told = [
            ledger.NewEntry(name="person.added", subject=("person", row.id), why="named for the first time")
            for row in made
        ]
        ledger.append_many(tx, actor=actor, entries=told)
        add_email_methods(tx, {row.id: row.email for row in made if row.email})
        known = _ids_of(tx, wanted)  # again: another transaction may have made some of them
    return {login: known[normal] for login, normal in spelled.items()}


def _ids_of(tx: Tx, logins: list[str]) -> dict[str, UUID]:
    rows = tx.execute(
        sa.select(person.c.login, person.c.id).where(person.c.login == sa.any_(sa.literal(logins, sa.ARRAY(sa.Text))))
    )
    return {row.login: row.id for row in rows}


def ids_of(tx: Tx, *, logins: Iterable[str]) -> dict[str, UUID]:
    """The ids of those of these logins (in lower case) that are known."""
    return _ids_of(tx, sorted(set(logins)))


def ensure_person(tx: Tx, *, login: str, name: str | None = None, actor: Actor = MANIFEST) -> Person:
    """The person with this login, made when new; ``name`` is set when given."""
    person_id = ensure_people(tx, logins=[login], actor=actor)[login]
    if name is not None:
        change_person(tx, person_id=person_id, name=name, actor=actor)
    return person_by_id(tx, person_id=person_id)


def person_by_login(tx: Tx, *, login: str) -> Person | None:
    """Who has this login; None when nobody."""
    row = tx.execute(sa.select(*PERSON).where(person.c.login == login.strip().lower())).one_or_none()
    return None if row is None else msgspec.convert(row, Person, from_attributes=True)


def person_by_id(tx: Tx, *, person_id: UUID) -> Person:
    """One person.

    Raises:
        NotFound: no such id.
    """
    found = people(tx, ids=[person_id])
    if not found:
        raise NotFound(f"there is no person {person_id}", field="person_id")
    return found[person_id]


_PEOPLE = sa.select(*PERSON).where(person.c.id == sa.any_(sa.bindparam("person_ids", type_=sa.ARRAY(sa.Uuid))))


def people(tx: Tx, *, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """The people with these ids; unknown ids are left out, erased people are there under a blank name."""
    rows = tx.execute(_PEOPLE, {"person_ids": list(ids)})
    return {row.id: msgspec.convert(row, Person, from_attributes=True) for row in rows}


def administrators(tx: Tx) -> list[Person]:
    """Active people with the role admin: the last who are paged when no fallback team can be reached."""
    rows = tx.execute(sa.select(*PERSON).where(person.c.role == "admin", person.c.active).order_by(person.c.login))
    return [msgspec.convert(row, Person, from_attributes=True) for row in rows]


def list_people(tx: Tx, *, after_login: str = "", limit: int = 500) -> list[Person]:
    """Everybody not erased, by login, after ``after_login``."""
    rows = tx.execute(
        sa.select(*PERSON)
        .where(person.c.erased_at.is_(None), person.c.login > after_login)
        .order_by(person.c.login)
        .limit(limit)
    )
    return [msgspec.convert(row, Person, from_attributes=True) for row in rows]


def change_person(
    tx: Tx,
    *,
    person_id: UUID,
    actor: Actor,
    name: str | None = None,
    role: Role | None = None,
    time_zone: str | None = None,
    active: bool | None = None,
) -> Person:
    """Change what is given; only real changes are written and told to the ledger.

    Deactivating ends the person's sessions. The ledger gets the names of the fields, and values only for
    role and active (a name is personal).

    Raises:
        NotFound: no such person. Invalid: an unknown time zone.
    """
    before = person_by_id(tx, person_id=person_id)
    wanted: dict[str, object] = {}
    if name is not None and name.strip() and name.strip() != before.name:
        wanted["name"] = name.strip()[:200]
    if role is not None and role != before.role:
        wanted["role"] = role
    if time_zone is not None and logic.check_time_zone(time_zone) != before.time_zone:
        wanted["time_zone"] = time_zone
    if active is not None and active != before.active:
        wanted["active"] = active
    if not wanted:
        return before
    tx.execute(sa.update(person).where(person.c.id == person_id).values(**wanted))
    if active is False:
        tx.execute(sa.delete(session).where(session.c.person_id == person_id))
    ledger.append(
        tx,
        name="person.changed",
        actor=actor,
        subject=("person", person_id),
        data={
            "fields": sorted(wanted),
            **{key: value for key, value in wanted.items() if key in {"role", "active"}},
        },
    )
    return person_by_id(tx, person_id=person_id)
