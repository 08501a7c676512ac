"""Signing in: a browser's session, as a person with a password or with a token."""

from __future__ import annotations

import secrets
from datetime import timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features.identity import passwords
from watchbill.features.identity.logic import hash_secret
from watchbill.features.identity.model import Caller, Session, Token
from watchbill.features.identity.store import TOKEN, person, session, token
from watchbill.features.identity.tokens import authenticate_token, caller_of_token
from watchbill.kernel.errors import Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

SESSION_COOKIE = "watchbill_session"

SESSION_FOR = timedelta(days=14)
"""A session ends this long after sign-in, used or not."""


def sign_in(tx: Tx, *, login: str, password: str) -> str:
    """Check the password and open a session; returns its secret, for a cookie.

    Raises:
        Unauthenticated: a wrong login or password, an inactive person, or one without a password; the
            message and the time taken do not say which.
    """
    row = tx.execute(
        sa.select(person.c.id, person.c.password_hash).where(person.c.login == login.strip().lower(), person.c.active)
    ).one_or_none()
    right = passwords.verify_password(row.password_hash if row else None, password)
    if row is None or not right:
        raise Unauthenticated(
            "wrong login or password",
            code="bad_sign_in",
            hint="ask an admin for a new invitation if you forgot it",
        )
    if passwords.needs_rehash(row.password_hash):
        tx.execute(
            sa.update(person).where(person.c.id == row.id).values(password_hash=passwords.hash_password(password))
        )
    return open_session(tx, person_id=row.id, actor=ledger.person(row.id))


def sign_in_with_token(tx: Tx, *, secret: str) -> str:
    """Open a session that may do what the token may; returns the session's secret.

    Raises:
        Unauthenticated: the token is unknown or revoked.
    """
    caller = authenticate_token(tx, secret=secret)
    return open_session(tx, token_id=caller.id, actor=caller.actor)


def open_session(tx: Tx, *, person_id: UUID | None = None, token_id: UUID | None = None, actor: Actor) -> str:
    """Write a new session (never reusing one: no fixation), return its secret; the owner's expired ones go."""
    secret = secrets.token_urlsafe(32)
    tx.execute(
        sa.delete(session).where(
            session.c.expires_at <= tx.now,
            session.c.person_id == person_id if person_id else session.c.token_id == token_id,
        )
    )
    session_id = new_id()
    new = {
        "id": session_id,
        "hash": hash_secret(secret),
        "person_id": person_id,
        "token_id": token_id,
        "csrf": secrets.token_urlsafe(24),
        "created_at": tx.now,
        "expires_at": tx.now + SESSION_FOR,
    }
    tx.execute(sa.insert(session), new)
    ledger.append(tx, name="session.opened", actor=actor, subject=("session", session_id))
    return secret


def find_session(tx: Tx, *, secret: str) -> Session | None:
    """The open session of this secret; None when unknown or expired."""
    row = tx.execute(
        sa.select(session).where(session.c.hash == hash_secret(secret), session.c.expires_at > tx.now)
    ).one_or_none()
    return None if row is None else msgspec.convert(row, Session, from_attributes=True)


def caller_of_session(tx: Tx, *, secret: str) -> Caller:
    """Who is signed in.

    Raises:
        Unauthenticated: no such session, it expired, or its person or token may no longer sign in.
    """
    found = find_session(tx, secret=secret)
    caller = None if found is None else _owner(tx, found)
    if found is None or caller is None:
        raise Unauthenticated("you are not signed in, or no longer", code="no_session", hint="sign in again")
    return msgspec.structs.replace(caller, session_id=found.id, csrf=found.csrf)


def _owner(tx: Tx, found: Session) -> Caller | None:
    if found.token_id is not None:
        row = tx.execute(
            sa.select(*TOKEN).where(token.c.id == found.token_id, token.c.revoked_at.is_(None))
        ).one_or_none()
        return None if row is None else caller_of_token(msgspec.convert(row, Token, from_attributes=True))
    row = tx.execute(
        sa.select(person.c.id, person.c.name, person.c.role).where(person.c.id == found.person_id, person.c.active)
    ).one_or_none()
    if row is None:
        return None
    return Caller(kind="person", id=row.id, name=row.name, role=row.role, person_id=row.id)


def sign_out(tx: Tx, *, secret: str) -> None:
    """End this session; an unknown one is no change."""
    row = tx.execute(sa.delete(session).where(session.c.hash == hash_secret(secret)).returning(session)).one_or_none()
    if row is not None:
        actor = ledger.person(row.person_id) if row.person_id else Actor("token", str(row.token_id))
        ledger.append(tx, name="session.closed", actor=actor, subject=("session", row.id))


def sign_out_everywhere(tx: Tx, *, person_id: UUID, actor: Actor) -> int:
    """End all sessions of a person; returns how many there were."""
    ended = tx.execute(sa.delete(session).where(session.c.person_id == person_id)).rowcount
    if ended:
        ledger.append(tx, name="sessions.closed", actor=actor, subject=("person", person_id), data={"sessions": ended})
    return ended


def forget_expired_sessions(tx: Tx) -> int:
    """Delete sessions that have ended; for the worker. Returns how many."""
    return tx.execute(sa.delete(session).where(session.c.expires_at <= tx.now)).rowcount
