"""Swaps: ask somebody to take time of mine, offer it to the team, or take a colleague's.

A request changes nothing until it is accepted; then it is one override that relieves the person who asked, and one
the other way round where time is given in return. Undoing cancels what of them has not been yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog, identity
from watchbill.features.oncall import actions, logic, plans
from watchbill.features.oncall.model import PRIMARY, Override
from watchbill.features.oncall.tables import oncall_override, oncall_swap
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

SwapState = Literal["open", "accepted", "declined", "withdrawn", "expired", "undone"]
LONGEST_SWAP = timedelta(days=92)
SHOWN_FOR = timedelta(days=30)


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """``from_person`` wants to be relieved from ``start_at`` until ``end_at`` by ``to_person`` (None: anybody).

    In return ``from_person`` takes ``to_person``'s time from ``back_start_at`` until ``back_end_at``, where given.
    ``decided_by`` is who accepted, declined, withdrew or undid it.
    """

    id: UUID
    team_id: UUID
    slot: str
    from_person: UUID
    to_person: UUID | None
    start_at: datetime
    end_at: datetime
    back_start_at: datetime | None
    back_end_at: datetime | None
    note: str
    state: SwapState
    created_by: str
    created_at: datetime
    expires_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None


def request_swap(
    tx: Tx,
    *,
    team_id: UUID,
    from_person: UUID,
    start_at: datetime,
    end_at: datetime,
    actor: ledger.Actor,
    to_person: UUID | None = None,
    back: tuple[datetime, datetime] | None = None,
    note: str = "",
    slot: str = PRIMARY,
) -> Swap:
    """Ask ``to_person``, or with None offer to the whole team, to take over. A start in the past becomes now.

    Raises:
        Invalid: the times, or who is asked. Conflict: the person is not on call then, or asked for it already.
    """
    start_at = max(start_at, tx.now)
    _check_times(tx.now, start_at, end_at, back, note)
    if back is not None and to_person is None:
        raise Invalid("nobody is named to give time back to", field="to", hint="name who takes over, or ask for none")
    if to_person == from_person:
        raise Invalid("a swap is between two people", field="to", hint="name somebody else, or offer it to the team")
    _require_on_call(tx, team_id=team_id, person_id=from_person, start_at=start_at, end_at=end_at, slot=slot)
    if to_person is not None:
        _require_member(tx, team_id=team_id, person_id=to_person)
    if back is not None and to_person is not None:
        _require_on_call(tx, team_id=team_id, person_id=to_person, start_at=back[0], end_at=back[1], slot=slot)
    same = sa.select(oncall_swap.c.id).where(
        oncall_swap.c.state == "open",
        oncall_swap.c.expires_at > tx.now,
        oncall_swap.c.from_person == from_person,
        oncall_swap.c.team_id == team_id,
        oncall_swap.c.slot == slot,
        oncall_swap.c.start_at < end_at,
        oncall_swap.c.end_at > start_at,
    )
    if tx.execute(same.limit(1)).scalar() is not None:
        hint = "withdraw the other request first"
        raise Conflict("there is an open request for this time already", code="swap_open", hint=hint)
    swap = Swap(
        id=new_id(),
        team_id=team_id,
        slot=slot,
        from_person=from_person,
        to_person=to_person,
        start_at=start_at,
        end_at=end_at,
        back_start_at=back[0] if back else None,
        back_end_at=back[1] if back else None,
        note=note,
        state="open",
        created_by=f"{actor.kind}:{actor.id}",
        created_at=tx.now,
        expires_at=min(end_at, back[1]) if back else end_at,
        decided_by=None,
        decided_at=None,
    )
    tx.execute(sa.insert(oncall_swap).values(msgspec.structs.asdict(swap)))
    _say(tx, "swap.requested", swap, actor)
    return swap


def accept_swap(tx: Tx, *, swap_id: UUID, person_id: UUID, actor: ledger.Actor) -> Swap:
    """``person_id`` takes over; accepting again what one has accepted changes nothing.

    Raises:
        NotFound: no such request. Forbidden: somebody else was asked, or the person is not in the team.
        Conflict: it is not open any more, or the one who asked is not on call then any more.
    """
    swap = _locked(tx, swap_id)
    if swap.state == "accepted" and swap.decided_by == person_id:
        return swap
    _require_open(swap)
    if swap.to_person is not None and swap.to_person != person_id:
        raise Forbidden("somebody else was asked", hint="they accept or decline; you may take the shift instead")
    if person_id == swap.from_person:
        raise Forbidden("this is your own request", hint="withdraw it to keep the shift")
    _require_member(tx, team_id=swap.team_id, person_id=person_id)
    _require_on_call(
        tx,
        team_id=swap.team_id,
        person_id=swap.from_person,
        start_at=max(swap.start_at, tx.now),
        end_at=swap.end_at,
        slot=swap.slot,
    )
    relieves = [(person_id, swap.from_person, swap.start_at, swap.end_at)]
    if swap.back_start_at is not None and swap.back_end_at is not None:
        relieves.append((swap.from_person, person_id, swap.back_start_at, swap.back_end_at))
    for taker, relieved, start_at, end_at in relieves:
        actions.add_override(
            tx,
            team_id=swap.team_id,
            person_id=taker,
            start_at=start_at,
            end_at=end_at,
            actor=actor,
            reason=swap.note,
            slot=swap.slot,
            kind="taken" if swap.to_person is None else "swap",
            instead_of=relieved,
            swap_id=swap.id,
        )
    return _decide(tx, swap, "accepted", person_id, actor)


def decline_swap(tx: Tx, *, swap_id: UUID, person_id: UUID, actor: ledger.Actor) -> Swap:
    """The one who was asked says no.

    Raises:
        NotFound: no such request. Forbidden: somebody else was asked. Conflict: it is not open any more.
    """
    swap = _locked(tx, swap_id)
    _require_open(swap)
    if swap.to_person != person_id:
        raise Forbidden("you were not asked by name", hint="an offer to the whole team needs no answer")
    return _decide(tx, swap, "declined", person_id, actor)


def withdraw_swap(tx: Tx, *, swap_id: UUID, person_id: UUID | None, actor: ledger.Actor) -> Swap:
    """Take a request back; the caller has checked that it is theirs or that they manage the team.

    Raises:
        NotFound: no such request. Conflict: it is not open any more.
    """
    swap = _locked(tx, swap_id)
    _require_open(swap)
    return _decide(tx, swap, "withdrawn", person_id, actor)


def undo_swap(tx: Tx, *, swap_id: UUID, person_id: UUID | None, actor: ledger.Actor) -> Swap:
    """Cancel what of an accepted swap has not been yet; undoing again changes nothing.

    Raises:
        NotFound: no such request. Conflict: it was not accepted, or all of it is over.
    """
    swap = _locked(tx, swap_id)
    if swap.state == "undone":
        return swap
    if swap.state != "accepted":
        raise Conflict(f"the swap is {swap.state}, not accepted", code="swap_not_accepted", hint="nothing to undo")
    rows = tx.execute(
        sa.select(oncall_override.c.id).where(
            oncall_override.c.swap_id == swap.id,
            oncall_override.c.cancelled_at.is_(None),
            oncall_override.c.end_at > tx.now,
        )
    ).scalars()
    ahead = list(rows)
    if not ahead:
        raise Conflict("the swap is over", code="swap_over", hint="who was on call is recorded and stays")
    for override_id in ahead:
        actions.cancel_override(tx, override_id=override_id, actor=actor)
    return _decide(tx, swap, "undone", person_id, actor)


def take_shift(
    tx: Tx,
    *,
    team_id: UUID,
    person_id: UUID,
    start_at: datetime,
    end_at: datetime,
    actor: ledger.Actor,
    instead_of: UUID | None = None,
    note: str = "",
    slot: str = PRIMARY,
) -> list[Override]:
    """Take a colleague's time at once: relieving somebody needs no acceptance, and they can see it and undo it.

    Without ``instead_of`` everybody else who is on call alone in the window is relieved.

    Raises:
        Invalid: the times, or several people are on call at once then.
        Conflict: nobody else is on call then.
    """
    start_at = max(start_at, tx.now)
    _check_times(tx.now, start_at, end_at, None, note)
    _require_member(tx, team_id=team_id, person_id=person_id)
    plan = plans.load(tx, [team_id]).get(team_id)
    spans = [] if plan is None else list(logic.spans(plan.calculator.slot(slot), start_at, end_at))
    crews = [tuple(person for person in span.people if person != person_id) for span in spans]
    if instead_of is None and any(len(span.people) > 1 for span in spans):
        raise Invalid("several people are on call at once then", field="instead_of", hint="say whose shift you take")
    whom = {person for crew in crews for person in crew if instead_of in {None, person}}
    if not whom:
        hint = "see `watchbill oncall show TEAM`; an override puts you on call whoever's turn it is"
        raise Conflict("there is nobody to relieve then", code="not_on_call", hint=hint)
    return [
        actions.add_override(
            tx,
            team_id=team_id,
            person_id=person_id,
            start_at=start_at,
            end_at=end_at,
            actor=actor,
            reason=note,
            slot=slot,
            kind="taken",
            instead_of=relieved,
        )
        for relieved in sorted(whom)
    ]


def expire_swaps(tx: Tx) -> int:
    """Close requests that nobody answered in time; returns how many."""
    found = tx.execute(
        sa.select(oncall_swap)
        .where(oncall_swap.c.state == "open", oncall_swap.c.expires_at <= tx.now)
        .order_by(oncall_swap.c.id)
        .limit(500)
        .with_for_update(skip_locked=True)
    ).all()
    for row in found:
        _decide(tx, _swap(row), "expired", None, ledger.system("oncall"))
    return len(found)


def swap_by_id(tx: Tx, *, swap_id: UUID) -> Swap:
    """One request as it stands.

    Raises:
        NotFound: there is none.
    """
    row = tx.execute(sa.select(oncall_swap).where(oncall_swap.c.id == swap_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such swap request", field="swap", hint="see `watchbill oncall swap list`")
    return _as_of(_swap(row), tx.now)


def swaps(
    tx: Tx, *, team_ids: Iterable[UUID] | None = None, person_id: UUID | None = None, open_only: bool = False
) -> list[Swap]:
    """Requests of these teams, or that concern a person, newest first: the open ones and those of the last 30 days."""
    query = sa.select(oncall_swap).where(oncall_swap.c.end_at > tx.now - SHOWN_FOR)
    if team_ids is not None:
        query = query.where(oncall_swap.c.team_id.in_(list(team_ids)))
    if person_id is not None:
        mine = (oncall_swap.c.from_person, oncall_swap.c.to_person, oncall_swap.c.decided_by)
        query = query.where(sa.or_(*(column == person_id for column in mine)))
    if open_only:
        query = query.where(oncall_swap.c.state == "open", oncall_swap.c.expires_at > tx.now)
    rows = tx.execute(query.order_by(oncall_swap.c.created_at.desc(), oncall_swap.c.id).limit(500))
    return [_as_of(_swap(row), tx.now) for row in rows]


def _swap(row: sa.Row[tuple[object, ...]]) -> Swap:
    return msgspec.convert(row, Swap, from_attributes=True)


def _as_of(swap: Swap, now: datetime) -> Swap:
    """A request that nobody answered in time is expired, also before the worker has passed."""
    if swap.state == "open" and swap.expires_at <= now:
        return msgspec.structs.replace(swap, state="expired")
    return swap


def _locked(tx: Tx, swap_id: UUID) -> Swap:
    row = tx.execute(sa.select(oncall_swap).where(oncall_swap.c.id == swap_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("there is no such swap request", field="swap", hint="see `watchbill oncall swap list`")
    return _as_of(_swap(row), tx.now)


def _require_open(swap: Swap) -> None:
    if swap.state != "open":
        said = "it was not answered in time" if swap.state == "expired" else f"it is {swap.state}"
        raise Conflict(f"the request is not open any more: {said}", code="swap_closed", hint="make a new one")


def _decide(tx: Tx, swap: Swap, state: SwapState, person_id: UUID | None, actor: ledger.Actor) -> Swap:
    decided = msgspec.structs.replace(swap, state=state, decided_by=person_id, decided_at=tx.now)
    tx.execute(
        sa.update(oncall_swap)
        .where(oncall_swap.c.id == swap.id)
        .values(state=state, decided_by=person_id, decided_at=tx.now)
    )
    _say(tx, f"swap.{state}", decided, actor)
    return decided


def _check_times(
    now: datetime, start_at: datetime, end_at: datetime, back: tuple[datetime, datetime] | None, note: str
) -> None:
    for begin, end, field in [(start_at, end_at, "to"), *([(*back, "back_to")] if back else [])]:
        if end <= max(begin, now):
            raise Invalid("the time would end before it starts", field=field, hint="choose an end after now")
        if end - begin > LONGEST_SWAP:
            raise Invalid("the time is longer than 92 days", field=field, hint="change the rotation instead")
    if len(note) > 500:
        raise Invalid("the note is longer than 500 characters", field="note", hint="say it shorter")


def _require_on_call(
    tx: Tx, *, team_id: UUID, person_id: UUID, start_at: datetime, end_at: datetime, slot: str
) -> None:
    plan = plans.load(tx, [team_id]).get(team_id)
    line: Sequence[object] = ()
    if plan is not None:
        found = logic.spans(plan.calculator.slot(slot), start_at, end_at)
        line = [span for span in found if person_id in span.people]
    if not line:
        people = identity.people(tx, ids=[person_id])
        who = people[person_id].login if person_id in people else "that person"
        hint = "see `watchbill oncall show TEAM` for who is on call when"
        raise Conflict(f"{who} is not on call then", code="not_on_call", field="from", hint=hint)


def _require_member(tx: Tx, *, team_id: UUID, person_id: UUID) -> None:
    people = identity.people(tx, ids=[person_id])
    members = {m.person_id for m in catalog.members(tx, team_ids=[team_id])[team_id] if m.role != "shadow"}
    if person_id not in people or not people[person_id].active:
        raise Invalid("there is no such active person", field="person", hint="name a member of the team")
    if person_id not in members:
        hint = "only leads and members answer the team's pages; a lead can add an override for somebody else"
        raise Forbidden(f"{people[person_id].login} is not a member of the team", hint=hint)


def _say(tx: Tx, name: str, swap: Swap, actor: ledger.Actor) -> None:
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("team", swap.team_id),
        team_id=swap.team_id,
        why=swap.note if name == "swap.requested" else "",
        data={
            "swap_id": str(swap.id),
            "from_person": str(swap.from_person),
            "to_person": str(swap.to_person) if swap.to_person else None,
            "from": swap.start_at.isoformat(),
            "to": swap.end_at.isoformat(),
        },
    )
    tx.hint("watchbill_live", f"oncall:{swap.team_id}")
