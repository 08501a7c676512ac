"""Swaps: ask for one, answer it, take a colleague's shift."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.oncall import OverrideView
from watchbill.api.oncall_views import Login, PersonRef, TeamName, acting_person, aware, person_of, ref, team_of
from watchbill.features import catalog, identity, oncall
from watchbill.features.identity import Caller
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Database, Tx


class NewSwap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask ``to`` (a login; the whole team when left out) to take ``person``'s time (the caller's when left out).

    ``back_start_at`` and ``back_end_at``: the time of ``to`` that ``person`` takes in return.
    """

    team: str
    start_at: datetime
    end_at: datetime
    to: str | None = None
    person: str | None = None
    back_start_at: datetime | None = None
    back_end_at: datetime | None = None
    note: str = ""
    slot: str = oncall.PRIMARY


class TakenShift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take over at once from whoever is on call, or from ``instead_of``; ``person`` is the caller when left out."""

    team: str
    start_at: datetime
    end_at: datetime
    person: str | None = None
    instead_of: str | None = None
    note: str = ""
    slot: str = oncall.PRIMARY


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers: the caller when left out; an admin may answer for somebody."""

    person: str | None = None


class SwapView(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it stands; ``state`` is open, accepted, declined, withdrawn, expired or undone."""

    id: UUID
    team: str
    slot: str
    from_person: PersonRef
    to_person: PersonRef | None
    start_at: datetime
    end_at: datetime
    back_start_at: datetime | None
    back_end_at: datetime | None
    note: str
    state: str
    decided_by: PersonRef | None
    decided_at: datetime | None
    created_at: datetime
    expires_at: datetime


@get("/oncall/swaps", sync_to_thread=True)
def list_swaps(
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    person: Login = None,
    open_only: Annotated[bool, QueryParameter(name="open", description="Only those that wait for an answer.")] = False,
) -> list[SwapView]:
    """Requests of a team, or that concern a person; newest first, the last 30 days."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        team_ids = [team_of(tx, team, None).id] if team else None
        person_id = person_of(tx, caller, person).id if person else None
        found = oncall.swaps(tx, team_ids=team_ids, person_id=person_id, open_only=open_only)
        return _views(tx, found)


@post("/oncall/swaps", sync_to_thread=True)
def request_swap(caller: GivenCaller, db: GivenDb, data: JSONBody[NewSwap]) -> SwapView:
    """Ask somebody, or the whole team, to take time of mine; nothing changes until somebody accepts."""
    if (data.back_start_at is None) != (data.back_end_at is None):
        raise Invalid("the time in return has only one end", field="back_end_at", hint="give both ends, or none")
    with db.transaction() as tx:
        team = team_of(tx, data.team, None)
        identity.require(caller, "manage_team", team.id)
        back = None
        if data.back_start_at is not None and data.back_end_at is not None:
            back = (aware(data.back_start_at, "back_start_at"), aware(data.back_end_at, "back_end_at"))
        made = oncall.request_swap(
            tx,
            team_id=team.id,
            from_person=acting_person(tx, caller, data.person).id,
            to_person=person_of(tx, caller, data.to).id if data.to else None,
            start_at=aware(data.start_at, "start_at"),
            end_at=aware(data.end_at, "end_at"),
            back=back,
            note=data.note.strip(),
            slot=data.slot,
            actor=caller.actor,
        )
        return _views(tx, [made])[0]


@post("/oncall/swaps/{swap_id:uuid}/accept", sync_to_thread=True, status_code=200)
def accept_swap(caller: GivenCaller, db: GivenDb, swap_id: FromPath[UUID], data: JSONBody[Answer]) -> SwapView:
    """Take over: who was asked, or for an offer any member of the team."""
    return _answer(caller, db, swap_id, data, oncall.accept_swap)


@post("/oncall/swaps/{swap_id:uuid}/decline", sync_to_thread=True, status_code=200)
def decline_swap(caller: GivenCaller, db: GivenDb, swap_id: FromPath[UUID], data: JSONBody[Answer]) -> SwapView:
    """Say no: only who was asked."""
    return _answer(caller, db, swap_id, data, oncall.decline_swap)


def _answer(caller: Caller, db: Database, swap_id: UUID, data: Answer, decide: Callable[..., oncall.Swap]) -> SwapView:
    with db.transaction() as tx:
        swap = oncall.swap_by_id(tx, swap_id=swap_id)
        identity.require(caller, "manage_team", swap.team_id)
        person = acting_person(tx, caller, data.person)
        return _views(tx, [decide(tx, swap_id=swap_id, person_id=person.id, actor=caller.actor)])[0]


@post("/oncall/swaps/{swap_id:uuid}/withdraw", sync_to_thread=True, status_code=200)
def withdraw_swap(caller: GivenCaller, db: GivenDb, swap_id: FromPath[UUID]) -> SwapView:
    """Take a request back: members of the team and admins."""
    with db.transaction() as tx:
        swap = oncall.swap_by_id(tx, swap_id=swap_id)
        identity.require(caller, "manage_team", swap.team_id)
        done = oncall.withdraw_swap(tx, swap_id=swap_id, person_id=caller.person_id, actor=caller.actor)
        return _views(tx, [done])[0]


@post("/oncall/swaps/{swap_id:uuid}/undo", sync_to_thread=True, status_code=200)
def undo_swap(caller: GivenCaller, db: GivenDb, swap_id: FromPath[UUID]) -> SwapView:
    """Cancel what of an accepted swap is still ahead: members of the team and admins."""
    with db.transaction() as tx:
        swap = oncall.swap_by_id(tx, swap_id=swap_id)
        identity.require(caller, "manage_team", swap.team_id)
        done = oncall.undo_swap(tx, swap_id=swap_id, person_id=caller.person_id, actor=caller.actor)
        return _views(tx, [done])[0]


@post("/oncall/take", sync_to_thread=True)
def take_shift(caller: GivenCaller, db: GivenDb, data: JSONBody[TakenShift]) -> list[OverrideView]:
    """Take a colleague's time at once; they see it, and it can be cancelled like any override."""
    with db.transaction() as tx:
        team = team_of(tx, data.team, None)
        identity.require(caller, "manage_team", team.id)
        person = acting_person(tx, caller, data.person)
        made = oncall.take_shift(
            tx,
            team_id=team.id,
            person_id=person.id,
            start_at=aware(data.start_at, "start_at"),
            end_at=aware(data.end_at, "end_at"),
            instead_of=person_of(tx, caller, data.instead_of).id if data.instead_of else None,
            note=data.note.strip(),
            slot=data.slot,
            actor=caller.actor,
        )
    return [
        OverrideView(
            id=one.id,
            team=team.name,
            person=ref(person),
            start_at=one.start_at,
            end_at=one.end_at,
            reason=one.reason,
            created_at=one.created_at,
            cancelled_at=one.cancelled_at,
            slot=one.slot,
            kind=one.kind,
        )
        for one in made
    ]


def _views(tx: Tx, found: list[oncall.Swap]) -> list[SwapView]:
    named = {p for s in found for p in (s.from_person, s.to_person, s.decided_by) if p is not None}
    people = identity.people(tx, ids=named)
    teams = {team.id: team.name for team in catalog.teams(tx, ids=list({s.team_id for s in found}))}
    return [
        SwapView(
            id=s.id,
            team=teams.get(s.team_id, str(s.team_id)),
            slot=s.slot,
            from_person=ref(people[s.from_person]),
            to_person=ref(people[s.to_person]) if s.to_person else None,
            start_at=s.start_at,
            end_at=s.end_at,
            back_start_at=s.back_start_at,
            back_end_at=s.back_end_at,
            note=s.note,
            state=s.state,
            decided_by=ref(people[s.decided_by]) if s.decided_by else None,
            decided_at=s.decided_at,
            created_at=s.created_at,
            expires_at=s.expires_at,
        )
        for s in found
    ]


handlers = [
    list_swaps,
    request_swap,
    accept_swap,
    decline_swap,
    withdraw_swap,
    undo_swap,
    take_shift,
]
