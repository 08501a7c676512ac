"""Services: who owns them, who is on call for them now, and their operations."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.teams import find_team
from watchbill.features import catalog, identity, oncall
from watchbill.kernel.errors import Invalid, NotFound

MOST = 1000


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service and its owner (the name of a team)."""

    id: UUID
    name: str
    title: str
    owner: str
    tier: int
    source: str


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """Something a user does with the service."""

    id: UUID
    name: str
    match: dict[str, Any]
    environment: str


class ServiceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One service; ``on_call`` is the login of who answers for it now, null for nobody."""

    service: ServiceView
    former_names: list[str]
    telemetry_name: str
    on_call: str | None
    operations: list[OperationView]
    depends_on: list[str]
    dependents: list[str]
    spec: dict[str, Any]


@get("/services", sync_to_thread=True)
def list_services(
    caller: GivenCaller,
    db: GivenDb,
    team: Annotated[str | None, QueryParameter(description="Only those that this team owns.")] = None,
    after: Annotated[str, QueryParameter(description="Only names after this one, for the next page.")] = "",
    limit: Annotated[int, QueryParameter(description="At most this many (1 to 1000).")] = MOST,
) -> list[ServiceView]:
    """Services by name."""
    identity.require(caller, "read")
    if not 1 <= limit <= MOST:
        raise Invalid(f"limit {limit} is not between 1 and {MOST}", field="limit")
    with db.transaction() as tx:
        team_id = find_team(tx, team).id if team else None
        found = catalog.services(tx, team_id=team_id, after_name=after, limit=limit)
        owners = {each.id: each.name for each in catalog.teams(tx, ids={each.team_id for each in found})}
    return [_view(each, owners[each.team_id]) for each in found]


@get("/services/{name:str}", sync_to_thread=True)
def show_service(name: FromPath[str], caller: GivenCaller, db: GivenDb) -> ServiceDetail:
    """One service, by its name, a former one, or its name in telemetry."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        service = catalog.service_by_name(tx, name=name)
        if service is None:
            raise NotFound(f"there is no service '{name}'", hint="see `watchbill service list`")
        shift = oncall.who_is_on_call(tx, team_id=service.team_id, at=tx.now)
        near = catalog.dependencies(tx, service_id=service.id)
        names = {each.id: each.name for each in catalog.services(tx, ids=near.depends_on | near.dependents)}
        people = identity.people(tx, ids=[shift.person_id]) if shift else {}
        operations = catalog.operations(tx, service_ids=[service.id])
        owner = catalog.team(tx, id=service.team_id).name
    return ServiceDetail(
        service=_view(service, owner),
        former_names=service.former_names,
        telemetry_name=service.telemetry_name,
        on_call=people[shift.person_id].login if shift else None,
        operations=[
            OperationView(id=each.id, name=each.name, match=each.match, environment=each.environment)
            for each in operations
        ],
        depends_on=sorted(names[id] for id in near.depends_on),
        dependents=sorted(names[id] for id in near.dependents),
        spec=service.spec,
    )


def _view(service: catalog.Service, owner: str) -> ServiceView:
    return ServiceView(
        id=service.id, name=service.name, title=service.title, owner=owner, tier=service.tier, source=service.source
    )


handlers = [list_services, show_service]
