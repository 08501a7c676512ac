"""What an apply needs to know before it plans, and remembers after it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.catalog.model import Kind, Known, Source
from watchbill.features.catalog.store import manifest_source, service, team
from watchbill.runtime.db import Tx

_APPLY_LOCK = 0x57424341  # one apply at a time: two would plan against each other's past


def lock_catalog(tx: Tx) -> None:
    """Wait for other applies to end and keep them out until this transaction ends."""
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _APPLY_LOCK})


def known(tx: Tx) -> list[Known]:
    """Everything the catalog holds, the removed too (live ones last, so that they win in a map by name)."""
    shared = ("id", "name", "title", "former_names", "source", "spec_hash")
    found: list[Known] = []
    kinds: tuple[tuple[Kind, sa.Table], ...] = (("Team", team), ("Service", service))
    for kind, table in kinds:
        columns = [table.c[name] for name in shared]
        extra: sa.ColumnElement[Any] = table.c.fallback if kind == "Team" else sa.false().label("fallback")
        query = sa.select(*columns, table.c.removed_at, extra)
        rows = tx.execute(query.order_by(table.c.removed_at.asc().nulls_last()))
        found.extend(
            Known(
                kind=kind,
                id=row.id,
                name=row.name,
                title=row.title,
                former_names=row.former_names,
                source=row.source,
                spec_hash=row.spec_hash,
                removed=row.removed_at is not None,
                fallback=row.fallback,
            )
            for row in rows
        )
    return found


def source(tx: Tx, *, name: str) -> Source | None:
    """What is remembered of the last apply under this name."""
    row = tx.execute(sa.select(manifest_source).where(manifest_source.c.name == name)).one_or_none()
    return None if row is None else msgspec.convert(row, Source, from_attributes=True)


def remember_source(tx: Tx, *, name: str, changed: bool) -> None:
    """Note that ``name`` was applied now; ``changed`` when that changed anything."""
    again = {"applied_at": tx.now, **({"changed_at": tx.now} if changed else {})}
    statement = insert(manifest_source).values(name=name, applied_at=tx.now, changed_at=tx.now)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=again))
