"""API tokens: made once, kept as a hash, revoked for ever."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.identity.logic import SECRET_PREFIX, hash_secret
from watchbill.features.identity.model import Caller, Role, Token
from watchbill.features.identity.store import TOKEN, person, session, token
from watchbill.kernel.errors import Conflict, Invalid, NotFound, Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")
_USED_EVERY = timedelta(minutes=1)
BOOTSTRAP = "first-admin"
LOCAL = "local"


def create_token(tx: Tx, *, name: str, role: Role, team_id: UUID | None = None, actor: Actor) -> tuple[Token, str]:
    """Make a token; the secret (``wb_`` and 256 random bits, base64url) is returned this once only.

    Raises:
        Invalid: the name. Conflict: the name is taken, also by a revoked token (the ledger speaks of it).
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' cannot name a token",
            field="name",
            hint="use up to 100 letters, digits, spaces and . _ -, starting with a letter or digit",
        )
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    row = tx.execute(
        insert(token)
        .values(id=new_id(), name=name, hash=hash_secret(secret), role=role, team_id=team_id, created_at=tx.now)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(*TOKEN)
    ).one_or_none()
    if row is None:
        raise Conflict(
            f"there is a token '{name}' already",
            field="name",
            hint="choose another name; names are never reused",
        )
    ledger.append(
        tx,
        name="token.created",
        actor=actor,
        subject=("token", row.id),
        team_id=team_id,
        data={"name": name, "role": role},
    )
    return msgspec.convert(row, Token, from_attributes=True), secret


def tokens(tx: Tx, *, include_revoked: bool = False) -> list[Token]:
    """All tokens by name, without their secrets."""
    query = sa.select(*TOKEN).order_by(token.c.name)
    if not include_revoked:
        query = query.where(token.c.revoked_at.is_(None))
    return [msgspec.convert(row, Token, from_attributes=True) for row in tx.execute(query)]


def token_by_name(tx: Tx, *, name: str) -> Token:
    """One token.

    Raises:
        NotFound: no token of this name.
    """
    row = tx.execute(sa.select(*TOKEN).where(token.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no token '{name}'", field="name", hint="see `watchbill token list`")
    return msgspec.convert(row, Token, from_attributes=True)


def revoke_token(tx: Tx, *, token_id: UUID, actor: Actor) -> None:
    """End a token and every session opened with it, at once; again is no change.

    Raises:
        NotFound: no such token.
    """
    ended = tx.execute(
        sa.update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None)).values(revoked_at=tx.now)
    )
    tx.execute(sa.delete(session).where(session.c.token_id == token_id))
    if ended.rowcount == 1:
        ledger.append(tx, name="token.revoked", actor=actor, subject=("token", token_id))
    elif tx.execute(sa.select(token.c.id).where(token.c.id == token_id)).scalar() is None:
        raise NotFound("there is no such token", field="token_id", hint="see `watchbill token list`")


def authenticate_token(tx: Tx, *, secret: str) -> Caller:
    """Who this secret stands for; writes the time of use at most once a minute.

    Raises:
        Unauthenticated: unknown or revoked; the message does not say which.
    """
    row = tx.execute(
        sa.select(*TOKEN).where(token.c.hash == hash_secret(secret), token.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        raise Unauthenticated(
            "this token is not known here, or is revoked",
            code="bad_token",
            hint="make one with `watchbill token create NAME --role ROLE` and set WATCHBILL_TOKEN",
        )
    if row.last_used_at is None or row.last_used_at < tx.now - _USED_EVERY:
        # Skips a row that another request is touching: being first does not matter, waiting would.
        tx.execute(
            sa.update(token)
            .where(
                token.c.id
                == sa.select(token.c.id).where(token.c.id == row.id).with_for_update(skip_locked=True).scalar_subquery()
            )
            .values(last_used_at=tx.now)
        )
    return caller_of_token(msgspec.convert(row, Token, from_attributes=True))


def caller_of_token(of: Token) -> Caller:
    """The caller that a token is."""
    team_ids = frozenset() if of.team_id is None else frozenset({of.team_id})
    return Caller(kind="token", id=of.id, name=of.name, role=of.role, team_ids=team_ids, token_team_id=of.team_id)


def bootstrap_admin(tx: Tx) -> str | None:
    """On the first start, an admin token's secret to print once; None when a person or token exists."""
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('watchbill.bootstrap_admin'))"))
    taken = tx.execute(
        sa.select(
            sa.or_(
                sa.exists(sa.select(person.c.id)),
                sa.exists(sa.select(token.c.id).where(token.c.name != LOCAL)),
            )
        )
    ).scalar_one()
    if taken:
        return None
    return create_token(tx, name=BOOTSTRAP, role="admin", actor=ledger.system("first start"))[1]


def local_token(tx: Tx, *, present: str | None) -> str:
    """The admin secret that `watchbill up` keeps in its home for whoever may read that folder.

    ``present`` is what the file holds now; it is returned when it still works, else replaced.
    """
    row = tx.execute(sa.select(token).where(token.c.name == LOCAL)).one_or_none()
    if row is not None and present is not None and row.revoked_at is None and row.hash == hash_secret(present):
        return present
    if row is None:
        return create_token(tx, name=LOCAL, role="admin", actor=ledger.system("first start"))[1]
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    tx.execute(sa.update(token).where(token.c.id == row.id).values(hash=hash_secret(secret), revoked_at=None))
    ledger.append(
        tx,
        name="token.replaced",
        actor=ledger.system("start"),
        subject=("token", row.id),
        why="its file is gone",
    )
    return secret
