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

EVERY = "1w"
HANDOFF = "Mon 09:00"


class TeamRotation(msgspec.Struct, frozen=True, kw_only=True):
    """One team's rotation with its members as person ids, in the order of their turns.

    ``every``: ``1w``, ``2d``, ``12h``. ``handoff``: ``Mon 09:00`` or ``09:00``, wall-clock in ``time_zone``.
    ``starts_at``: the first member's turn begins at the first handoff on or after this day; before it the
    order runs backwards, so that there is never a gap. Without it the turns are counted from a fixed Monday.
    """

    team_id: UUID
    time_zone: str = "UTC"
    members: tuple[UUID, ...] = ()
    every: str = EVERY
    handoff: str = HANDOFF
    starts_at: date | None = None


class RotationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """``spec.onCall.rotation`` of a manifest, with members as logins; see `TeamRotation` for the fields."""

    time_zone: str = "UTC"
    members: tuple[str, ...] = ()
    every: str = EVERY
    handoff: str = HANDOFF
    starts_at: date | None = None

    def for_team(self, team_id: UUID, person_ids: Mapping[str, UUID]) -> TeamRotation:
        """The same rotation with each login replaced by its person's id."""
        return TeamRotation(
            team_id=team_id,
            time_zone=self.time_zone,
            members=tuple(person_ids[login] for login in self.members),
            every=self.every,
            handoff=self.handoff,
            starts_at=self.starts_at,
        )


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """``person_id`` is on call for the team from ``start_at`` until ``end_at``, whoever's turn it is.

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
