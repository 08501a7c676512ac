"""Teams and services themselves: names, owners, dependencies, operations. Contributed by *catalog*."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.catalog import FieldChange
from watchbill.kernel.errors import Problem
from watchbill.manifest.documents import ServiceSpec
from watchbill.manifest.suggest import did_you_mean
from watchbill.runtime.db import Tx
from watchbill.runtime.yaml import Path

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, Item, ServiceItem, World
    from watchbill.manifest.plan import Change


def check(bundle: Bundle, world: World) -> Iterator[Problem]:
    """Names are unique, owners and dependencies exist, at most one team is the fallback."""
    yield from _check_names(bundle.teams, "team")
    yield from _check_names(bundle.services, "service")
    yield from _check_fallback(bundle, world)
    yield from _check_sources(bundle.services)
    teams = world.teams | _names(bundle.teams)
    services = world.services | _names(bundle.services)
    for item in bundle.services:
        owner = item.manifest.spec.owner
        if owner not in teams:
            hint = f"name a team that exists, or add 'kind: Team' with name {owner}"
            yield _unknown(
                item, f"there is no team '{owner}' to own {item.name}", ("spec", "owner"), teams, hint=hint, world=world
            )
        yield from _check_dependencies(item, services, world)
        yield from _check_operations(item)
        if item.manifest.spec.tier == 1 and item.manifest.spec.runbook is None:
            yield item.problem(
                "manifest.no_runbook",
                f"{item.name} is of tier 1 and has no runbook",
                ("spec",),
                "add runbook: https://… so that whoever is paged at night has somewhere to start",
                severity="warning",
            )


def _check_names(items: Sequence[Item], noun: str) -> Iterator[Problem]:
    first: dict[str, Item] = {}
    for item in items:
        if item.name in first:
            yield item.problem(
                "manifest.duplicate",
                f"the {noun} '{item.name}' is described twice",
                ("metadata", "name"),
                f"keep one; the other is at {first[item.name].document.place(('metadata', 'name'))}",
            )
        first.setdefault(item.name, item)
    claimed: dict[str, Item] = {}
    for item in items:
        for at, name in enumerate(item.manifest.metadata.formerly):
            path = ("metadata", "formerly", at)
            if name in first:
                where = first[name].document.place(("metadata", "name"))
                message = f"'{name}' is a former name of {item.name}, yet a {noun} is called so at {where}"
                yield item.problem("manifest.formerly", message, path, "remove one of the two")
            elif claimed.setdefault(name, item) is not item:
                message = f"'{name}' is a former name of both {claimed[name].name} and {item.name}"
                yield item.problem("manifest.formerly", message, path, "only one of them can have been called so")


def _check_fallback(bundle: Bundle, world: World) -> Iterator[Problem]:
    said = [item for item in bundle.teams if item.manifest.spec.fallback]
    holder = world.fallback if world.fallback not in _names(bundle.teams) else None
    for at, item in enumerate(said):
        other = holder or (said[0].name if at else None)
        if other is not None:
            yield item.problem(
                "manifest.fallback",
                f"{item.name} and {other} both say fallback: true",
                ("spec", "fallback"),
                "only one team of the organisation can be the fallback",
            )


def _check_sources(items: Sequence[ServiceItem]) -> Iterator[Problem]:
    """A source of counts is one service."""
    claimed: dict[str, ServiceItem] = {}
    for item in items:
        for at, name in enumerate(item.manifest.spec.sources):
            first = claimed.setdefault(name, item)
            if first is not item:
                yield item.problem(
                    "manifest.duplicate",
                    f"both {first.name} and {item.name} say that they are the source '{name}'",
                    ("spec", "sources", at),
                    "keep one: its team is paged when the source is down",
                )


def _check_dependencies(item: ServiceItem, services: frozenset[str], world: World) -> Iterator[Problem]:
    for at, name in enumerate(item.manifest.spec.depends_on):
        path = ("spec", "dependsOn", at)
        if name == item.name:
            yield item.problem("manifest.reference", f"{name} depends on itself", path, "remove it")
        elif name not in services:
            message = f"{item.name} depends on '{name}', which is not known"
            hint = f"name a service that exists, or add 'kind: Service' with name {name}"
            yield _unknown(item, message, path, services, hint=hint, world=world)


def _check_operations(item: ServiceItem) -> Iterator[Problem]:
    written = item.manifest.spec.operations or []
    counts = Counter(operation.name for operation in written)
    if len(counts) == len(written):
        return
    seen: set[str] = set()
    for at, operation in enumerate(written):
        if operation.name in seen:
            message = f"the operation '{operation.name}' is described twice"
            path = ("spec", "operations", at, "name")
            yield item.problem("manifest.duplicate", message, path, "give each operation of a service its own name")
        seen.add(operation.name)


def _unknown(item: ServiceItem, message: str, path: Path, known: Iterable[str], *, hint: str, world: World) -> Problem:
    name = str(item.document.value(path))
    if world.external:
        hint = f"{did_you_mean(name, known) or hint}; the server knows what other repositories applied"
        return item.problem("manifest.reference", message, path, hint, severity="warning")
    return item.problem("manifest.reference", message, path, did_you_mean(name, known) or hint)


def _names(items: Iterable[Item]) -> frozenset[str]:
    """What the items can be referred to by: former names as well."""
    return frozenset(name for item in items for name in (item.name, *item.manifest.metadata.formerly))


def write(tx: Tx, applying: Applying, changes: Sequence[Change], fields: dict[UUID | None, list[FieldChange]]) -> None:
    """Write the teams, then the services; note the ids of their operations for the sections that follow."""
    teams: list[catalog.TeamWrite] = []
    services: list[catalog.ServiceWrite] = []
    for change in changes:
        item = change.item
        spec = item.manifest.spec
        id = (applying.team_ids if change.kind == "Team" else applying.service_ids)[item.name]
        shared: dict[str, Any] = {
            "id": id,
            "name": item.name,
            "title": item.manifest.metadata.title or item.name,
            "former_names": item.manifest.metadata.formerly,
            "source": applying.source,
            "spec": msgspec.to_builtins(spec),
            "spec_hash": change.spec_hash,
            "added": change.before is None,
            "changes": fields.get(id, []),
        }
        if not isinstance(spec, ServiceSpec):
            members = [(applying.people[each.login], each.role) for each in item.members]  # type: ignore[union-attr]
            teams.append(catalog.TeamWrite(**shared, fallback=spec.fallback, members=members))
            continue
        services.append(
            catalog.ServiceWrite(
                **shared,
                telemetry_name=item.telemetry_name,  # type: ignore[union-attr]
                team_id=applying.team_ids[spec.owner],
                tier=spec.tier,
                operations=_operations(item),  # type: ignore[arg-type]
                depends_on=sorted({applying.service_ids[name] for name in spec.depends_on} - {id}),
            )
        )
    if teams:
        catalog.write_teams(tx, writes=teams, actor=applying.actor)
    if services:
        applying.operation_ids.update(catalog.write_services(tx, writes=services, actor=applying.actor))


def _operations(item: ServiceItem) -> list[catalog.OperationWrite]:
    return [
        catalog.OperationWrite(
            name=operation.name, match=msgspec.to_builtins(operation.match), environment=operation.environment
        )
        for operation in item.operations
    ]
