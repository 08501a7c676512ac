"""Questions: who is on call, who is next, when am I, and when is nobody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features.oncall import logic, plans, store
from watchbill.features.oncall.model import PRIMARY, SHADOW, OnCall, Override, Shift, Span
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx

LONGEST_WINDOW = timedelta(days=400)


def who_is_on_call(tx: Tx, *, team_id: UUID, at: datetime, slot: str = PRIMARY) -> Shift | None:
    """Who is (or was, or will be) on call for the team at ``at``; None when nobody.

    `Shift.people` is everybody on call at once, `Shift.person_id` the first of them. For the past it is the
    record's answer; for now and the future it is computed.
    """
    if at < tx.now:
        found = store.recorded_at(tx, team_id=team_id, at=at)
        if found is None:
            return None
        span, running = found
        if at < span.end_at:
            return logic.as_shift(span, team_id, slot)
        if not running:
            return None
    plan = plans.load(tx, [team_id], since=at).get(team_id)
    return plan.shift_at(at, slot) if plan else None


def people_on_call(tx: Tx, *, team_id: UUID, at: datetime, slot: str = PRIMARY) -> OnCall:
    """Everybody on call for the team at ``at`` in one slot, with the shadows to tell; past, now or later."""
    shift = who_is_on_call(tx, team_id=team_id, at=at, slot=slot)
    people = shift.people if shift else ()
    shadows = tuple(person for person in (shift.shadows if shift else ()) if person not in people)
    return OnCall(team_id=team_id, at=at, slot=slot, people=people, shadows=shadows, shift=shift)


def on_call_at(tx: Tx, *, at: datetime, team_ids: Iterable[UUID] | None = None) -> dict[UUID, Shift | None]:
    """Who is on call at ``at`` (now or later) for each of these teams (None: all that have a rotation)."""
    loaded = plans.load(tx, team_ids)
    return {team_id: plan.shift_at(max(at, tx.now)) for team_id, plan in loaded.items()}


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A team's answer at one instant: who is on call, and who comes next (None: nobody); and what slots it has."""

    team_id: UUID
    time_zone: str
    on_call: Shift | None
    following: Shift | None
    slots: tuple[str, ...] = (PRIMARY,)


def watches(tx: Tx, *, at: datetime, team_ids: Iterable[UUID] | None = None, slot: str = PRIMARY) -> list[Watch]:
    """The watch of each of these teams (None: all that have a rotation) at ``at``, past or future."""
    loaded = plans.load(tx, team_ids, since=at)
    found: list[Watch] = []
    for team_id, plan in loaded.items():
        past = at < tx.now
        on_call = who_is_on_call(tx, team_id=team_id, at=at, slot=slot) if past else plan.shift_at(at, slot)
        span = logic.next_after(plan.calculator.slot(slot), at)
        following = logic.as_shift(span, team_id) if span else None
        if following is not None:
            following = msgspec.structs.replace(following, slot=slot)
        time_zone = plan.stored.rotation.time_zone
        slots = plan.calculator.slots
        found.append(Watch(team_id=team_id, time_zone=time_zone, on_call=on_call, following=following, slots=slots))
    return found


def next_on_call(tx: Tx, *, team_id: UUID, at: datetime, slot: str = PRIMARY) -> Shift | None:
    """The first shift after ``at`` of somebody other than who is on call then; None when there is no other."""
    plan = plans.load(tx, [team_id], since=at).get(team_id)
    if plan is None:
        return None
    span = logic.next_after(plan.calculator.slot(slot), at)
    found = logic.as_shift(span, team_id) if span else None
    return msgspec.structs.replace(found, slot=slot) if found else None


def shifts(tx: Tx, *, team_id: UUID, start_at: datetime, end_at: datetime, slot: str = PRIMARY) -> list[Shift]:
    """Every shift of a slot that touches the window, whole, in order: recorded until now, planned from now on.

    Raises:
        Invalid: the window is empty or longer than 400 days.
    """
    _check_window(start_at, end_at)
    recorded = store.recorded(tx, team_id=team_id, start_at=start_at, end_at=min(end_at, tx.now))
    past = _recorded_shifts(recorded.get(team_id, []), team_id, slot)
    plan = plans.load(tx, [team_id]).get(team_id)
    if plan is None:
        return past
    return _joined(past, planned(plan, start_at, end_at, now=tx.now, slot=slot), tx.now)


def _recorded_shifts(spans: Iterable[Span], team_id: UUID, slot: str) -> list[Shift]:
    """A record's lines as shifts of one slot; where only another slot changed, it is one shift."""
    found: list[Shift] = []
    for span in spans:
        shift = logic.as_shift(span, team_id, slot)
        if shift is None:
            continue
        if found and (span.slots or span.shadows) and found[-1].end_at == shift.start_at and _same(found[-1], shift):
            found[-1] = msgspec.structs.replace(found[-1], end_at=shift.end_at)
        else:
            found.append(shift)
    return found


def _same(one: Shift, other: Shift) -> bool:
    return (one.people, one.reason, one.layer, one.override_id) == (
        other.people,
        other.reason,
        other.layer,
        other.override_id,
    )


