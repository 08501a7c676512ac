"""Tables of watched Kubernetes clusters and their Deployments, and the SQL over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from watchbill.features.changes.rollouts import KnownDeployment
from watchbill.features.changes.store import change
from watchbill.runtime.db import Instant, Tx, metadata

deployment_watch = sa.Table(
    "deployment_watch",
    metadata,
    sa.Column("cluster", sa.Text, primary_key=True),
    sa.Column("namespace", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text),
    sa.Column("lease", sa.Uuid),
    sa.Column("leased_until", Instant),
    sa.Column("resource_version", sa.Text),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("listed_at", Instant),
    sa.Column("heard_at", Instant),
    sa.Column("trouble", sa.Text),
    sa.Column("trouble_code", sa.Text),
    sa.Column("trouble_since_at", Instant),
)

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("cluster", sa.Text, primary_key=True),
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("templates", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("change_id", sa.Uuid, sa.ForeignKey("change.id")),
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("seen_at", Instant, nullable=False),
    sa.CheckConstraint("state IN ('settled', 'rolling', 'failed')", name="state"),
    sa.Index("ix_deployment_change_id", "change_id"),
)


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """The watch over one namespace of a cluster (``""`` is all of them): who holds it, and how far it has come."""

    cluster: str
    namespace: str
    holder: str | None
    lease: UUID | None
    leased_until: datetime | None
    resource_version: str | None
    began_at: datetime
    listed_at: datetime | None
    heard_at: datetime | None
    trouble: str | None
    trouble_code: str | None
    trouble_since_at: datetime | None


def watches(tx: Tx) -> list[Watched]:
    """All watches, by cluster and namespace."""
    rows = tx.execute(sa.select(deployment_watch).order_by(deployment_watch.c.cluster, deployment_watch.c.namespace))
    return [msgspec.convert(row, Watched, from_attributes=True) for row in rows]


def take_lease(
    tx: Tx, *, cluster: str, namespace: str, holder: str, lease: UUID, lease_for: timedelta
) -> Watched | None:
    """The watch, held with ``lease`` for that long; None while somebody else holds it."""
    table = deployment_watch
    tx.execute(insert(table).values(cluster=cluster, namespace=namespace, began_at=tx.now).on_conflict_do_nothing())
    row = tx.execute(
        sa.update(table)
        .where(
            table.c.cluster == cluster,
            table.c.namespace == namespace,
            sa.or_(table.c.lease.is_(None), table.c.lease == lease, table.c.leased_until <= tx.now),
        )
        .values(lease=lease, leased_until=tx.now + lease_for, holder=holder)
        .returning(table)
    ).one_or_none()
    return msgspec.convert(row, Watched, from_attributes=True) if row else None


def write_held(tx: Tx, *, cluster: str, namespace: str, lease: UUID, **values: Any) -> bool:
    """Change the watch while the lease holds; False when it is another's, and then nothing may be changed.

    The row is locked until the transaction ends, so that nobody takes the watch over in the midst of it.
    """
    table = deployment_watch
    mine = (table.c.cluster == cluster, table.c.namespace == namespace, table.c.lease == lease)
    if not values:
        held = tx.execute(sa.select(table.c.cluster).where(*mine).with_for_update()).one_or_none()
        return held is not None
    return tx.execute(sa.update(table).where(*mine).values(**values)).rowcount == 1


def release(tx: Tx, *, cluster: str, namespace: str, lease: UUID) -> None:
    """Give the lease back, if it still holds."""
    table = deployment_watch
    mine = (table.c.cluster == cluster, table.c.namespace == namespace, table.c.lease == lease)
    tx.execute(sa.update(table).where(*mine).values(lease=None, leased_until=None))


def drop_unwatched(tx: Tx, *, cluster: str, watched: Collection[str]) -> None:
    """Delete the watches of namespaces that are no longer to be watched, and that nobody holds."""
    table = deployment_watch
    tx.execute(
        sa.delete(table).where(
            table.c.cluster == cluster,
            table.c.namespace.not_in(sorted(watched)),
            sa.or_(table.c.lease.is_(None), table.c.leased_until <= tx.now),
        )
    )


def forget(tx: Tx, *, cluster: str) -> int:
    """Delete what is known of a cluster; returns how many watches there were."""
    tx.execute(sa.delete(deployment).where(deployment.c.cluster == cluster))
    return tx.execute(sa.delete(deployment_watch).where(deployment_watch.c.cluster == cluster)).rowcount


def known(tx: Tx, *, cluster: str, uid: str) -> KnownDeployment | None:
    """What was last seen of a Deployment."""
    row = tx.execute(
        sa.select(deployment).where(deployment.c.cluster == cluster, deployment.c.uid == uid)
    ).one_or_none()
    return _known(row) if row else None


def known_in(tx: Tx, *, cluster: str, scope: str) -> list[KnownDeployment]:
    """Everything known within one watch."""
    rows = tx.execute(sa.select(deployment).where(deployment.c.cluster == cluster, deployment.c.scope == scope))
    return [_known(row) for row in rows]


def write_known(tx: Tx, one: KnownDeployment, *, scope: str) -> None:
    """Keep what was seen."""
    values = {
        **{name: getattr(one, name) for name in one.__struct_fields__},
        "templates": msgspec.to_builtins(one.templates),
        "scope": scope,
        "seen_at": tx.now,
    }
    statement = insert(deployment).values(**values)
    kept = {name: statement.excluded[name] for name in values if name not in ("cluster", "uid")}
    tx.execute(statement.on_conflict_do_update(index_elements=["cluster", "uid"], set_=kept))


def delete_known(tx: Tx, *, cluster: str, uid: str) -> None:
    tx.execute(sa.delete(deployment).where(deployment.c.cluster == cluster, deployment.c.uid == uid))


def of_change(tx: Tx, *, change_id: UUID) -> list[KnownDeployment]:
    """The Deployments whose rollout is this change."""
    return [_known(row) for row in tx.execute(sa.select(deployment).where(deployment.c.change_id == change_id))]


def left_open(tx: Tx, *, cluster: str, scope: str, before_at: datetime) -> Sequence[UUID]:
    """Changes that somebody said to begin and never to end, and whose rollouts all were complete before then."""
    rows = tx.execute(
        sa.select(deployment.c.change_id)
        .join(change, change.c.id == deployment.c.change_id)
        .where(deployment.c.cluster == cluster, deployment.c.scope == scope, change.c.state == "started")
        .group_by(deployment.c.change_id)
        .having(sa.func.bool_and(sa.and_(deployment.c.state == "settled", deployment.c.ended_at < before_at)))
    )
    return [row.change_id for row in rows]


def _known(row: Any) -> KnownDeployment:
    return msgspec.convert(row, KnownDeployment, from_attributes=True)
