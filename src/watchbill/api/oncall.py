"""On-call: who, when, overrides, and the time that nobody covers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, identity, oncall
from watchbill.features.catalog import Team
from watchbill.features.identity import Caller, Person
from watchbill.kernel.clock import as_utc, parse_instant
from watchbill.kernel.errors import Invalid, NotFound, Problem
from watchbill.runtime.db import Tx

AHEAD = timedelta(days=14)
_YEARS = range(1971, 2201)

TeamName = Annotated[str | None, QueryParameter(name="team", description="A team's name.")]
ServiceName = Annotated[str | None, QueryParameter(name="service", description="A service's name; its owner is asked.")]
Login = Annotated[str | None, QueryParameter(name="person", description="A login; `me` is the caller.")]
From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339; now when left out.")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; 14 days after `from` when left out.")]


class PersonRef(msgspec.Struct, frozen=True, kw_only=True):
    """Enough of a person to name and find them."""

    id: UUID
    login: str
    name: str


class ShiftView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's time on call; ``reason`` is rotation, stand-in or override, ``note`` the override's reason."""

    team: str
    person: PersonRef
    start_at: datetime
    end_at: datetime
    reason: str
    note: str
    override_id: UUID | None


class WatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A team's answer at ``at``; null is nobody."""

    team: str
    title: str
    time_zone: str
    at: datetime
    on_call: ShiftView | None
    next: ShiftView | None


class ShiftList(msgspec.Struct, frozen=True, kw_only=True):
    """Shifts that touch the window, in order; recorded until now, planned from now on."""

    start_at: datetime
    end_at: datetime
    time_zone: str | None
    shifts: list[ShiftView]
    warnings: list[Problem]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Time in which nobody is on call."""

    start_at: datetime
    end_at: datetime


class TeamGaps(msgspec.Struct, frozen=True, kw_only=True):
    """One team's gaps, and what else is wrong with its rota."""

    team: str
    time_zone: str
    gaps: list[Gap]
    warnings: list[Problem]


class NewOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put ``person`` (a login, or ``me``) on call for ``team``; instants are RFC 3339 with an offset."""

    team: str
    person: str
    start_at: datetime
    end_at: datetime
    reason: str = ""


class OverrideView(msgspec.Struct, frozen=True, kw_only=True):
    """An override as it stands."""

    id: UUID
    team: str
    person: PersonRef
    start_at: datetime
    end_at: datetime
    reason: str
    created_at: datetime
    cancelled_at: datetime | None


@get("/oncall", sync_to_thread=True)
def who_is_on_call(
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    service: ServiceName = None,
    at: Annotated[str | None, QueryParameter(description="RFC 3339; now when left out.")] = None,
) -> list[WatchView]:
    """Who is on call, for one team, the owner of one service, or all teams; for the past it is the record."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = [_team(tx, team, service)] if team or service else catalog.teams(tx)
        instant = _instant(at, "at") or tx.now
        watches = {watch.team_id: watch for watch in oncall.watches(tx, at=instant, team_ids=[t.id for t in found])}
        shifts = [s for w in watches.values() for s in (w.on_call, w.following) if s is not None]
        view = _Views(tx, found, shifts)
    return [
        WatchView(
            team=t.name,
            title=t.title,
            time_zone=watches[t.id].time_zone if t.id in watches else "UTC",
            at=instant,
            on_call=view.shift(watches[t.id].on_call) if t.id in watches else None,
            next=view.shift(watches[t.id].following) if t.id in watches else None,
        )
        for t in sorted(found, key=lambda t: t.name)
    ]


@get("/oncall/shifts", sync_to_thread=True)
def list_shifts(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    service: ServiceName = None,
    person: Login = None,
    start: From = None,
    end: To = None,
) -> ShiftList:
    """Shifts of a team, of a service's owner, or of a person in all teams."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        start_at, end_at = _window(tx, start, end)
        if person:
            who = _person(tx, caller, person)
            shifts = oncall.my_shifts(tx, person_id=who.id, start_at=start_at, end_at=end_at)
            teams = catalog.teams(tx, ids=list({s.team_id for s in shifts if s.team_id}))
            return ShiftList(
                start_at=start_at,
                end_at=end_at,
                time_zone=who.time_zone,
                shifts=_Views(tx, teams, shifts).listed(shifts),
                warnings=[],
            )
        found = _team(tx, team, service)
        shifts = oncall.shifts(tx, team_id=found.id, start_at=start_at, end_at=end_at)
        plan = oncall.load_plans(tx, [found.id]).get(found.id)
        return ShiftList(
            start_at=start_at,
            end_at=end_at,
            time_zone=plan.stored.rotation.time_zone if plan else None,
            shifts=_Views(tx, [found], shifts).listed(shifts),
            warnings=oncall.warnings(tx, team_ids=[found.id]).get(found.id, []),
        )


@get("/oncall/gaps", sync_to_thread=True)
def list_gaps(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    service: ServiceName = None,
    start: From = None,
    end: To = None,
) -> list[TeamGaps]:
    """When nobody is on call, and what is wrong with the rota; of all teams, those with something to say."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        start_at, end_at = _window(tx, start, end)
        one = bool(team or service)
        found = [_team(tx, team, service)] if one else catalog.teams(tx)
        ids = [t.id for t in found]
        gaps = oncall.all_gaps(tx, start_at=start_at, end_at=end_at, team_ids=ids)
        warnings = oncall.warnings(tx, team_ids=ids)
        plans = oncall.load_plans(tx, ids)
    return [
        TeamGaps(
            team=t.name,
            time_zone=plans[t.id].stored.rotation.time_zone if t.id in plans else "UTC",
            gaps=[Gap(start_at=begin, end_at=until) for begin, until in gaps[t.id]],
            warnings=warnings.get(t.id, []),
        )
        for t in sorted(found, key=lambda t: t.name)
        if one or gaps[t.id] or t.id in warnings
    ]


