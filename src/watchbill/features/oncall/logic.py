"""Who is on call, as calculators over time that compose.

A `Calculator` answers for any instant with the whole `Span` around it in which the answer holds, also when
the answer is "nobody". Listing is walking from span to span, so a listing cannot disagree with a lookup and
cannot leave a hole. What comes later (layers, restrictions, shadows, swaps) is one more calculator that wraps
others. Nothing here reads a clock or a database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from watchbill.features.oncall.cadence import Cadence, cadence
from watchbill.features.oncall.model import BEGINNING, FOREVER, PRIMARY, Override, Shift, Span, TeamRotation


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


class Rotation:
    """Members take turns; who is ``away`` (left, inactive) is stood in for by the next one who is not."""

    def __init__(
        self, handoffs: Cadence, members: Sequence[UUID], *, phase: int = 0, away: Collection[UUID] = ()
    ) -> None:
        self._handoffs = handoffs
        self._phase = phase
        self._turns = tuple(_stand_in(members, position, away) for position in range(len(members)))

    def at(self, instant: datetime) -> Span:
        turn, start, end = self._handoffs.turn_with_bounds(instant)
        if not self._turns:
            return Span(start_at=start, end_at=end, person_id=None, reason="nobody")
        person_id, stands_in = self._turns[(turn + self._phase) % len(self._turns)]
        if person_id is None:
            return Span(start_at=start, end_at=end, person_id=None, reason="nobody")
        return Span(start_at=start, end_at=end, person_id=person_id, reason="stand-in" if stands_in else "rotation")


def _stand_in(members: Sequence[UUID], position: int, away: Collection[UUID]) -> tuple[UUID | None, bool]:
    """Who takes the turn at ``position``, and whether in somebody's stead."""
    for step in range(len(members)):
        candidate = members[(position + step) % len(members)]
        if candidate not in away:
            return candidate, step > 0
    return None, False


class Overridden:
    """``base``, except where an override covers the time; of several the one made last counts.

    An override whose person is ``away`` is passed over, so that it never empties a slot.
    """

    def __init__(self, base: Calculator, overrides: Sequence[Override], *, away: Collection[UUID] = ()) -> None:
        self._base = base
        self._overrides = sorted(
            (o for o in overrides if o.start_at < o.until and o.person_id not in away),
            key=lambda o: (o.created_at, o.id),
        )

    def at(self, instant: datetime) -> Span:
        if not self._overrides:
            return self._base.at(instant)
        covering = [rank for rank, o in enumerate(self._overrides) if o.start_at <= instant < o.until]
        if not covering:
            return _clip(self._base.at(instant), self._overrides, instant)
        chosen = self._overrides[covering[-1]]
        whole = Span(
            start_at=chosen.start_at,
            end_at=chosen.until,
            person_id=chosen.person_id,
            reason="override",
            note=chosen.reason,
            override_id=chosen.id,
        )
        return _clip(whole, self._overrides[covering[-1] + 1 :], instant)


def _clip(span: Span, overrides: Sequence[Override], instant: datetime) -> Span:
    """Cut ``span`` where one of ``overrides`` (none of which covers ``instant``) ends before or begins after."""
    start = max([span.start_at, *(o.until for o in overrides if o.until <= instant)])
    end = min([span.end_at, *(o.start_at for o in overrides if o.start_at > instant)])
    return msgspec.structs.replace(span, start_at=start, end_at=end)


def calculator(
    rotation: TeamRotation, *, phase: int = 0, overrides: Sequence[Override] = (), away: Collection[UUID] = ()
) -> Calculator:
    """The calculator of one team: its rotation under its overrides."""
    handoffs = cadence(rotation.every, rotation.handoff, rotation.starts_at, rotation.time_zone)
    turns = Rotation(handoffs, rotation.members, phase=phase, away=away)
    return Overridden(turns, overrides, away=away) if overrides else turns


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
    """The first span after ``instant`` with somebody else on call; None when there is nobody else."""
    current = who.at(instant)
    span = current
    for _ in range(most_spans):
        if span.end_at >= FOREVER:
            return None
        span = who.at(span.end_at)
        if span.person_id is not None and span.person_id != current.person_id:
            return span
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
