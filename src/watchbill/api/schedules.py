"""Schedules: what a change would make of one, and what is wrong with the coming days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import JSONBody, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.oncall import NewOverride
from watchbill.api.oncall_views import ServiceName, ShiftView, TeamName, Views, aware, person_of, team_of
from watchbill.features import catalog, identity, oncall
from watchbill.kernel.errors import Conflict, Invalid, Problem

_AROUND = timedelta(days=7)


class TeamCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says of one team: ``problems`` need a person, ``advice`` may wait."""

    team: str
    problems: list[Problem]
    advice: list[Problem]


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Time in which nobody is on call."""

    start_at: datetime
    end_at: datetime


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The final schedule a week around an override, as it is and as it would be."""

    before: list[ShiftView]
    after: list[ShiftView]
    gaps: list[Stretch]


@get("/oncall/check", sync_to_thread=True)
def check_schedules(
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    service: ServiceName = None,
    days: Annotated[int, QueryParameter(ge=1, le=365, description="How many days ahead.")] = 28,
) -> list[TeamCheck]:
    """Gaps, people who cannot be reached, time off, rest rules and small rotas, of one team or of all."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = [team_of(tx, team, service)] if team or service else catalog.teams(tx)
        checked = oncall.check(tx, team_ids=[t.id for t in found], days=days)
    return [
        TeamCheck(
            team=t.name,
            problems=checked[t.id].problems if t.id in checked else [_no_rotation()],
            advice=checked[t.id].advice if t.id in checked else [],
        )
        for t in sorted(found, key=lambda t: t.name)
    ]


def _no_rotation() -> Problem:
    return Problem(
        code="oncall_gap",
        message="the team has no rotation, so nobody is ever on call",
        field="spec.onCall",
        hint="apply its manifest again; every team has at least a default rotation",
        severity="warning",
    )


@post("/oncall/preview", sync_to_thread=True, status_code=200)
def preview_override(caller: GivenCaller, db: GivenDb, data: JSONBody[NewOverride]) -> Preview:
    """The final schedule with an override that is not made: nothing is changed."""
    with db.transaction() as tx:
        team = team_of(tx, data.team, None)
        identity.require(caller, "manage_team", team.id)
        draft = oncall.draft_override(
            tx,
            team_id=team.id,
            person_id=person_of(tx, caller, data.person).id,
            start_at=aware(data.start_at, "start_at"),
            end_at=aware(data.end_at, "end_at"),
            reason=data.reason.strip(),
            slot=data.slot,
            instead_of=person_of(tx, caller, data.instead_of).id if data.instead_of else None,
            actor=caller.actor,
        )
        plan = oncall.load_plans(tx, [team.id]).get(team.id)
        if plan is None:
            raise Conflict("the team has no rotation to override", code="no_rotation", hint="apply its manifest first")
        if data.slot not in plan.calculator.slots:
            hint = f"slots: {', '.join(plan.calculator.slots)}"
            raise Invalid(f"the schedule has no slot '{data.slot}'", field="slot", hint=hint)
        start, end = max(tx.now, draft.start_at - _AROUND), draft.end_at + _AROUND
        changed = plan.under([draft])
        before = oncall.planned(plan, start, end, now=tx.now, slot=data.slot)
        after = oncall.planned(changed, start, end, now=tx.now, slot=data.slot)
        views = Views(tx, [team], [*before, *after])
        holes = oncall.gaps_of(changed, start, end, slot=data.slot)
    return Preview(
        before=views.listed(before),
        after=views.listed(after),
        gaps=[Stretch(start_at=begin, end_at=until) for begin, until in holes],
    )


handlers = [check_schedules, preview_override]