def planned(
    plan: plans.Plan, start_at: datetime, end_at: datetime, *, now: datetime, slot: str = PRIMARY
) -> list[Shift]:
    """Planned shifts of a slot from now on, and those of a past that the record has not caught up with."""
    running = plan.stored.running
    begin = min(now, running.end_at) if running else now
    team_id = plan.stored.rotation.team_id
    if plan.calculator.plain and slot == PRIMARY:
        spans = _spans(plan, max(begin, start_at), end_at)
        found = (plan.at(s.start_at if s.start_at >= begin else begin) for s in spans)
        return [shift for shift in (logic.as_shift(span, team_id) for span in found) if shift is not None]
    listed = logic.spans(plan.calculator.slot(slot), max(begin, start_at), end_at)
    told = (plan.shift_at(max(span.start_at, begin), slot) for span in listed if span.people)
    return [shift for shift in told if shift is not None]


def _spans(plan: plans.Plan, start_at: datetime, end_at: datetime, slot: str = PRIMARY) -> list[Span]:
    calculator = plan.calculator if plan.calculator.plain and slot == PRIMARY else plan.calculator.slot(slot)
    return list(logic.spans(calculator, start_at, end_at))


def _joined(past: list[Shift], planned: list[Shift], now: datetime) -> list[Shift]:
    """One line of shifts; the one that is running now comes from both sides and is told once."""
    if past and planned and past[-1].end_at > planned[0].start_at:
        last, first = past[-1], planned[0]
        if _same(last, first):
            begun = min(last.start_at, first.start_at)
            return [*past[:-1], msgspec.structs.replace(first, start_at=begun), *planned[1:]]
        # the record has not seen the change yet: it holds until now
        changed_at = max(now, first.start_at)
        return [
            *past[:-1],
            msgspec.structs.replace(last, end_at=changed_at),
            msgspec.structs.replace(first, start_at=changed_at),
            *planned[1:],
        ]
    return [*past, *planned]


def gaps(tx: Tx, *, team_id: UUID, start_at: datetime, end_at: datetime) -> list[tuple[datetime, datetime]]:
    """When nobody is on call for the team within the window, from now on; a team without a rotation is one gap.

    Raises:
        Invalid: the window is empty or longer than 400 days.
    """
    return all_gaps(tx, start_at=start_at, end_at=end_at, team_ids=[team_id])[team_id]


def all_gaps(
    tx: Tx, *, start_at: datetime, end_at: datetime, team_ids: Iterable[UUID] | None = None
) -> dict[UUID, list[tuple[datetime, datetime]]]:
    """`gaps` of these teams (None: all that have a rotation), also those without any gap."""
    _check_window(start_at, end_at)
    wanted = None if team_ids is None else list(team_ids)
    loaded = plans.load(tx, wanted)
    begin = max(start_at, tx.now)
    found = {team_id: logic.gaps(_spans(plan, begin, end_at), begin, end_at) for team_id, plan in loaded.items()}
    for team_id in wanted or ():
        found.setdefault(team_id, [(begin, end_at)] if begin < end_at else [])
    return found


def gaps_of(
    plan: plans.Plan, start_at: datetime, end_at: datetime, *, slot: str = PRIMARY
) -> list[tuple[datetime, datetime]]:
    """When nobody holds a slot of this plan within the window."""
    return logic.gaps(_spans(plan, start_at, end_at, slot), start_at, end_at)


def my_shifts(tx: Tx, *, person_id: UUID, start_at: datetime, end_at: datetime, shadows: bool = False) -> list[Shift]:
    """The shifts of one person in all teams and slots that touch the window, in order of time.

    With ``shadows`` also the coming times in which a layer has them as a shadow (slot `SHADOW`).

    Raises:
        Invalid: the window is empty or longer than 400 days.
    """
    _check_window(start_at, end_at)
    past = store.recorded(tx, person_id=person_id, start_at=start_at, end_at=min(end_at, tx.now))
    mine: list[Shift] = []
    for team_id, spans in past.items():
        slots = dict.fromkeys([PRIMARY, *(crew.slot for span in spans for crew in span.slots)])
        told = [shift for slot in slots for shift in _recorded_shifts(spans, team_id, slot)]
        mine.extend(shift for shift in told if shift.end_at <= tx.now and person_id in shift.people)
    for plan in plans.load(tx).values():
        named = {*plan.stored.rotation.members, *(override.person_id for override in plan.overrides)}
        if person_id not in named:
            continue
        for slot in (*plan.calculator.slots, *((SHADOW,) if shadows else ())):
            line = planned(plan, start_at, end_at, now=tx.now, slot=slot)
            mine.extend(shift for shift in line if person_id in shift.people)
    return sorted((_as_mine(shift, person_id) for shift in mine), key=lambda s: (s.start_at, str(s.team_id), s.slot))


def _as_mine(shift: Shift, person_id: UUID) -> Shift:
    if shift.person_id == person_id:
        return shift
    others = tuple(person for person in shift.people if person != person_id)
    return msgspec.structs.replace(shift, person_id=person_id, others=others)


def overrides(tx: Tx, *, team_id: UUID, start_at: datetime, end_at: datetime) -> list[Override]:
    """The team's overrides that count somewhere in the window, oldest made first."""
    return store.overrides(tx, [team_id], start_at=start_at, end_at=end_at)


def _check_window(start_at: datetime, end_at: datetime) -> None:
    if not timedelta(0) < end_at - start_at <= LONGEST_WINDOW:
        raise Invalid(
            "the window must end after it starts and span 400 days at most", field="to", hint="choose a later end"
        )
