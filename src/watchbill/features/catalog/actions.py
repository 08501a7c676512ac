"""Write to the catalog: many teams and services at once, as one apply does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from watchbill.features.catalog.model import Kind, ServiceWrite, TeamWrite
from watchbill.features.catalog.store import (
    operation,
    service,
    service_dependency,
    team,
    team_member,
)
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.bulk import insert_many, update_many
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, NewEntry

OperationIds = dict[tuple[UUID, str], UUID]
"""(service id, operation name) → operation id."""


def write_teams(tx: Tx, *, writes: Sequence[TeamWrite], actor: Actor) -> None:
    """Make these teams as they shall be, members too. A removed one comes back under its old id."""
    columns = ("id", "name", "title", "former_names", "source", "spec", "spec_hash", "fallback")
    rows = [{name: getattr(write, name) for name in columns} for write in writes]
    if any(write.fallback for write in writes):  # handing over the role must not make two for a moment
        tx.execute(sa.update(team).where(team.c.fallback, team.c.id.in_([w.id for w in writes])).values(fallback=False))
    _write(tx, team, rows)
    tx.execute(sa.delete(team_member).where(_any(team_member.c.team_id, (write.id for write in writes))))
    insert_many(
        tx,
        team_member,
        [
            {"team_id": write.id, "person_id": person_id, "role": role, "position": position}
            for write in writes
            for position, (person_id, role) in enumerate(write.members)
        ],
    )
    _note(tx, "team", writes, {write.id: write.id for write in writes}, actor)


def write_services(tx: Tx, *, writes: Sequence[ServiceWrite], actor: Actor) -> OperationIds:
    """Make these services as they shall be, with operations and dependencies; returns their live operations.

    An operation keeps its id by its name; one no longer named is retired, not deleted.
    """
    columns = (
        "id",
        "name",
        "title",
        "former_names",
        "telemetry_name",
        "team_id",
        "tier",
        "source",
        "spec",
        "spec_hash",
    )
    _write(tx, service, [{name: getattr(write, name) for name in columns} for write in writes])
    ids = _write_operations(tx, writes)
    tx.execute(sa.delete(service_dependency).where(_any(service_dependency.c.service_id, (w.id for w in writes))))
    insert_many(
        tx,
        service_dependency,
        [{"service_id": write.id, "depends_on_id": other} for write in writes for other in write.depends_on],
    )
    _note(tx, "service", writes, {write.id: write.team_id for write in writes}, actor)
    return ids


def remove(tx: Tx, *, kind: Kind, ids: Collection[UUID], actor: Actor, why: str) -> None:
    """Take teams or services out of the catalog. Their rows and ids stay, for history and for a return.

    The caller has seen to it that no live service is owned by a team that goes.
    """
    if not ids:
        return
    table = team if kind == "Team" else service
    tx.execute(sa.update(table).where(_any(table.c.id, ids)).values(removed_at=tx.now, updated_at=tx.now))
    if kind == "Service":
        tx.execute(
            sa.update(operation)
            .where(_any(operation.c.service_id, ids), operation.c.removed_at.is_(None))
            .values(removed_at=tx.now)
        )
        tx.execute(sa.delete(service_dependency).where(_any(service_dependency.c.service_id, ids)))
    else:
        tx.execute(sa.delete(team_member).where(_any(team_member.c.team_id, ids)))
    noun = kind.lower()
    entries = [
        NewEntry(name=f"{noun}.removed", subject=(noun, id), why=why, team_id=id if kind == "Team" else None)
        for id in sorted(ids)
    ]
    ledger.append_many(tx, actor=actor, entries=entries)


def _write(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    ids = [row["id"] for row in rows]
    before = {row.id: row.name for row in tx.execute(sa.select(table.c.id, table.c.name).where(_any(table.c.id, ids)))}
    stamp = {"removed_at": None, "updated_at": tx.now}
    renamed = [row["id"] for row in rows if before.get(row["id"], row["name"]) != row["name"]]
    if renamed:  # two that swap their names would meet halfway
        tx.execute(sa.update(table).where(_any(table.c.id, renamed)).values(name=sa.cast(table.c.id, sa.Text)))
    update_many(tx, table, [{**row, **stamp} for row in rows if row["id"] in before])
    insert_many(tx, table, [{**row, **stamp, "created_at": tx.now} for row in rows if row["id"] not in before])


def _write_operations(tx: Tx, writes: Sequence[ServiceWrite]) -> OperationIds:
    rows = tx.execute(
        sa.select(operation.c.id, operation.c.service_id, operation.c.name).where(
            _any(operation.c.service_id, (write.id for write in writes))
        )
    )
    before: OperationIds = {(row.service_id, row.name): row.id for row in rows}
    updated: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    ids: OperationIds = {}
    for write in writes:
        for position, wanted in enumerate(write.operations):
            key = (write.id, wanted.name)
            ids[key] = before.get(key) or new_id()
            (updated if key in before else added).append(
                {
                    "id": ids[key],
                    "service_id": write.id,
                    "name": wanted.name,
                    "match": wanted.match,
                    "environment": wanted.environment,
                    "position": position,
                    "removed_at": None,
                }
            )
    gone = [id for key, id in before.items() if key not in ids]
    if gone:
        tx.execute(
            sa.update(operation)
            .where(_any(operation.c.id, gone), operation.c.removed_at.is_(None))
            .values(removed_at=tx.now)
        )
    update_many(tx, operation, updated)
    insert_many(tx, operation, added)
    return ids


def _note(
    tx: Tx,
    noun: str,
    writes: Sequence[TeamWrite] | Sequence[ServiceWrite],
    team_ids: Mapping[UUID, UUID],
    actor: Actor,
) -> None:
    ledger.append_many(
        tx,
        actor=actor,
        entries=[
            NewEntry(
                name=f"{noun}.added" if write.added else f"{noun}.changed",
                subject=(noun, write.id),
                why=f"applied from {write.source}",
                team_id=team_ids[write.id],
                data={"name": write.name, "fields": sorted({change.field for change in write.changes})},
            )
            for write in writes
        ],
    )


def _any(column: sa.Column[UUID], ids: Iterable[UUID]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid)))
