"""Questions to the catalog. Removed teams and services are left out unless asked for by id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features.catalog.model import Dependencies, Member, Operation, Service, Team
from watchbill.features.catalog.store import operation, service, service_dependency, team, team_member
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

_TEAM = sa.select(team).where(team.c.id == sa.bindparam("team_id"))
_FALLBACK = sa.select(team).where(team.c.fallback, team.c.removed_at.is_(None))


def team_by_id(tx: Tx, *, id: UUID) -> Team:
    """The team with this id, removed or not.

    Raises:
        NotFound: no such team.
    """
    row = tx.execute(_TEAM, {"team_id": id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no team {id}", hint="see `watchbill team list`")
    return _team(row)


def service_by_id(tx: Tx, *, id: UUID) -> Service:
    """The service with this id, removed or not.

    Raises:
        NotFound: no such service.
    """
    row = tx.execute(sa.select(service).where(service.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no service {id}", hint="see `watchbill service list`")
    return _service(row)


def team_by_name(tx: Tx, *, name: str) -> Team | None:
    """The live team of this name, else the one that was called so before; None when there is none."""
    found = (team.c.name == name) | team.c.former_names.contains([name])
    rows = tx.execute(
        sa.select(team).where(found, team.c.removed_at.is_(None)).order_by((team.c.name == name).desc()).limit(1)
    )
    row = rows.one_or_none()
    return None if row is None else _team(row)


def service_by_name(tx: Tx, *, name: str) -> Service | None:
    """The live service that ``name`` means; None when there is none.

    First by its name, then by a former name, then by the ``service.name`` of its telemetry.
    """
    for found in (service.c.name == name, service.c.former_names.contains([name]), service.c.telemetry_name == name):
        query = sa.select(service).where(found, service.c.removed_at.is_(None)).order_by(service.c.id).limit(1)
        row = tx.execute(query).one_or_none()
        if row is not None:
            return _service(row)
    return None


def teams(tx: Tx, *, ids: Collection[UUID] | None = None) -> list[Team]:
    """Teams by name: all live ones, or those with the ids (removed ones too)."""
    query = sa.select(team).order_by(team.c.name, team.c.id)
    query = query.where(team.c.removed_at.is_(None)) if ids is None else query.where(_any(team.c.id, ids))
    return [_team(row) for row in tx.execute(query)]


def services(
    tx: Tx,
    *,
    ids: Collection[UUID] | None = None,
    team_id: UUID | None = None,
    after_name: str = "",
    limit: int | None = None,
) -> list[Service]:
    """Services by name: all live ones (of one team), or those with the ids (removed ones too)."""
    query = sa.select(service).where(service.c.name > after_name).order_by(service.c.name, service.c.id).limit(limit)
    query = query.where(service.c.removed_at.is_(None)) if ids is None else query.where(_any(service.c.id, ids))
    if team_id is not None:
        query = query.where(service.c.team_id == team_id)
    return [_service(row) for row in tx.execute(query)]


def operations(tx: Tx, *, service_ids: Collection[UUID] | None = None) -> list[Operation]:
    """Live operations, of these services or of all, in the order of their manifests."""
    query = sa.select(operation).where(operation.c.removed_at.is_(None))
    if service_ids is not None:
        query = query.where(_any(operation.c.service_id, service_ids))
    rows = tx.execute(query.order_by(operation.c.service_id, operation.c.position, operation.c.name))
    return [msgspec.convert(row, Operation, from_attributes=True) for row in rows]


def members(tx: Tx, *, team_ids: Collection[UUID]) -> dict[UUID, list[Member]]:
    """The members of these teams in the order of their manifests; every id asked for is a key."""
    rows = tx.execute(
        sa.select(team_member).where(_any(team_member.c.team_id, team_ids)).order_by(team_member.c.position)
    )
    found: dict[UUID, list[Member]] = {id: [] for id in team_ids}
    for row in rows:
        found[row.team_id].append(msgspec.convert(row, Member, from_attributes=True))
    return found


def team_ids_of(tx: Tx, *, person_id: UUID, shadows: bool = True) -> frozenset[UUID]:
    """The live teams this person is in; without ``shadows`` only those whose pages the person answers."""
    query = (
        sa.select(team_member.c.team_id)
        .join(team)
        .where(team_member.c.person_id == person_id, team.c.removed_at.is_(None))
    )
    if not shadows:
        query = query.where(team_member.c.role != "shadow")
    return frozenset(tx.execute(query).scalars())


def fallback_team(tx: Tx) -> Team | None:
    """The team that is paged for what nobody owns; None when no team says ``fallback: true``."""
    row = tx.execute(_FALLBACK).one_or_none()
    return None if row is None else _team(row)


def dependencies(tx: Tx, *, service_id: UUID) -> Dependencies:
    """What the service depends on and what depends on it, as declared, one step each way, live ones only."""
    edge = service_dependency.c
    rows = tx.execute(
        sa.select(edge.service_id, edge.depends_on_id)
        .join(
            service, service.c.id == sa.case((edge.service_id == service_id, edge.depends_on_id), else_=edge.service_id)
        )
        .where((edge.service_id == service_id) | (edge.depends_on_id == service_id), service.c.removed_at.is_(None))
    ).all()
    return Dependencies(
        depends_on=frozenset(row.depends_on_id for row in rows if row.service_id == service_id),
        dependents=frozenset(row.service_id for row in rows if row.depends_on_id == service_id),
    )


def services_in_telemetry(tx: Tx, *, names: Collection[str]) -> dict[UUID, str]:
    """The live services that telemetry calls so, with what it calls each."""
    rows = tx.execute(
        sa.select(service.c.id, service.c.telemetry_name)
        .where(
            service.c.telemetry_name == sa.any_(sa.literal(sorted(names), sa.ARRAY(sa.Text))),
            service.c.removed_at.is_(None),
        )
        .order_by(service.c.name)
    )
    return {row.id: row.telemetry_name for row in rows}


def dependencies_of(tx: Tx, *, service_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """What each of these services depends on directly, as declared, live ones only."""
    edge = service_dependency
    rows = tx.execute(
        sa.select(edge.c.service_id, edge.c.depends_on_id)
        .join(service, service.c.id == edge.c.depends_on_id)
        .where(_any(edge.c.service_id, service_ids), service.c.removed_at.is_(None))
        .order_by(edge.c.service_id, edge.c.depends_on_id)
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.service_id, []).append(row.depends_on_id)
    return found


def distances(tx: Tx, *, service_ids: Collection[UUID], most: int = 4) -> dict[UUID, int]:
    """How many steps away other live services are, as declared, up to ``most``.

    0 for ``service_ids`` themselves, 1 for what they depend on, 2 for what that depends on; -1 for what depends on
    them. A service that is both counts as the dependency.
    """
    found = dict.fromkeys(service_ids, 0)
    for sign, near, far in ((1, "service_id", "depends_on_id"), (-1, "depends_on_id", "service_id")):
        rows = tx.execute(
            sa.text(
                f"""
                WITH RECURSIVE reached (id, steps) AS (
                    SELECT id, 0 FROM unnest(CAST(:ids AS uuid[])) AS given (id)
                    UNION
                    SELECT edge.{far}, reached.steps + 1
                    FROM reached JOIN service_dependency AS edge ON edge.{near} = reached.id
                    JOIN service ON service.id = edge.{far} AND service.removed_at IS NULL
                    WHERE reached.steps < :most
                )
                SELECT id, min(steps) AS steps FROM reached GROUP BY id
                """
            ),
            {"ids": list(service_ids), "most": most},
        )
        for row in rows:
            found.setdefault(row.id, sign * row.steps)
    return found


def _any(column: sa.Column[UUID], ids: Collection[UUID]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid)))


def _team(row: sa.Row[Any]) -> Team:
    return msgspec.convert(row, Team, from_attributes=True)


def _service(row: sa.Row[Any]) -> Service:
    return msgspec.convert(row, Service, from_attributes=True)
