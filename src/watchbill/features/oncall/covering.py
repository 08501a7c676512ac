"""Overrides over a slot: who is on call in the end. Instants are microseconds (see `walls`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from watchbill.features.oncall.layers import Slot
from watchbill.features.oncall.model import Override, Reason
from watchbill.features.oncall.walls import to_us


class Held(NamedTuple):
    """Who holds a slot, and why: the same from ``start`` until just before ``end``."""

    start: int
    end: int
    people: tuple[UUID, ...]
    reason: Reason
    layer: str = ""
    override: Override | None = None


class _Line(NamedTuple):
    start: int
    end: int
    override: Override


class Covered:
    """A slot under its overrides.

    An override without ``instead_of`` puts its person on call alone, whoever's turn it is; of several the one made
    last counts. One with ``instead_of`` relieves that person wherever they are on call; those made before the
    override that counts are forgotten. An override whose person is ``away`` is passed over, so that it never
    empties a slot.
    """

    __slots__ = ("_lines", "_slot")

    def __init__(self, slot: Slot, overrides: Sequence[Override], *, away: Collection[UUID] = ()) -> None:
        self._slot = slot
        self._lines = tuple(
            _Line(to_us(o.start_at), to_us(o.until), o)
            for o in sorted(overrides, key=lambda o: (o.created_at, o.id))
            if o.start_at < o.until and o.person_id not in away
        )

    def at(self, instant: int) -> Held:
        """Who holds the slot at ``instant``."""
        chosen = -1
        for rank in range(len(self._lines) - 1, -1, -1):
            line = self._lines[rank]
            if line.override.instead_of is None and line.start <= instant < line.end:
                chosen = rank
                break
        if chosen < 0:
            base = self._slot.at(instant)
            reason: Reason = "nobody" if not base.people else "stand-in" if base.stands_in else "rotation"
            held = Held(base.start, base.end, base.people, reason, base.layer)
        else:
            line = self._lines[chosen]
            held = Held(line.start, line.end, (line.override.person_id,), "override", "", line.override)
        return self._relieved(held, self._lines[chosen + 1 :], instant) if self._lines else held

    @staticmethod
    def _relieved(held: Held, later: Sequence[_Line], instant: int) -> Held:
        """``held`` cut where a later override that does not cover ``instant`` begins or ends, with people relieved
        by those that do.
        """
        start, end = held.start, held.end
        near = [line for line in later if line.start < end and line.end > start]
        concerned = set(held.people)
        for line in near:  # a chain: bob for alice, then charlie for bob
            if line.override.instead_of in concerned:
                concerned.add(line.override.person_id)
        people, reason, override = held.people, held.reason, held.override
        for line in near:
            relieved = line.override.instead_of
            if relieved is not None and relieved not in concerned:
                continue
            if line.end <= instant:
                start = max(start, line.end)
            elif line.start > instant:
                end = min(end, line.start)
            elif relieved is not None:
                start, end = max(start, line.start), min(end, line.end)
                if relieved in people:
                    taken = (line.override.person_id if person == relieved else person for person in people)
                    people = tuple(dict.fromkeys(taken))
                    reason, override = line.override.kind, line.override
        return Held(start, end, people, reason, held.layer, override)
