"""Teams: who they are, what they own, who is on call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, identity, oncall
from watchbill.features.catalog import Member, Team
from watchbill.features.identity import Person
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a team."""

    login: str
    name: str
    role: str


class TeamView(msgspec.Struct, frozen=True, kw_only=True):
    """A team; ``on_call`` is the login of who is on call now, null for nobody."""

    id: UUID
    name: str
    title: str
    source: str
    fallback: bool
    members: list[MemberView]
    on_call: str | None
    services: int


class OwnedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service of a team."""

    name: str
    title: str
    tier: int


class TeamDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One team with what it owns, as its manifest describes it (``spec``)."""

    team: TeamView
    former_names: list[str]
    services: list[OwnedService]
    spec: dict[str, Any]


@get("/teams", sync_to_thread=True)
def list_teams(caller: GivenCaller, db: GivenDb) -> list[TeamView]:
    """All teams by name."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = catalog.teams(tx)
        counts: dict[UUID, int] = {}
        for service in catalog.services(tx):
            counts[service.team_id] = counts.get(service.team_id, 0) + 1
        return _views(tx, found, counts)


@get("/teams/{name:str}", sync_to_thread=True)
def show_team(name: FromPath[str], caller: GivenCaller, db: GivenDb) -> TeamDetail:
    """One team, by its name or a former one."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        team = find_team(tx, name)
        owned = catalog.services(tx, team_id=team.id)
        view = _views(tx, [team], {team.id: len(owned)})[0]
    return TeamDetail(
        team=view,
        former_names=team.former_names,
        services=[OwnedService(name=each.name, title=each.title, tier=each.tier) for each in owned],
        spec=team.spec,
    )


def find_team(tx: Tx, name: str) -> Team:
    """The team of this name.

    Raises:
        NotFound: there is none.
    """
    team = catalog.team_by_name(tx, name=name)
    if team is None:
        raise NotFound(f"there is no team '{name}'", hint="see `watchbill team list`")
    return team


def _views(tx: Tx, teams: list[Team], services: dict[UUID, int]) -> list[TeamView]:
    members = catalog.members(tx, team_ids=[team.id for team in teams])
    on_call = {
        watch.team_id: watch.on_call for watch in oncall.watches(tx, at=tx.now, team_ids=[team.id for team in teams])
    }
    ids = {each.person_id for group in members.values() for each in group}
    ids |= {shift.person_id for shift in on_call.values() if shift is not None}
    people = identity.people(tx, ids=ids)
    views = []
    for team in teams:
        shift = on_call.get(team.id)
        views.append(
            TeamView(
                id=team.id,
                name=team.name,
                title=team.title,
                source=team.source,
                fallback=team.fallback,
                members=[_member(each, people) for each in members[team.id]],
                on_call=people[shift.person_id].login if shift else None,
                services=services.get(team.id, 0),
            )
        )
    return views


def _member(member: Member, people: dict[UUID, Person]) -> MemberView:
    person = people[member.person_id]
    return MemberView(login=person.login, name=person.name, role=member.role)


handlers = [list_teams, show_team]
