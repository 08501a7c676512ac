"""A team's schedule compiled for any number of lookups: layers, slots, overrides and shadows in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from watchbill.features.oncall.covering import Covered, Held
from watchbill.features.oncall.layers import LayerTurns, Slot, layers_of
from watchbill.features.oncall.model import PRIMARY, SHADOW, Crew, Override, Span, TeamRotation
from watchbill.features.oncall.walls import from_us, to_us


class Schedule:
    """Everything a team's schedule answers; a `logic.Calculator` over all its slots at once.

    ``phases`` shifts the turns of the layer of that name (see `logic.phase_that_keeps`).
    """

    def __init__(
        self,
        rotation: TeamRotation,
        *,
        phases: Mapping[str, int] | None = None,
        overrides: Sequence[Override] = (),
        away: Collection[UUID] = (),
        holidays: frozenset[date] = frozenset(),
    ) -> None:
        groups: dict[str, list[list[LayerTurns]]] = {PRIMARY: []}
        self._shadow_layers: list[LayerTurns] = []
        for layer in layers_of(rotation):
            turns = LayerTurns(layer, phase=(phases or {}).get(layer.name, 0), away=away, holidays=holidays)
            if layer.shadow:
                self._shadow_layers.append(turns)
                continue
            of_slot = groups.setdefault(layer.slot, [])
            if layer.alongside and of_slot:
                of_slot[-1].append(turns)
            else:
                of_slot.append([turns])
        by_slot: dict[str, list[Override]] = {}
        for override in overrides:
            by_slot.setdefault(override.slot, []).append(override)
        self._slots = {name: Covered(Slot(found), by_slot.get(name, ()), away=away) for name, found in groups.items()}
        self._primary = self._slots[PRIMARY]
        self._others = tuple((name, covered) for name, covered in self._slots.items() if name != PRIMARY)
        self._always = tuple(person for person in rotation.shadows if person not in away)

    @property
    def plain(self) -> bool:
        """True when nothing but the primary slot changes over time."""
        return not self._others and not self._shadow_layers

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots, the primary one first."""
        return tuple(self._slots)

    def slot(self, name: str) -> OneSlot:
        """One slot alone: its spans are not cut where other slots change; nobody for a name that is not there.

        `SHADOW` is the rotating shadows.
        """
        if name == SHADOW:
            return OneSlot(Covered(Slot([self._shadow_layers] if self._shadow_layers else []), ()))
        return OneSlot(self._slots.get(name) or Covered(Slot(()), ()))

    def at(self, instant: datetime) -> Span:
        """The span around ``instant`` in which no slot and no shadow changes."""
        us = to_us(instant)
        held = self._primary.at(us)
        if not self._others and not self._shadow_layers:
            return as_span(held, shadows=self._always)
        start, end = held.start, held.end
        crews: list[Crew] = []
        for name, covered in self._others:
            other = covered.at(us)
            start, end = max(start, other.start), min(end, other.end)
            crews.append(_crew(name, other))
        shadows = dict.fromkeys(self._always)
        for layer in self._shadow_layers:
            answer = layer.at(us)
            start, end = max(start, answer.start), min(end, answer.end)
            shadows |= dict.fromkeys(answer.people)
        whole = Held(start, end, held.people, held.reason, held.layer, held.override)
        return as_span(whole, shadows=tuple(shadows), slots=tuple(crews))


class OneSlot:
    """A `logic.Calculator` of one slot, told as if it were the primary."""

    def __init__(self, covered: Covered) -> None:
        self._covered = covered

    def at(self, instant: datetime) -> Span:
        """The span around ``instant`` in which the slot does not change."""
        return as_span(self._covered.at(to_us(instant)))


def as_span(held: Held, *, shadows: tuple[UUID, ...] = (), slots: tuple[Crew, ...] = ()) -> Span:
    """What is held, in instants."""
    override = held.override
    return Span(
        start_at=from_us(held.start),
        end_at=from_us(held.end),
        person_id=held.people[0] if held.people else None,
        reason=held.reason,
        note=override.reason if override else "",
        override_id=override.id if override else None,
        others=held.people[1:],
        layer=held.layer,
        instead_of=override.instead_of if override else None,
        shadows=shadows,
        slots=slots,
    )


def _crew(slot: str, held: Held) -> Crew:
    override = held.override
    return Crew(
        slot=slot,
        people=held.people,
        reason=held.reason,
        layer=held.layer,
        note=override.reason if override else "",
        override_id=override.id if override else None,
        instead_of=override.instead_of if override else None,
    )
