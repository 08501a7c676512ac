"""On-call: who, when, overrides, and the time that nobody covers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.oncall_views import (
    From,
    Login,
    PersonRef,
    ServiceName,
    ShiftView,
    Slot,
    TeamName,
    To,
    Views,
    aware,
    instant_of,
    known_slot,
    person_of,
    ref,
    team_of,
    window,
)
from watchbill.features import catalog, identity, oncall
from watchbill.kernel.errors import Problem


class WatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A team's answer at ``at`` for one slot; null is nobody. ``slots`` are all that its schedule has."""

    team: str
    title: str
    time_zone: str
    at: datetime
    on_call: ShiftView | None
    next: ShiftView | None
    slots: list[str]


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
    """Put ``person`` (a login, or ``me``) on call for ``team``; instants are RFC 3339 with an offset.

    With ``instead_of`` (a login) only that person is relieved, where they are on call.
    """

    team: str
    person: str
    start_at: datetime
    end_at: datetime
    reason: str = ""
    slot: str = oncall.PRIMARY
    instead_of: str | None = None


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
    slot: str
    kind: str


@get("/oncall", sync_to_thread=True)
def who_is_on_call(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    service: ServiceName = None,
    at: Annotated[str | None, QueryParameter(description="RFC 3339; now when left out.")] = None,
    slot: Slot = oncall.PRIMARY,
) -> list[WatchView]:
    """Who is on call, for one team, the owner of one service, or all teams; for the past it is the record."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = [team_of(tx, team, service)] if team or service else catalog.teams(tx)
        instant = instant_of(at, "at") or tx.now
        ids = [t.id for t in found]
        watches = {watch.team_id: watch for watch in oncall.watches(tx, at=instant, team_ids=ids, slot=slot)}
        if team or service:
            known_slot(slot, watches[ids[0]].slots if ids[0] in watches else (oncall.PRIMARY,))
        shifts = [s for w in watches.values() for s in (w.on_call, w.following) if s is not None]
        view = Views(tx, found, shifts)
    return [
        WatchView(
            team=t.name,
            title=t.title,
            time_zone=watches[t.id].time_zone if t.id in watches else "UTC",
            at=instant,
            on_call=view.shift(watches[t.id].on_call) if t.id in watches else None,
            next=view.shift(watches[t.id].following) if t.id in watches else None,
            slots=list(watches[t.id].slots) if t.id in watches else [],
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
    slot: Slot = oncall.PRIMARY,
    start: From = None,
    end: To = None,
) -> ShiftList:
    """Shifts of a team, of a service's owner, or of a person in all teams and slots."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        start_at, end_at = window(tx, start, end)
        if person:
            who = person_of(tx, caller, person)
            shifts = oncall.my_shifts(tx, person_id=who.id, start_at=start_at, end_at=end_at)
            teams = catalog.teams(tx, ids=list({s.team_id for s in shifts if s.team_id}))
            return ShiftList(
                start_at=start_at,
                end_at=end_at,
                time_zone=who.time_zone,
                shifts=Views(tx, teams, shifts).listed(shifts),
                warnings=[],
            )
        found = team_of(tx, team, service)
        plan = oncall.load_plans(tx, [found.id]).get(found.id)
        known_slot(slot, plan.calculator.slots if plan else (oncall.PRIMARY,))
        shifts = oncall.shifts(tx, team_id=found.id, start_at=start_at, end_at=end_at, slot=slot)
        return ShiftList(
            start_at=start_at,
            end_at=end_at,
            time_zone=plan.stored.rotation.time_zone if plan else None,
            shifts=Views(tx, [found], shifts).listed(shifts),
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
        start_at, end_at = window(tx, start, end)
        one = bool(team or service)
        found = [team_of(tx, team, service)] if one else catalog.teams(tx)
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
        team = team_of(tx, data.team, None)
        identity.require(caller, "manage_team", team.id)
        person = person_of(tx, caller, data.person)
        made = oncall.add_override(
            tx,
            team_id=team.id,
            person_id=person.id,
            start_at=aware(data.start_at, "start_at"),
            end_at=aware(data.end_at, "end_at"),
            reason=data.reason.strip(),
            slot=data.slot,
            instead_of=person_of(tx, caller, data.instead_of).id if data.instead_of else None,
            actor=caller.actor,
        )
        tx.hint("watchbill_live", f"oncall:{team.name}")
    return OverrideView(
        id=made.id,
        team=team.name,
        person=ref(person),
        start_at=made.start_at,
        end_at=made.end_at,
        reason=made.reason,
        created_at=made.created_at,
        cancelled_at=made.cancelled_at,
        slot=made.slot,
        kind=made.kind,
    )


@delete("/oncall/overrides/{override_id:uuid}", sync_to_thread=True)
def cancel_override(caller: GivenCaller, db: GivenDb, override_id: FromPath[UUID]) -> None:
    """End an override now (members of the team and admins); what has been stays."""
    with db.transaction() as tx:
        found = oncall.override_by_id(tx, override_id=override_id)
        identity.require(caller, "manage_team", found.team_id)
        oncall.cancel_override(tx, override_id=override_id, actor=caller.actor)


handlers = [who_is_on_call, list_shifts, list_gaps, add_override, cancel_override]
