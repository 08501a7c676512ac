"""Registered runners: who may be handed commands. A runner calls us with a secret of its own; nobody calls it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import catalog
from watchbill.features.identity import Caller
from watchbill.features.rollback import store
from watchbill.features.rollback.model import Runner
from watchbill.features.rollback.plans import EXECUTORS
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_PREFIX = "wbr_"
ALIVE_FOR = timedelta(seconds=90)
"""A runner asks for work at least every half minute; one that was silent for longer is away."""


def register_runner(
    tx: Tx, *, name: str, team_id: UUID | None, executors: Sequence[str], actor: Actor
) -> tuple[Runner, str]:
    """Make a runner; its secret (``wbr_`` and 256 random bits) is returned this once only.

    Raises:
        Invalid: the name, or an executor that is not known. Conflict: the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(f"'{name}' cannot name a runner", field="name", hint="lower-case letters, digits, '-', '_', '.'")
    unknown = sorted(set(executors) - set(EXECUTORS))
    if unknown or not executors:
        said = f"'{unknown[0]}' is no executor" if unknown else "a runner needs an executor"
        raise Invalid(said, field="executors", hint=f"one of: {', '.join(EXECUTORS)}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    row = tx.execute(
        insert(store.runner)
        .values(
            id=new_id(),
            name=name,
            hash=_hash(secret),
            team_id=team_id,
            executors=sorted(set(executors)),
            created_at=tx.now,
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(*store.RUNNER)
    ).one_or_none()
    if row is None:
        raise Conflict(f"there is a runner '{name}' already", field="name", hint="choose another name, or revoke it")
    made = store.to_runner(row)
    data = {"name": name, "executors": made.executors}
    ledger.append(tx, name="runner.registered", actor=actor, subject=("runner", made.id), team_id=team_id, data=data)
    return made, secret


def revoke_runner(tx: Tx, *, name: str, actor: Actor) -> Runner:
    """End a runner: it is handed nothing more. Again is no change.

    Raises:
        NotFound: there is none of this name.
    """
    found = runner_by_name(tx, name=name)
    ended = tx.execute(
        sa.update(store.runner)
        .where(store.runner.c.id == found.id, store.runner.c.revoked_at.is_(None))
        .values(revoked_at=tx.now, name=f"{name} (revoked {found.id.hex[-6:]})")
    )
    if ended.rowcount:
        ledger.append(tx, name="runner.revoked", actor=actor, subject=("runner", found.id), team_id=found.team_id)
    return found


def runner_by_name(tx: Tx, *, name: str) -> Runner:
    """One runner.

    Raises:
        NotFound: there is none of this name.
    """
    row = tx.execute(sa.select(*store.RUNNER).where(store.runner.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no runner '{name}'", hint="see `watchbill runner list`")
    return store.to_runner(row)


def runners(tx: Tx, *, team_ids: Collection[UUID] | None = None) -> list[Runner]:
    """Those that are not revoked, by name; with ``team_ids`` theirs and those that serve everybody."""
    query = sa.select(*store.RUNNER).where(store.runner.c.revoked_at.is_(None)).order_by(store.runner.c.name)
    if team_ids is not None:
        query = query.where(sa.or_(store.runner.c.team_id.is_(None), store.runner.c.team_id.in_(team_ids)))
    return [store.to_runner(row) for row in tx.execute(query)]


def able_runners(tx: Tx, *, team_id: UUID, executor: str, name: str | None) -> list[Runner]:
    """Runners that would take such a run now: alive, of the team or of everybody, and they know how."""
    return [
        each
        for each in runners(tx, team_ids=[team_id])
        if executor in each.executors
        and (name is None or each.name == name)
        and each.last_seen_at is not None
        and tx.now - each.last_seen_at <= ALIVE_FOR
    ]


def authenticate_runner(tx: Tx, *, secret: str) -> Runner:
    """Who this secret stands for (looked up by its hash, so timing tells nothing); notes that it was seen.

    Raises:
        Unauthenticated: unknown or revoked.
    """
    row = tx.execute(
        sa.select(*store.RUNNER).where(store.runner.c.hash == _hash(secret), store.runner.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        raise Unauthenticated(
            "this runner is not known here, or is revoked",
            code="bad_runner",
            hint="register it again with `watchbill runner register NAME`",
        )
    found = store.to_runner(row)
    if found.last_seen_at is None or tx.now - found.last_seen_at > timedelta(seconds=10):
        tx.execute(sa.update(store.runner).where(store.runner.c.id == found.id).values(last_seen_at=tx.now))
    return found


def may_register(tx: Tx, *, caller: Caller, team_id: UUID | None) -> None:
    """Raise unless the caller may hand a team's commands to a machine: an administrator, or a lead of the team.

    Raises:
        Forbidden: anybody else.
    """
    if caller.role == "admin" and caller.token_team_id is None:
        return
    if team_id is not None and caller.person_id is not None:
        members = catalog.members(tx, team_ids=[team_id])[team_id]
        if any(m.person_id == caller.person_id and m.role == "lead" for m in members):
            return
    raise Forbidden("only administrators, and leads for their own team, register and revoke runners", hint="ask a lead")


def _hash(secret: str) -> bytes:
    """Secrets are 256 random bits, so a plain SHA-256 is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()
