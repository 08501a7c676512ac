"""The world that manifests alone describe: who is in which team and on call when, without a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from watchbill.features import oncall, paging
from watchbill.features.paging import EscalationPolicy, Harmed, World
from watchbill.manifest.bundle import Bundle, ServiceItem, TeamItem, spec_of

Ids = Mapping[str, UUID]
OnCallThen = tuple[Sequence[UUID], Sequence[UUID]]
"""Who was on call, and the shadows who were told."""
Recorded = Callable[[UUID, datetime], OnCallThen | None]


class Method(NamedTuple):
    """How a rehearsal reaches a person or channel."""

    channel: str
    name: str = ""


_REACHED = ((Method("their own rule"), timedelta(0)),)


def id_of(kind: str, name: str) -> UUID:
    """A stable id for a name that has none yet."""
    return uuid5(NAMESPACE_URL, f"watchbill:{kind}:{name}")


class Rehearsal:
    """Teams, people, schedules and policies of some manifests.

    ``people`` and ``teams`` are ids to use in place of made-up ones.
    """

    def __init__(self, bundle: Bundle, *, people: Ids | None = None, teams: Ids | None = None) -> None:
        self.bundle = bundle
        self.teams: dict[str, TeamItem] = {item.name: item for item in bundle.teams}
        self.services: dict[str, ServiceItem] = {item.name: item for item in bundle.services}
        logins = {login for item in bundle.teams for login in item.logins}
        self.people: dict[str, UUID] = {login: (people or {}).get(login) or id_of("person", login) for login in logins}
        self.people |= people or {}
        self.team_ids: dict[str, UUID] = {name: (teams or {}).get(name) or id_of("team", name) for name in self.teams}
        self._schedules: dict[str, tuple[oncall.Schedule, Mapping[str, str]]] = {}

    @cached_property
    def names(self) -> dict[UUID, str]:
        """The login of every id."""
        return {id: login for login, id in self.people.items()}

    @cached_property
    def team_names(self) -> dict[UUID, str]:
        """The name of every team's id."""
        return {id: name for name, id in self.team_ids.items()}

    @property
    def fallback(self) -> str | None:
        """The name of the fallback team."""
        return next((name for name, item in self.teams.items() if item.manifest.spec.fallback), None)

    def policy(self, team: str) -> EscalationPolicy:
        """The policy of a team."""
        return paging.policy_of_team(spec_of(self.teams[team]))

    def harmed(self, service: str) -> list[Harmed]:
        """A service, as a policy judges it."""
        spec = self.services[service].manifest.spec
        return [Harmed(tier=spec.tier, watch=spec.watch)]

    def holidays(self, calendar: str, years: Iterable[int]) -> frozenset[date]:
        """The public holidays of a calendar."""
        return frozenset(oncall.days_of_year(calendar, years)) if calendar else frozenset()

    def schedule(self, team: str, at: datetime) -> tuple[oncall.Schedule, Mapping[str, str]]:
        """The team's schedule, and the slot of each layer by name."""
        if team not in self._schedules:
            item = self.teams[team]
            spec = item.manifest.spec
            raw: Any = None if spec.on_call is None else msgspec.to_builtins(spec.on_call)
            rotation = oncall.parse_rotation(raw, item.rotating, spec.time_zone)
            free = self.holidays(rotation.holidays, range(at.year - 1, at.year + 2))
            known = rotation.for_team(self.team_ids[team], self.people)
            self._schedules[team] = (
                oncall.Schedule(known, holidays=free),
                {layer.name: layer.slot for layer in known.layers},
            )
        return self._schedules[team]

    def world_at(
        self, unreachable: Collection[UUID] = (), *, recorded: Recorded | None = None
    ) -> Callable[[datetime], World]:
        """Who is meant by the words of a step, at each instant; round-robin turns are counted from the first page.

        ``recorded`` answers who was on call, where it knows, in place of the rota.
        """
        turns: dict[UUID, int] = {}
        return lambda at: _World(self, at, frozenset(unreachable), turns=turns, recorded=recorded)


class _World:
    def __init__(
        self,
        of: Rehearsal,
        at: datetime,
        unreachable: frozenset[UUID],
        *,
        turns: dict[UUID, int],
        recorded: Recorded | None,
    ) -> None:
        self._of, self._at, self._unreachable, self._turns, self._recorded = of, at, unreachable, turns, recorded

    def on_call(self, team_id: UUID, layer: str | None) -> tuple[Sequence[UUID], Sequence[UUID]]:
        known = self._recorded(team_id, self._at) if self._recorded and layer is None else None
        if known is not None:
            return known
        schedule, slots = self._of.schedule(self._of.team_names[team_id], self._at)
        slot = oncall.PRIMARY if layer is None else slots.get(layer, layer)
        return schedule.slot(slot).at(self._at).people, schedule.at(self._at).shadows

    def next_on_call(self, team_id: UUID) -> Sequence[UUID]:
        schedule, _ = self._of.schedule(self._of.team_names[team_id], self._at)
        span = oncall.next_after(schedule.slot(oncall.PRIMARY), self._at)
        return span.people if span else ()

    def members(self, team_id: UUID) -> Sequence[tuple[UUID, str]]:
        item = self._of.teams[self._of.team_names[team_id]]
        return [(self._of.people[member.login], member.role) for member in item.members]

    def team(self, name: str) -> UUID | None:
        formerly = {old: item.name for item in self._of.bundle.teams for old in item.manifest.metadata.formerly}
        return self._of.team_ids.get(formerly.get(name, name))

    def person(self, login: str) -> UUID | None:
        return self._of.people.get(login)

    def fallback_team(self) -> UUID | None:
        name = self._of.fallback
        return self._of.team_ids[name] if name else None

    def administrators(self) -> Iterable[UUID]:
        return ()

    def turn(self, team_id: UUID) -> int:
        self._turns[team_id] = self._turns.get(team_id, -1) + 1
        return self._turns[team_id]

    def plans(self, person_ids: Collection[UUID], *, pierce: bool = False) -> Mapping[UUID, Sequence[Any]]:
        del pierce  # a test names whom nobody can reach; nobody has quiet hours here
        return {person: _REACHED for person in dict.fromkeys(person_ids) if person not in self._unreachable}

    def channels(self, team_id: UUID | None, name: str) -> Sequence[Any]:
        return [] if team_id is None else [Method("team channel", name)]
