"""What a draft of a rota is made from: the turns ahead, who can take them, and what each has carried so far."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.oncall_views import From, Slot, To, known_slot, team_of, window
from watchbill.features import identity, oncall, paging
from watchbill.kernel.errors import Invalid

_EDGE = timedelta(days=2)
"""How far before the draft a shift still matters to rest and to nights in a row."""


class DraftTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn ahead, as the rota stands: who holds it now, null when nobody does."""

    start_at: datetime
    end_at: datetime
    login: str | None


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """Time off, without its note."""

    start_at: datetime
    end_at: datetime


class DraftPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A member who takes turns (never a shadow): hours on call, and when pages asked them, in the time looked back."""

    login: str
    hours: float
    asked_at: list[datetime]
    away: list[Away]


class DraftInput(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `watchbill oncall draft` solves over; ``running`` are the turns just before, which stay."""

    team: str
    slot: str
    time_zone: str
    rest_hours: int
    holidays: list[date]
    turns: list[DraftTurn]
    running: list[DraftTurn]
    people: list[DraftPerson]


@get("/oncall/drafting", sync_to_thread=True)
def draft_input(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: Annotated[str, QueryParameter(description="A team's name.")],
    slot: Slot = oncall.PRIMARY,
    start: From = None,
    end: To = None,
    look_back_days: Annotated[int, QueryParameter(name="look_back_days", ge=1, le=400)] = 90,
) -> DraftInput:
    """What a draft of a team's rota is made from (members of the team and admins): turns, people, load, time off."""
    with db.transaction() as tx:
        found = team_of(tx, team, None)
        identity.require(caller, "manage_team", found.id)
        start_at, end_at = window(tx, start, end)
        plan = oncall.load_plans(tx, [found.id]).get(found.id)
        if plan is None:
            raise Invalid(f"{found.name} has no rota", code="draft_empty", hint="add spec.onCall to its manifest")
        known_slot(slot, plan.calculator.slots)
        rotation = plan.stored.rotation
        shadows = set(rotation.shadows) | {p for y in rotation.layers if y.shadow for crew in y.crews for p in crew}
        fillers = [p for p in rotation.members if p not in plan.away and p not in shadows]
        people = identity.people(tx, ids=set(rotation.members))
        # Turns that already run are left as they are.
        near = oncall.shifts(tx, team_id=found.id, start_at=start_at - _EDGE, end_at=end_at, slot=slot)
        known = [
            DraftTurn(
                start_at=shift.start_at,
                end_at=shift.end_at,
                login=people[shift.person_id].login if shift.person_id in people else None,
            )
            for shift in near
        ]
        turns = [turn for turn in known if turn.start_at >= start_at]
        holes = oncall.gaps(tx, team_id=found.id, start_at=start_at, end_at=end_at) if slot == oncall.PRIMARY else []
        turns += [DraftTurn(start_at=begin, end_at=until, login=None) for begin, until in holes]
        since = tx.now - timedelta(days=look_back_days)
        hours = dict.fromkeys(fillers, 0.0)
        for shift in oncall.shifts(tx, team_id=found.id, start_at=since, end_at=tx.now, slot=slot):
            spent = (min(shift.end_at, tx.now) - max(shift.start_at, since)) / timedelta(hours=1)
            for person in shift.people:
                if person in hours:
                    hours[person] += max(spent, 0.0)
        asked = paging.interruptions(tx, team_id=found.id, since=since)
        off = oncall.time_off_of(tx, person_ids=fillers, start_at=start_at, end_at=end_at)
        return DraftInput(
            team=found.name,
            slot=slot,
            time_zone=rotation.time_zone,
            rest_hours=rotation.rest.hours_between or 11,
            holidays=sorted(plan.holidays),
            turns=sorted(turns, key=lambda turn: turn.start_at),
            running=[turn for turn in known if turn.start_at < start_at and turn.login is not None],
            people=[
                DraftPerson(
                    login=people[p].login,
                    hours=hours[p],
                    asked_at=[each.at for each in asked if each.person_id == p],
                    away=[Away(start_at=o.start_at, end_at=o.end_at) for o in off[p]],
                )
                for p in fillers
            ],
        )


handlers = [draft_input]
