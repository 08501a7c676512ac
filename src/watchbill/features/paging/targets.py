"""Whom the words of a step mean: the same answer for the pager, for previews and for tests of policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from watchbill.features.paging.walk import Reach

FALLBACK = "fallback"
KINDS = ("person", "team", "layer", "channel")
"""What may stand before a colon: ``team:search``."""
WORDS = ("on-call", "next-on-call", "team", "leads", "round-robin")
"""What stands alone, about the team of the page."""


class World(Protocol):
    """What has to be known about teams and people at one instant."""

    def on_call(self, team_id: UUID, layer: str | None) -> tuple[Sequence[UUID], Sequence[UUID]]:
        """(everybody on call at once, the shadows to tell) of the team's first slot, or of a layer or slot."""
        ...

    def next_on_call(self, team_id: UUID) -> Sequence[UUID]:
        """Who comes next: somebody else than who is on call."""
        ...

    def members(self, team_id: UUID) -> Sequence[tuple[UUID, str]]:
        """(person, role) of everybody in the team, in the order of its manifest."""
        ...

    def team(self, name: str) -> UUID | None:
        """The team of this name."""
        ...

    def person(self, login: str) -> UUID | None:
        """The person of this login."""
        ...

    def fallback_team(self) -> UUID | None:
        """The team that is paged for what nobody owns."""
        ...

    def administrators(self) -> Iterable[UUID]:
        """Everybody who administers."""
        ...

    def turn(self, team_id: UUID) -> int:
        """How many round-robin turns the team has taken before this one."""
        ...

    def plans(self, person_ids: Collection[UUID], *, pierce: bool = False) -> Mapping[UUID, Sequence[Any]]:
        """How each of these people is reached now; those who cannot be, or are gone, are left out.

        With ``pierce`` quiet hours keep nobody out.
        """
        ...

    def channels(self, team_id: UUID | None, name: str) -> Sequence[Any]:
        """The team's channel of this name."""
        ...


def resolve(world: World, *, team_id: UUID | None, names: Sequence[str]) -> Reach:
    """Whom the words reach, for a page of the team; a page without a team has only its fallback."""
    people: dict[UUID, Sequence[Any]] = {}
    watchers: list[UUID] = []
    channels: list[Any] = []
    named: set[UUID] = set()
    direct: list[UUID] = []
    for name in names:
        kind, _, rest = name.partition(":")
        if name == FALLBACK:
            reached, meant = _fallback(world)
            people |= reached
            named |= meant
        elif kind == "channel":
            channels += world.channels(team_id, rest)
        elif kind == "person":
            found = world.person(rest.lower())
            direct += [found] if found else []
        elif name == "team" or kind == "team":
            other = world.team(rest) if rest else team_id
            direct += _answering(world, other) if other else []
        elif team_id is not None and name == "round-robin":
            reached, meant = _in_turn(world, team_id)
            people |= reached
            named |= meant
        elif team_id is not None:
            found_now, told = _of_team(world, team_id, kind, rest)
            direct += found_now
            watchers += told
    plans = world.plans([*direct, *watchers]) if direct or watchers else {}
    named |= set(direct)
    people |= {person: plans[person] for person in dict.fromkeys(direct) if person in plans}
    told_along = {person: plans[person] for person in watchers if person in plans and person not in people}
    return Reach(people=people, channels=channels, watchers=told_along, named=len(named))


def _of_team(world: World, team_id: UUID, kind: str, rest: str) -> tuple[Sequence[UUID], Sequence[UUID]]:
    if kind == "next-on-call":
        return world.next_on_call(team_id), ()
    if kind == "leads":
        return [person for person, role in world.members(team_id) if role == "lead"], ()
    return world.on_call(team_id, rest or None)


def _answering(world: World, team_id: UUID) -> list[UUID]:
    """Everybody in the team but shadows."""
    return [person for person, role in world.members(team_id) if role != "shadow"]


def _in_turn(world: World, team_id: UUID) -> tuple[dict[UUID, Sequence[Any]], set[UUID]]:
    """The first in turn who can be reached."""
    members = _answering(world, team_id)
    if not members:
        return {}, set()
    first = world.turn(team_id) % len(members)
    plans = world.plans(members)
    chosen = next((person for person in (*members[first:], *members[:first]) if person in plans), None)
    return ({} if chosen is None else {chosen: plans[chosen]}), set(members)


def _fallback(world: World) -> tuple[Mapping[UUID, Sequence[Any]], set[UUID]]:
    """The fallback team's people; without one (or without anybody to reach in it) every administrator.

    Past them there is nobody, so quiet hours give way: a page that everybody sleeps through is lost until morning.
    """
    team_id = world.fallback_team()
    if team_id is not None:
        people = _answering(world, team_id)
        plans = world.plans(people, pierce=True)
        if plans:
            return plans, set(people)
    administrators = set(world.administrators())
    return world.plans(sorted(administrators), pierce=True), administrators
