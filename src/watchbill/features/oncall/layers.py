"""Layers and slots: who is on call before anybody overrides it. Instants are microseconds (see `walls`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from watchbill.features.oncall.cadence import Cadence, Handoffs, cadence
from watchbill.features.oncall.model import Layer, LayerShape, TeamRotation
from watchbill.features.oncall.rules import rule_handoffs
from watchbill.features.oncall.walls import BEGINNING_US, FOREVER_US, from_reading, reading, wall_clock
from watchbill.features.oncall.windows import restriction

_EARLY = date(1970, 1, 1)


class Answer(NamedTuple):
    """Who, and why: the same from ``start`` until just before ``end``."""

    start: int
    end: int
    people: tuple[UUID, ...]
    stands_in: bool = False
    layer: str = ""


class LayerTurns:
    """One layer. People who are ``away`` (left, inactive) fall out of their crew; an empty crew is stood in for
    by the next one that is not, so that leaving never empties a slot.
    """

    __slots__ = ("_begin", "_clock", "_crews", "_end", "_handoffs", "_name", "_phase", "_restriction")

    def __init__(
        self, layer: Layer, *, phase: int = 0, away: Collection[UUID] = (), holidays: frozenset[date] = frozenset()
    ) -> None:
        self._name = layer.name
        self._clock = wall_clock(layer.time_zone)
        self._handoffs = handoffs_of(layer)
        self._restriction = restriction(layer.windows, layer.holidays, holidays)
        self._begin = BEGINNING_US if layer.starts_at is None else reading(layer.starts_at)
        self._end = FOREVER_US if layer.ends_at is None else reading(layer.ends_at)
        self._phase = phase
        self._crews = tuple(_stand_in(layer.crews, position, away) for position in range(len(layer.crews)))

    def at(self, instant: int) -> Answer:
        """Who takes the layer's turn at ``instant``; a stretch without anybody is whole, whatever turns lie in it."""
        clock = self._clock
        reached = clock.reached(instant)
        inside, start, end = self._restriction.piece(reached)
        if not inside or not self._begin <= reached < self._end or not self._crews:
            return self._empty(reached, inside, start, end)
        turn, turn_start, turn_end = self._handoffs.turn(reached)
        begin = clock.first_instant(max(start, turn_start, self._begin))
        until = clock.first_instant(min(end, turn_end, self._end))
        if turn is None:
            return Answer(BEGINNING_US, until, ())
        people, stands_in = self._crews[(turn + self._phase) % len(self._crews)]
        return Answer(begin, until, people, stands_in, self._name)

    def _empty(self, reached: int, inside: bool, start: int, end: int) -> Answer:
        """Before the layer begins, after it ended, outside its windows, or without people."""
        if not self._crews or reached >= self._end:
            begin = BEGINNING_US if not self._crews else self._clock.first_instant(max(self._last_end(), self._begin))
            return Answer(begin, FOREVER_US, ())
        if reached < self._begin:
            inside, _, end = self._restriction.piece(self._begin)
            until = self._begin if inside else end
            return Answer(BEGINNING_US, self._clock.first_instant(min(until, self._end)), ())
        begin = BEGINNING_US if start <= self._begin else self._clock.first_instant(start)
        until = FOREVER_US if end >= self._end else self._clock.first_instant(end)
        return Answer(begin, until, ())

    def _last_end(self) -> int:
        """When the layer's last stretch ended, for a layer that has."""
        inside, start, _ = self._restriction.piece(self._end - 1)
        return self._end if inside else start

    def turn_at(self, instant: int) -> int | None:
        """The number of the turn that runs at ``instant``; None before the first of a rule."""
        return self._handoffs.turn(self._clock.reached(instant))[0]


def _stand_in(
    crews: Sequence[tuple[UUID, ...]], position: int, away: Collection[UUID]
) -> tuple[tuple[UUID, ...], bool]:
    """Who takes the turn at ``position``, and whether in somebody's stead."""
    for step in range(len(crews)):
        present = tuple(person for person in crews[(position + step) % len(crews)] if person not in away)
        if present:
            return present, step > 0
    return (), False


def handoffs_of(layer: LayerShape) -> Handoffs:
    """The handoffs that a layer describes.

    Raises:
        Invalid: it cannot be followed; each problem names its field.
    """
    return _handoffs(LayerShape(**{name: getattr(layer, name) for name in LayerShape.__struct_fields__}))


@lru_cache(maxsize=4096)
def _handoffs(shape: LayerShape) -> Handoffs:
    starts_at = shape.starts_at
    counted = shape.count_from or (starts_at.date() if starts_at else None)
    if shape.rrule:
        return rule_handoffs(shape.rrule, starts_at or datetime.combine(counted or _EARLY, time()))
    found = cadence(shape.every, shape.handoff, counted, shape.time_zone, shape.shifts)
    if starts_at is None or shape.count_from is not None:
        return found
    turn, begins, _ = found.turn(reading(starts_at))  # the turn in which the layer starts is the first
    if not turn:
        return found
    if found.months:
        first = found.first
        month = first.year * 12 + first.month - 1 + turn * found.months
        return Cadence(_same_day(first, month), shape.time_zone, months=found.months)
    cut = turn % len(found.lengths)
    return Cadence(from_reading(begins), shape.time_zone, lengths=[*found.lengths[cut:], *found.lengths[:cut]])


def _same_day(first: datetime, month: int) -> datetime:
    """``first`` in another month, or the last day that one has."""
    year, zero_based = divmod(month, 12)
    for day in range(first.day, 27, -1):
        try:
            return first.replace(year=year, month=zero_based + 1, day=day)
        except ValueError:
            continue  # the month is shorter
    return first.replace(year=year, month=zero_based + 1, day=min(first.day, 28))


class Slot:
    """The layers of one slot from the top: the first group that has somebody counts.

    A group is a layer with those below it that are ``alongside``: all their people are on call at once.
    """

    __slots__ = ("_groups",)

    def __init__(self, groups: Sequence[Sequence[LayerTurns]]) -> None:
        self._groups = tuple(tuple(group) for group in groups)

    def at(self, instant: int) -> Answer:
        """Who holds the slot at ``instant``. Handoffs of layers below the one that counts cut nothing."""
        low, high = BEGINNING_US, FOREVER_US
        for group in self._groups:
            answer = group[0].at(instant) if len(group) == 1 else _together([layer.at(instant) for layer in group])
            low, high = max(low, answer.start), min(high, answer.end)
            if answer.people:
                return Answer(low, high, answer.people, answer.stands_in, answer.layer)
        return Answer(low, high, ())


def _together(answers: Sequence[Answer]) -> Answer:
    people = tuple(dict.fromkeys(person for answer in answers for person in answer.people))
    counting = [answer for answer in answers if answer.people]
    return Answer(
        max(answer.start for answer in answers),
        min(answer.end for answer in answers),
        people,
        any(answer.stands_in for answer in counting),
        " + ".join(answer.layer for answer in counting),
    )


def layers_of(rotation: TeamRotation) -> tuple[Layer, ...]:
    """The layers of a schedule; a simple rotation is one without a name."""
    if rotation.layers:
        return rotation.layers
    return (
        Layer(
            name="",
            time_zone=rotation.time_zone,
            every=rotation.every,
            handoff=rotation.handoff,
            count_from=rotation.starts_at,
            crews=tuple((person,) for person in rotation.members),
        ),
    )
