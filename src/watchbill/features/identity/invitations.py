"""Joining, setting a password, leaving and being forgotten."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from watchbill.features.identity import passwords
from watchbill.features.identity.actions import change_person, ensure_people, person_by_id
from watchbill.features.identity.model import Person, Role
from watchbill.features.identity.sessions import open_session
from watchbill.features.identity.store import contact_method, person, personal_rule, reach_test, session
from watchbill.kernel.errors import Conflict, Forbidden
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


def invite_person(tx: Tx, *, login: str, role: Role, name: str | None = None, actor: Actor) -> Person:
    """Let somebody in: makes the person when new, sets the role and the time of the invitation.

    The caller signs the link: claims ``invitation_claims(person)``, purpose ``invitation``.

    Raises:
        Invalid: not a login. Conflict: the person was deactivated.
    """
    person_id = ensure_people(tx, logins=[login], actor=actor)[login]
    invited = change_person(tx, person_id=person_id, role=role, name=name, actor=actor)
    if not invited.active:
        raise Conflict(f"{invited.login} is deactivated", hint="activate the person first")
    tx.execute(sa.update(person).where(person.c.id == person_id).values(invited_at=tx.now))
    ledger.append(tx, name="person.invited", actor=actor, subject=("person", person_id), data={"role": role})
    return person_by_id(tx, person_id=person_id)


def invitation_claims(invited: Person) -> dict[str, str]:
    """What the signed link carries; bound to the time of the invitation, so that a newer one or a use voids it."""
    return {
        "person_id": str(invited.id),
        "invited_at": invited.invited_at.isoformat() if invited.invited_at else "",
    }


def invited_person(tx: Tx, *, claims: dict[str, str]) -> Person:
    """Whom verified claims invite, for the page that asks for a password.

    Raises:
        Conflict: the link was used, replaced by a newer one, or the person left.
    """
    found = person_by_id(tx, person_id=UUID(claims["person_id"]))
    if not found.active or found.invited_at is None or found.invited_at.isoformat() != claims["invited_at"]:
        raise Conflict(
            "this invitation was used or replaced", code="invitation_void", hint="ask an admin for a new one"
        )
    return found


def accept_invitation(tx: Tx, *, claims: dict[str, str], password: str) -> str:
    """Set the first (or a new) password by a verified invitation, void the link, and sign in.

    Returns the session's secret. Older sessions of the person end.

    Raises:
        Conflict: the invitation is void. Invalid: the password is too short.
    """
    invited = invited_person(tx, claims=claims)
    actor = ledger.person(invited.id)
    set_password(tx, person_id=invited.id, password=password, actor=actor)
    tx.execute(sa.update(person).where(person.c.id == invited.id).values(invited_at=None))
    return open_session(tx, person_id=invited.id, actor=actor)


def set_password(tx: Tx, *, person_id: UUID, password: str, actor: Actor) -> None:
    """Set a password and end all the person's sessions.

    Raises:
        NotFound: no such person. Invalid: too short or too long.
    """
    person_by_id(tx, person_id=person_id)
    tx.execute(
        sa.update(person).where(person.c.id == person_id).values(password_hash=passwords.hash_password(password))
    )
    tx.execute(sa.delete(session).where(session.c.person_id == person_id))
    ledger.append(tx, name="person.password_set", actor=actor, subject=("person", person_id))


def erase_person(tx: Tx, *, person_id: UUID, actor: Actor) -> None:
    """Drop the identity, keep the id: name, login, address, contact methods, password and sessions go.

    The ledger keeps its entries, which name people by id only. Again is no change.

    Raises:
        NotFound: no such person.
    """
    before = person_by_id(tx, person_id=person_id)
    if before.erased_at is not None:
        return
    tx.execute(sa.delete(session).where(session.c.person_id == person_id))
    for kept in (contact_method, personal_rule, reach_test):
        tx.execute(sa.delete(kept).where(kept.c.person_id == person_id))
    tx.execute(
        sa.update(person)
        .where(person.c.id == person_id)
        .values(
            login=f"erased-{person_id}",
            name="(erased)",
            email=None,
            time_zone="UTC",
            password_hash=None,
            invited_at=None,
            active=False,
            erased_at=tx.now,
        )
    )
    ledger.append(tx, name="person.erased", actor=actor, subject=("person", person_id))


def change_password(tx: Tx, *, person_id: UUID, current: str, password: str) -> None:
    """A person's own change: the password now must be right when there is one.

    Raises:
        Forbidden: it is not. Invalid: the new one is too short or too long.
    """
    kept = tx.execute(sa.select(person.c.password_hash).where(person.c.id == person_id)).scalar()
    if kept is not None and not passwords.verify_password(kept, current):
        raise Forbidden("the current password is not right", code="bad_password", field="current")
    set_password(tx, person_id=person_id, password=password, actor=ledger.person(person_id))
