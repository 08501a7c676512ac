"""Words of on-call: rotations, overrides, and the shifts that come out of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

import msgspec

Reason = Literal["rotation", "stand-in", "override", "swap", "taken", "nobody"]
"""Why somebody is on call: it is their turn; the one whose turn it is has left; they were put on call whoever's
turn it was; they swapped with, or took the shift of, the person in ``instead_of``; or nobody is."""

PRIMARY = "primary"
"""The slot that every schedule has: the people a page goes to first."""

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The start of a span that has none."""

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a span that has none."""

SHADOW = "shadow"
"""Under this name the rotating shadows are listed as if they were a slot; no slot may be called so."""

EVERY = "1w"
HANDOFF = "Mon 09:00"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Hours in which a layer counts: on each of ``days`` (0 is Monday) from ``start_minute`` for ``minutes``.

    A window that goes on past midnight belongs to the day on which it starts.
    """

    days: tuple[int, ...]
    start_minute: int
    minutes: int


class LayerShape(msgspec.Struct, frozen=True, kw_only=True):
    """A rotation within a schedule, without its people.

    Turns last ``every`` (``1w``, ``12h``, ``1mo``), or a cycle of ``shifts`` (``24h``, ``48h``), or hand over by
    ``rrule`` (RFC 5545). They are counted from the first handoff on or after ``count_from``. The layer is empty
    before ``starts_at`` and from ``ends_at`` on (readings of the wall clock in ``time_zone``), and outside
    ``windows``. ``alongside``: its people are on call together with those of the layer above, not instead.
    ``shadow``: its people are told, and never escalated to.
    """

    name: str
    time_zone: str = "UTC"
    every: str = EVERY
    handoff: str = HANDOFF
    shifts: tuple[str, ...] = ()
    rrule: str = ""
    count_from: date | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    windows: tuple[Window, ...] = ()
    holidays: Literal["", "never", "only"] = ""
    slot: str = PRIMARY
    alongside: bool = False
    shadow: bool = False


class Layer(LayerShape, frozen=True, kw_only=True):
    """A layer with its ``crews``: the people of each turn, all on call at once, in the order of turns."""

    crews: tuple[tuple[UUID, ...], ...] = ()


class LayerSpec(LayerShape, frozen=True, kw_only=True):
    """A layer as a manifest has it: crews of logins."""

    crews: tuple[tuple[str, ...], ...] = ()

    def for_people(self, person_ids: Mapping[str, UUID]) -> Layer:
        """The same layer with each login replaced by its person's id."""
        shape = {name: getattr(self, name) for name in LayerShape.__struct_fields__}
        return Layer(**shape, crews=tuple(tuple(person_ids[login] for login in crew) for crew in self.crews))


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What a rota must leave people; breaking it warns and never empties a slot.

    ``hours_between`` two shifts of one person (0: not asked), ``nights`` on call in a row at most.
    """

    hours_between: int = 0
    nights: int = 7


class TeamRotation(msgspec.Struct, frozen=True, kw_only=True):
    """One team's schedule with its people as person ids.

    Without ``layers`` it is one simple rotation: ``members`` in the order of their turns. ``every``: ``1w``, ``2d``,
    ``12h``, ``1mo``. ``handoff``: ``Mon 09:00`` or ``09:00``, wall-clock in ``time_zone``. ``starts_at``: the first
    member's turn begins at the first handoff on or after this day; before it the order runs backwards, so that
    there is never a gap. Without it the turns are counted from a fixed Monday.

    With ``layers`` the first that has somebody counts, slot by slot, and ``members`` names everybody in them.
    ``shadows`` are always told with whoever is on call. ``holidays``: the public holidays that layers go by,
    such as ``DE`` or ``DE-BE``.
    """

    team_id: UUID
    time_zone: str = "UTC"
    members: tuple[UUID, ...] = ()
    every: str = EVERY
    handoff: str = HANDOFF
    starts_at: date | None = None
    layers: tuple[Layer, ...] = ()
    shadows: tuple[UUID, ...] = ()
    holidays: str = ""
    rest: Rest = Rest()


class RotationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """``spec.onCall`` of a manifest, with people as logins; see `TeamRotation` for the fields."""

    time_zone: str = "UTC"
    members: tuple[str, ...] = ()
    every: str = EVERY
    handoff: str = HANDOFF
    starts_at: date | None = None
    layers: tuple[LayerSpec, ...] = ()
    shadows: tuple[str, ...] = ()
    holidays: str = ""
    rest: Rest = Rest()

    def for_team(self, team_id: UUID, person_ids: Mapping[str, UUID]) -> TeamRotation:
        """The same schedule with each login replaced by its person's id."""
        return TeamRotation(
            team_id=team_id,
            time_zone=self.time_zone,
            members=tuple(person_ids[login] for login in self.members),
            every=self.every,
            handoff=self.handoff,
            starts_at=self.starts_at,
            layers=tuple(layer.for_people(person_ids) for layer in self.layers),
            shadows=tuple(person_ids[login] for login in self.shadows),
            holidays=self.holidays,
            rest=self.rest,
        )


