"""Who is on call, as calculators over time that compose.

A `Calculator` answers for any instant with the whole `Span` around it in which the answer holds, also when
the answer is "nobody". Listing is walking from span to span, so a listing cannot disagree with a lookup and
cannot leave a hole. `schedule.Schedule` is the calculator of a team. Nothing here reads a clock or a database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

import msgspec

from watchbill.features.oncall.cadence import cadence
from watchbill.features.oncall.layers import LayerTurns, layers_of
from watchbill.features.oncall.model import BEGINNING, FOREVER, PRIMARY, Override, Shift, Span, TeamRotation
from watchbill.features.oncall.schedule import Schedule
from watchbill.features.oncall.walls import to_us


class Calculator(Protocol):
    """Anything that knows who is on call at every instant."""

    def at(self, instant: datetime) -> Span:
        """The span around ``instant``: ``start_at <= instant < end_at``."""
        ...


class Nobody:
    """The calculator of a team without a rotation: nobody, for ever."""

    def at(self, instant: datetime) -> Span:
        del instant  # the answer is the same at every one
        return Span(start_at=BEGINNING, end_at=FOREVER, person_id=None, reason="nobody")


def calculator(
    rotation: TeamRotation,
    *,
    phase: int = 0,
    phases: Mapping[str, int] | None = None,
    overrides: Sequence[Override] = (),
    away: Collection[UUID] = (),
    holidays: frozenset[date] = frozenset(),
) -> Schedule:
    """The calculator of one team: its layers under its overrides. ``phase`` is that of a simple rotation."""
    return Schedule(rotation, phases=phases or {"": phase}, overrides=overrides, away=away, holidays=holidays)


def spans(who: Calculator, start_at: datetime, end_at: datetime) -> Iterator[Span]:
    """Every span that touches the window, in order, whole (not cut to the window)."""
    instant = start_at
    while instant < end_at:
        span = who.at(instant)
        yield span
        instant = span.end_at


def gaps(found: Sequence[Span], start_at: datetime, end_at: datetime) -> list[tuple[datetime, datetime]]:
    """The time in the window, of ``found`` spans, in which nobody is on call; touching spans become one gap."""
    holes: list[tuple[datetime, datetime]] = []
    for span in found:
        if span.person_id is not None:
            continue
        start, end = max(span.start_at, start_at), min(span.end_at, end_at)
        if holes and holes[-1][1] == start:
            holes[-1] = (holes[-1][0], end)
        elif start < end:
            holes.append((start, end))
    return holes


def next_after(who: Calculator, instant: datetime, *, most_spans: int = 400) -> Span | None:
    """The first span after ``instant`` with somebody else on call, reduced to those; None when there is nobody."""
    current = set(who.at(instant).people)
    span = who.at(instant)
    for _ in range(most_spans):
        if span.end_at >= FOREVER:
            return None
        span = who.at(span.end_at)
        fresh = tuple(person for person in span.people if person not in current)
        if fresh:
            return msgspec.structs.replace(span, person_id=fresh[0], others=fresh[1:])
    return None


def phase_that_keeps(
    rotation: TeamRotation, *, current: UUID | None, previous_order: Sequence[UUID], at: datetime
) -> int:
    """The phase with which whoever is on call at ``at`` stays on call under a new ``rotation``.

    Adding or removing a teammate would otherwise move everybody's turn. Of a person who is no longer in the
    rotation, the next one in the old order who still is takes over. ``starts_at`` decides by itself: phase 0.
    """
    members = rotation.members
    if rotation.starts_at is not None or not members or current is None:
        return 0
    begin = previous_order.index(current) if current in previous_order else 0
    in_turn = [*previous_order[begin:], *previous_order[:begin]] or [current]
    keeper = next((person for person in in_turn if person in members), None)
    if keeper is None:
        return 0
    turn = cadence(rotation.every, rotation.handoff, rotation.starts_at, rotation.time_zone).turn_at(at)
    return (members.index(keeper) - turn) % len(members)


def phases_that_keep(
    rotation: TeamRotation, *, before: TeamRotation, phases: Mapping[str, int], at: datetime
) -> dict[str, int]:
    """`phase_that_keeps` for each layer that had this name ``before``, does not say where turns are counted from,
    and still has somebody who is on call in it; the other layers' turns begin with their first crew by the calendar.
    """
    kept: dict[str, int] = {}
    earlier = {layer.name: layer for layer in layers_of(before)}
    instant = to_us(at)
    for layer in layers_of(rotation):
        old = earlier.get(layer.name)
        if old is None or layer.count_from or layer.starts_at or layer.rrule or not layer.crews:
            continue
        was = LayerTurns(old, phase=phases.get(old.name, 0))
        turn = was.turn_at(instant)
        now_turn = LayerTurns(layer).turn_at(instant)
        if turn is None or now_turn is None or not old.crews:
            continue
        begin = (turn + phases.get(old.name, 0)) % len(old.crews)
        in_turn = [person for crew in (*old.crews[begin:], *old.crews[:begin]) for person in crew]
        position = next((at for person in in_turn for at, crew in enumerate(layer.crews) if person in crew), None)
        if position is not None:
            kept[layer.name] = (position - now_turn) % len(layer.crews)
    return kept


def catch_up(recorded: Span | None, who: Calculator, *, since: datetime, now: datetime) -> tuple[list[Span], Span]:
    """Carry the record of what was on call forward to ``now``.

    ``recorded`` is the span that was running when the record was last written (None: nothing yet, begin at
    ``since``). Returns the spans that have ended and the one that is running. The past is what the record
    planned until a planned end; only from there on ``who`` is asked, so a later change of plan cannot reach
    back. Somebody who fell out in the middle of a shift hands over at ``now``.
    """
    ended: list[Span] = []
    running = recorded or _from(who.at(since), since)
    now = max(now, running.start_at)  # a transaction that waited for the lock may carry an older instant
    while running.end_at <= now:
        ended.append(running)
        running = _from(who.at(running.end_at), running.end_at)
    actual = who.at(now)
    if actual.says_the_same_as(running):
        return ended, msgspec.structs.replace(running, end_at=actual.end_at)
    if running.start_at < now:
        ended.append(msgspec.structs.replace(running, end_at=now))
    return ended, _from(actual, now)


def _from(span: Span, start_at: datetime) -> Span:
    return msgspec.structs.replace(span, start_at=max(span.start_at, start_at))


def as_shift(span: Span, team_id: UUID, slot: str = PRIMARY) -> Shift | None:
    """The span as a shift of ``team_id`` in ``slot``; None when nobody holds the slot."""
    if slot != PRIMARY:
        return _crew_as_shift(span, team_id, slot)
    if span.person_id is None:
        return None
    return Shift(
        person_id=span.person_id,
        start_at=span.start_at,
        end_at=span.end_at,
        reason=span.reason,
        note=span.note,
        override_id=span.override_id,
        team_id=team_id,
        others=span.others,
        layer=span.layer,
        instead_of=span.instead_of,
        shadows=span.shadows,
    )


def _crew_as_shift(span: Span, team_id: UUID, slot: str) -> Shift | None:
    crew = next((crew for crew in span.slots if crew.slot == slot), None)
    if crew is None or not crew.people:
        return None
    return Shift(
        person_id=crew.people[0],
        start_at=span.start_at,
        end_at=span.end_at,
        reason=crew.reason,
        note=crew.note,
        override_id=crew.override_id,
        team_id=team_id,
        others=crew.people[1:],
        layer=crew.layer,
        instead_of=crew.instead_of,
        shadows=span.shadows,
        slot=slot,
    )
