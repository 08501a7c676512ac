"""Who would have been paged over the real history under these manifests, against what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog, identity, incidents, oncall, paging
from watchbill.features.paging import Case, Happening, Line, PastPage
from watchbill.kernel.errors import Invalid
from watchbill.manifest.bundle import File, spec_of
from watchbill.manifest.check import validate
from watchbill.manifest.policy.world import OnCallThen, Rehearsal
from watchbill.runtime.db import Tx

MOST_PAGES = 2000
LONGEST = timedelta(days=400)


class PageDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One page that would have gone otherwise. People are logins, in the order in which they were first asked."""

    incident: int
    title: str
    at: datetime
    team: str
    proposed_team: str
    asked: list[str]
    proposed: list[str]
    held_until: datetime | None = None
    why: str = ""


class PersonTotal(msgspec.Struct, frozen=True, kw_only=True):
    """In how many pages somebody was asked, and how often; then and under the proposal."""

    person: str
    pages: int
    proposed_pages: int
    asks: int
    proposed_asks: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison; ``not_described`` counts pages of services that these manifests do not have."""

    since: datetime
    pages: int
    same: int
    not_described: int
    complete: bool
    differences: list[PageDifference]
    people: list[PersonTotal]


def replay(tx: Tx, *, files: Iterable[File], since: datetime) -> Replay:
    """Replay the pages since then under these manifests, by the pager's own decisions.

    Whoever answered would have answered as long after first being asked. On-call of the past is what was recorded,
    unless the manifests change the team's rota or its members; then theirs. Everybody is taken as reachable.

    Raises:
        Invalid: the manifests have errors, or ``since`` is more than 400 days ago.
    """
    if not timedelta(0) < tx.now - since <= LONGEST:
        raise Invalid("the replay must begin within the last 400 days", field="since", hint="say 30d")
    bundle, problems = validate(list(files), external=True)
    errors = [each for each in problems if each.severity == "error"]
    if errors:
        raise Invalid("the manifests have errors; nothing was replayed", code="manifest_invalid", problems=errors)
    logins = {login for item in bundle.teams for login in item.logins}
    teams = {team.name: team for team in catalog.teams(tx)}
    rehearsal = Rehearsal(
        bundle, people=identity.ids_of(tx, logins=sorted(logins)), teams={n: t.id for n, t in teams.items()}
    )
    recorded = {
        teams[name].id
        for name, item in rehearsal.teams.items()
        if name in teams and all(_said(spec_of(item), key) == _said(teams[name].spec, key) for key in _ROTA)
    }
    history = paging.past_pages(tx, since=since, limit=MOST_PAGES)
    told = _Comparison(tx, rehearsal, recorded)
    for past in history:
        told.add(past)
    return Replay(
        since=since,
        pages=len(history),
        same=told.same,
        not_described=told.unknown,
        complete=len(history) < MOST_PAGES,
        differences=told.differences,
        people=told.totals(),
    )


_ROTA = ("members", "onCall", "timeZone")


def _said(spec: Mapping[str, object], key: str) -> object:
    return spec.get(key)


class _Comparison:
    def __init__(self, tx: Tx, rehearsal: Rehearsal, recorded: set[UUID]) -> None:
        self._tx, self._rehearsal, self._recorded = tx, rehearsal, recorded
        self._world_at = rehearsal.world_at(recorded=self._recorded_on_call)
        self._services = {service.id: service for service in catalog.services(tx)}
        self._teams = {team.id: team.name for team in catalog.teams(tx)}
        self._logins: dict[UUID, str] = dict(rehearsal.names)
        self.same = self.unknown = 0
        self.differences: list[PageDifference] = []
        self._pages: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._asks: tuple[Counter[str], Counter[str]] = (Counter(), Counter())

    def add(self, past: PastPage) -> None:
        """Count one page, and keep it when it would have gone otherwise."""
        then = [self._login(each.person_id) for each in past.asked]
        names = [self._services[id].name for id in past.service_ids if id in self._services]
        own = [n for n in names if self._owner(n) == past.page.team_id]
        known = [name for name in (*own, *names) if name in self._rehearsal.services]
        if not known or self._rehearsal.services[known[0]].manifest.spec.owner not in self._rehearsal.teams:
            self.unknown += 1
            self._count(0, then)
            self._count(1, then)
            return
        team = self._rehearsal.services[known[0]].manifest.spec.owner
        lines = self._lines(past, team, known)
        now = [self._login(person) for line in lines if line.what in ("notify", "again") for person in line.people]
        held = next((line for line in lines if line.what == "held"), None)
        self._count(0, then)
        self._count(1, now)
        before = self._teams.get(past.page.team_id, "fallback") if past.page.team_id else "fallback"
        if (then, before) == (now, team):
            self.same += 1
            return
        self.differences.append(
            PageDifference(
                incident=past.incident.number,
                title=past.incident.title,
                at=past.page.created_at,
                team=before,
                proposed_team=team,
                asked=list(dict.fromkeys(then)),
                proposed=list(dict.fromkeys(now)),
                held_until=held.until if held else None,
                why=_why(then, now, held),
            )
        )

    def _lines(self, past: PastPage, team: str, services: Sequence[str]) -> list[Line]:
        harmed = [each for name in services for each in self._rehearsal.harmed(name)]
        policy = self._rehearsal.policy(team)
        opened = past.page.created_at
        declared = past.incident.declared_at is not None and past.incident.declared_at <= opened
        case = Case(
            team_id=self._rehearsal.team_ids[team],
            policy=policy,
            opened_at=opened,
            harmed=harmed,
            severity=incidents.severity_of(tier=min(each.tier for each in harmed), declared=declared),
            holidays=self._rehearsal.holidays(policy.holidays, range(opened.year, opened.year + 2)),
        )
        ended = past.page.ended_at or self._tx.now
        # first without anybody answering: to see when somebody would have been asked at all
        unanswered = paging.simulate(case, world_at=self._world_at, until=ended)
        first = next((line.at for line in unanswered if line.what == "notify"), None)
        begun = min((each.at for each in past.asked), default=opened)
        shift = (first or begun) - begun
        happenings = [Happening(at=at + shift, what="acknowledge", by=by) for at, by in past.answered]
        by_itself = past.incident.resolved_by is None
        happenings.append(Happening(at=ended if by_itself else ended + shift, what="resolve"))
        answered = msgspec.structs.replace(case, happenings=happenings)
        return paging.simulate(answered, world_at=self._world_at, until=happenings[-1].at)

    def _recorded_on_call(self, team_id: UUID, at: datetime) -> OnCallThen | None:
        """On-call as it was recorded, for teams whose rota these manifests leave alone."""
        if team_id not in self._recorded:
            return None
        found = oncall.people_on_call(self._tx, team_id=team_id, at=at)
        return (found.people, found.shadows) if found.people else None

    def _owner(self, name: str) -> UUID | None:
        return next((service.team_id for service in self._services.values() if service.name == name), None)

    def _login(self, person_id: UUID) -> str:
        if person_id not in self._logins:
            found = identity.people(self._tx, ids=[person_id]).get(person_id)
            self._logins[person_id] = found.login if found else "somebody erased"
        return self._logins[person_id]

    def _count(self, side: int, asked: Sequence[str]) -> None:
        self._asks[side].update(asked)
        self._pages[side].update(set(asked))

    def totals(self) -> list[PersonTotal]:
        """One line a person, whose load changes most first."""
        names = {*self._asks[0], *self._asks[1]}
        found = [
            PersonTotal(
                person=name,
                pages=self._pages[0][name],
                proposed_pages=self._pages[1][name],
                asks=self._asks[0][name],
                proposed_asks=self._asks[1][name],
            )
            for name in names
        ]
        return sorted(found, key=lambda each: (-abs(each.proposed_asks - each.asks), each.person))


def _why(then: Sequence[str], now: Sequence[str], held: Line | None) -> str:
    if held is not None:
        return held.why
    if not now:
        return "it would have ended before anybody was asked"
    more, fewer = Counter(now) - Counter(then), Counter(then) - Counter(now)
    said = [f"{name} {count} more" for name, count in sorted(more.items())]
    said += [f"{name} {count} fewer" for name, count in sorted(fewer.items())]
    return ", ".join(said) or "the same people in another order"