@post("/oncall/overrides", sync_to_thread=True)
def add_override(caller: GivenCaller, db: GivenDb, data: JSONBody[NewOverride]) -> OverrideView:
    """Put somebody on call, whoever's turn it is (members of the team and admins); a past start becomes now."""
    with db.transaction() as tx:
        team = _team(tx, data.team, None)
        identity.require(caller, "manage_team", team.id)
        person = _person(tx, caller, data.person)
        made = oncall.add_override(
            tx,
            team_id=team.id,
            person_id=person.id,
            start_at=_aware(data.start_at, "start_at"),
            end_at=_aware(data.end_at, "end_at"),
            reason=data.reason.strip(),
            actor=caller.actor,
        )
    return OverrideView(
        id=made.id,
        team=team.name,
        person=_ref(person),
        start_at=made.start_at,
        end_at=made.end_at,
        reason=made.reason,
        created_at=made.created_at,
        cancelled_at=made.cancelled_at,
    )


@delete("/oncall/overrides/{override_id:uuid}", sync_to_thread=True)
def cancel_override(caller: GivenCaller, db: GivenDb, override_id: FromPath[UUID]) -> None:
    """End an override now (members of the team and admins); what has been stays."""
    with db.transaction() as tx:
        found = oncall.override_by_id(tx, override_id=override_id)
        identity.require(caller, "manage_team", found.team_id)
        oncall.cancel_override(tx, override_id=override_id, actor=caller.actor)


class _Views:
    """Ids of teams and people turned into names, each looked up once."""

    def __init__(self, tx: Tx, teams: Iterable[Team], shifts: Iterable[oncall.Shift]) -> None:
        self._teams = {team.id: team.name for team in teams}
        self._people = identity.people(tx, ids={shift.person_id for shift in shifts})

    def shift(self, shift: oncall.Shift | None) -> ShiftView | None:
        if shift is None or shift.team_id is None:
            return None
        return ShiftView(
            team=self._teams.get(shift.team_id, str(shift.team_id)),
            person=_ref(self._people[shift.person_id]),
            start_at=shift.start_at,
            end_at=shift.end_at,
            reason=shift.reason,
            note=shift.note,
            override_id=shift.override_id,
        )

    def listed(self, shifts: Iterable[oncall.Shift]) -> list[ShiftView]:
        return [view for view in map(self.shift, shifts) if view is not None]


def _ref(person: Person) -> PersonRef:
    return PersonRef(id=person.id, login=person.login, name=person.name)


def _team(tx: Tx, team: str | None, service: str | None) -> Team:
    if team:
        found = catalog.team_by_name(tx, name=team)
        if found is None:
            raise NotFound(f"there is no team '{team}'", field="team", hint="see `watchbill team list`")
        return found
    if not service:
        raise Invalid("name a team or a service", field="team", hint="?team=NAME or ?service=NAME")
    owned = catalog.service_by_name(tx, name=service)
    if owned is None:
        raise NotFound(f"there is no service '{service}'", field="service", hint="see `watchbill service list`")
    return catalog.team(tx, id=owned.team_id)


def _person(tx: Tx, caller: Caller, login: str) -> Person:
    if login == "me" and caller.person_id is not None:
        return identity.person_by_id(tx, person_id=caller.person_id)
    found = identity.person_by_login(tx, login=login)
    if found is None:
        raise NotFound(f"there is no person '{login}'", field="person", hint="see `watchbill person list`")
    return found


def _window(tx: Tx, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    start_at = _instant(start, "from") or tx.now
    return start_at, _instant(end, "to") or start_at + AHEAD


def _instant(text: str | None, field: str) -> datetime | None:
    if not text:
        return None
    try:
        return _aware(parse_instant(text), field)
    except (ValueError, OverflowError) as error:
        hint = "write RFC 3339 with an offset, such as 2026-03-02T09:00:00Z ('+' in a URL is %2B)"
        raise Invalid(f"'{text}' is not an instant", field=field, hint=hint) from error


def _aware(instant: datetime, field: str) -> datetime:
    if instant.tzinfo is None or instant.year not in _YEARS:
        hint = "write RFC 3339 with an offset, between 1971 and 2200: 2026-03-02T09:00:00Z"
        raise Invalid(f"'{instant.isoformat()}' is not an instant that can be used", field=field, hint=hint)
    return as_utc(instant)


handlers = [who_is_on_call, list_shifts, list_gaps, add_override, cancel_override]
