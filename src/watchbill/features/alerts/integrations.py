"""Sources of events: who may send, under which name, and with which key."""

from __future__ import annotations

import hashlib
import secrets
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.alerts import store
from watchbill.features.alerts.model import Integration
from watchbill.kernel.errors import Conflict, NotFound, Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


def create_integration(
    tx: Tx, *, name: str, format: str, actor: Actor, service_id: UUID | None = None
) -> tuple[Integration, str]:
    """Make a source of events; returns it with its key, which is shown only now.

    Raises:
        Conflict: the name is taken.
    """
    key = "wbi_" + secrets.token_urlsafe(24)
    created = Integration(id=new_id(), name=name, format=format, service_id=service_id, created_at=tx.now)
    statement = (
        insert(store.integration)
        .values(**msgspec.structs.asdict(created), key_hash=key_hash(key))
        .on_conflict_do_nothing()
        .returning(store.integration.c.id)
    )
    if tx.execute(statement).scalar() is None:
        raise Conflict(
            f"there is an integration named '{name}' already",
            field="name",
            hint="choose another name, or revoke that one first",
        )
    ledger.append(
        tx,
        name="integration.created",
        actor=actor,
        subject=("integration", created.id),
        data={"name": name, "format": format},
    )
    return created, key


def builtin_integration(tx: Tx, *, name: str) -> Integration:
    """The source for Watchbill's own alerts, such as ``slo`` or ``events``; made on first use, has no key."""
    row = tx.execute(sa.select(store.integration).where(store.integration.c.name == name)).one_or_none()
    if row is not None:
        return store.to_integration(row)
    made = Integration(id=new_id(), name=name, format="builtin", service_id=None, created_at=tx.now)
    tx.execute(insert(store.integration).values(**msgspec.structs.asdict(made)).on_conflict_do_nothing())
    row = tx.execute(sa.select(store.integration).where(store.integration.c.name == name)).one()
    return store.to_integration(row)


def key_hash(key: str) -> bytes:
    """Keys are 192 random bits, so a plain SHA-256 is enough: there is nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


def integration_by_key(tx: Tx, *, key: str) -> Integration:
    """The integration a key belongs to (looked up by its hash, so timing tells nothing).

    Raises:
        Unauthenticated: unknown or revoked.
    """
    row = tx.execute(
        sa.select(store.integration).where(
            store.integration.c.key_hash == key_hash(key), store.integration.c.revoked_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise Unauthenticated(
            "this integration key is unknown or revoked",
            hint="make one with `watchbill integration create NAME --format FORMAT`",
        )
    return store.to_integration(row)


def integrations(tx: Tx) -> list[Integration]:
    """All sources that are not revoked, by name."""
    rows = tx.execute(
        sa.select(store.integration).where(store.integration.c.revoked_at.is_(None)).order_by(store.integration.c.name)
    )
    return [store.to_integration(row) for row in rows]


def revoke_integration(tx: Tx, *, name: str, actor: Actor) -> None:
    """End a key at once; alerts it opened stay.

    Raises:
        NotFound: no such integration.
    """
    row = tx.execute(
        sa.update(store.integration)
        .where(store.integration.c.name == name, store.integration.c.revoked_at.is_(None))
        .values(
            revoked_at=tx.now, key_hash=None, name=store.integration.c.name + " (revoked " + str(new_id())[:13] + ")"
        )
        .returning(store.integration.c.id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no integration named '{name}'", hint="see `watchbill integration list`")
    ledger.append(tx, name="integration.revoked", actor=actor, subject=("integration", row.id), data={"name": name})
