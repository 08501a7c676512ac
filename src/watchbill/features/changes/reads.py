"""Questions to the change ledger."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from watchbill.features import incidents
from watchbill.features.changes import store
from watchbill.features.changes.dora import Dora, Lockstep, lockstep, measure
from watchbill.features.changes.model import Change, ChangeKind
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx


def change(tx: Tx, *, id: UUID) -> Change:
    """The change with this id.

    Raises:
        NotFound: no such change.
    """
    found = store.change_by_id(tx, id=id)
    if found is None:
        raise NotFound(f"there is no change {id}", hint="see `watchbill deploy list`")
    return found


def changes_between(
    tx: Tx,
    *,
    start_at: datetime,
    end_at: datetime,
    service_ids: Collection[UUID] | None = None,
    environment: str | None = None,
    kinds: Collection[ChangeKind] | None = None,
    limit: int | None = None,
) -> list[Change]:
    """Changes under way or ended in [start_at, end_at), newest first; of some services, or all."""
    return store.between(
        tx,
        start_at=start_at,
        end_at=end_at,
        service_ids=service_ids,
        environment=environment,
        kinds=kinds,
        limit=limit,
    )


def latest_good_version(
    tx: Tx, *, service: str, environment: str, before_at: datetime | None = None, not_version: str | None = None
) -> Change | None:
    """The newest deploy or rollback that finished and was not undone, other than ``not_version``.

    ``service`` is the catalog's name of it. None when none is known.
    """
    found = store.placed(
        tx,
        service_name=service,
        environment=environment,
        before_at=before_at or tx.now,
        not_version=not_version,
    )
    return found[0] if found else None


def dora_of(tx: Tx, *, service_id: UUID, environment: str = "production", days: int = 90) -> Dora:
    """The five measures of one service (`watchbill.features.changes.dora`)."""
    since = tx.now - timedelta(days=days)
    found = store.between(
        tx, start_at=since, end_at=tx.now + timedelta(seconds=1), service_ids=[service_id], environment=environment
    )
    touching = incidents.incidents_touching(tx, service_ids=[service_id], start_at=since, end_at=tx.now)
    troubles = [
        (one.opened_at, one.resolved_at)
        for _, _, one in touching
        if one.phase == "declared" and one.environment == environment
    ]
    return measure(found, troubles, days=days, now=tx.now)


def lockstep_of(tx: Tx, *, service: str, environment: str = "production", days: int = 90) -> list[Lockstep]:
    """The services that go out together with this one."""
    since = tx.now - timedelta(days=days)
    found = store.between(
        tx,
        start_at=since,
        end_at=tx.now + timedelta(seconds=1),
        service_ids=None,
        environment=environment,
        kinds=["deploy"],
        limit=20_000,
    )
    return lockstep(found, service=service)