OverrideKind = Literal["override", "swap", "taken"]


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """``person_id`` is on call for the team's ``slot`` from ``start_at`` until ``end_at``, whoever's turn it is.

    With ``instead_of`` it only relieves that person, where they are on call; the others of their shift stay.
    Where overrides overlap, the one made last counts. A cancelled one counts until ``cancelled_at``.
    """

    id: UUID
    team_id: UUID
    person_id: UUID
    start_at: datetime
    end_at: datetime
    reason: str
    created_by: str
    created_at: datetime
    cancelled_at: datetime | None = None
    slot: str = PRIMARY
    kind: OverrideKind = "override"
    instead_of: UUID | None = None
    swap_id: UUID | None = None

    @property
    def until(self) -> datetime:
        """When it stops to count: its end, or its cancellation before that."""
        return self.end_at if self.cancelled_at is None else min(self.end_at, self.cancelled_at)


class Crew(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who holds a slot other than the primary one during a span, and why."""

    slot: str
    people: tuple[UUID, ...] = ()
    reason: Reason = "nobody"
    layer: str = ""
    note: str = ""
    override_id: UUID | None = None
    instead_of: UUID | None = None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From ``start_at`` until just before ``end_at`` the answer to "who?" is the same; ``None`` is nobody.

    ``person_id`` is the first of the primary slot, ``others`` are on call at once with them. ``layer`` names the
    layer that decided, ``note`` is the reason that a person gave for an override, ``instead_of`` whom a swap
    relieves. ``shadows`` are told of pages and never escalated to; ``slots`` are the slots beside the primary.
    """

    start_at: datetime
    end_at: datetime
    person_id: UUID | None
    reason: Reason
    note: str = ""
    override_id: UUID | None = None
    others: tuple[UUID, ...] = ()
    layer: str = ""
    instead_of: UUID | None = None
    shadows: tuple[UUID, ...] = ()
    slots: tuple[Crew, ...] = ()

    @property
    def people(self) -> tuple[UUID, ...]:
        """Everybody in the primary slot; empty when nobody is."""
        return () if self.person_id is None else (self.person_id, *self.others)

    def says_the_same_as(self, other: Span) -> bool:
        """True when both name the same people for the same reason."""
        return self == msgspec.structs.replace(other, start_at=self.start_at, end_at=self.end_at)


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's time on call for one team, from ``start_at`` until just before ``end_at``; see `Span`."""

    person_id: UUID
    start_at: datetime
    end_at: datetime
    reason: Reason
    note: str = ""
    override_id: UUID | None = None
    team_id: UUID | None = None
    others: tuple[UUID, ...] = ()
    layer: str = ""
    instead_of: UUID | None = None
    shadows: tuple[UUID, ...] = ()
    slot: str = PRIMARY

    @property
    def people(self) -> tuple[UUID, ...]:
        """Everybody on call at once in this slot, ``person_id`` first."""
        return (self.person_id, *self.others)


class OnCall(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers a team's pages at ``at``: ``people`` all at once, ``shadows`` told and never escalated to.

    ``shift`` says since when, until when and why; it is None (and ``people`` empty) when nobody is on call.
    """

    team_id: UUID
    at: datetime
    slot: str
    people: tuple[UUID, ...]
    shadows: tuple[UUID, ...]
    shift: Shift | None
