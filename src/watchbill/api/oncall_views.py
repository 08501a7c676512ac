"""What the handlers of on-call share: views of people and shifts, and finding what a request names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from watchbill.features import catalog, identity, oncall
from watchbill.features.catalog import Team
from watchbill.features.identity import Caller, Person
from watchbill.kernel.clock import as_utc, parse_instant
from watchbill.kernel.errors import Forbidden, Invalid, NotFound
from watchbill.runtime.db import Tx

AHEAD = timedelta(days=14)
_YEARS = range(1971, 2201)

TeamName = Annotated[str | None, QueryParameter(name="team", description="A team's name.")]
ServiceName = Annotated[str | None, QueryParameter(name="service", description="A service's name; its owner is asked.")]
Login = Annotated[str | None, QueryParameter(name="person", description="A login; `me` is the caller.")]
From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339; now when left out.")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; 14 days after `from` when left out.")]
Slot = Annotated[str, QueryParameter(description="A slot of the schedule; `primary` when left out.")]


class PersonRef(msgspec.Struct, frozen=True, kw_only=True):
    """Enough of a person to name and find them."""

    id: UUID
    login: str
    name: str


class ShiftView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's time on call in one slot; ``others`` are on call at once with ``person``, ``shadows`` are told.

    ``reason`` is rotation, stand-in, override, swap or taken, ``because`` the same in words, ``note`` what the person
    who arranged it wrote, ``layer`` the layer of the schedule whose turn it is.
    """

    team: str
    person: PersonRef
    start_at: datetime
    end_at: datetime
    reason: str
    note: str
    override_id: UUID | None
    others: list[PersonRef]
    shadows: list[PersonRef]
    slot: str
    layer: str
    instead_of: PersonRef | None
    because: str


class Views:
    """Ids of teams and people turned into names, each looked up once."""

    def __init__(self, tx: Tx, teams: Iterable[Team], shifts: Iterable[oncall.Shift]) -> None:
        self._teams = {team.id: team.name for team in teams}
        named = {p for s in shifts for p in (*s.people, *s.shadows, s.instead_of) if p is not None}
        self._people = identity.people(tx, ids=named)
        self._names = {person_id: person.login for person_id, person in self._people.items()}

    def shift(self, shift: oncall.Shift | None) -> ShiftView | None:
        """One shift; None stays None."""
        if shift is None or shift.team_id is None:
            return None
        return ShiftView(
            team=self._teams.get(shift.team_id, str(shift.team_id)),
            person=ref(self._people[shift.person_id]),
            start_at=shift.start_at,
            end_at=shift.end_at,
            reason=shift.reason,
            note=shift.note,
            override_id=shift.override_id,
            others=[ref(self._people[person_id]) for person_id in shift.others],
            shadows=[ref(self._people[person_id]) for person_id in shift.shadows],
            slot=shift.slot,
            layer=shift.layer,
            instead_of=ref(self._people[shift.instead_of]) if shift.instead_of else None,
            because=oncall.because(shift, self._names),
        )

    def listed(self, shifts: Iterable[oncall.Shift]) -> list[ShiftView]:
        """Several shifts."""
        return [view for view in map(self.shift, shifts) if view is not None]


def ref(person: Person) -> PersonRef:
    """Enough of a person to name and find them."""
    return PersonRef(id=person.id, login=person.login, name=person.name)


def team_of(tx: Tx, team: str | None, service: str | None) -> Team:
    """The team of this name, or the owner of the service.

    Raises:
        Invalid: neither is named. NotFound: there is none.
    """
    if team:
        found = catalog.team_by_name(tx, name=team)
        if found is None:
            raise NotFound(f"there is no team '{team}'", field="team", hint="see `watchbill team list`")
        return found
    if not service:
        raise Invalid("name a team or a service", field="team", hint="?team=NAME or ?service=NAME")
    owned = catalog.service_by_name(tx, name=service)
    if owned is None:
        raise NotFound(f"there is no service '{service}'", field="service", hint="see `watchbill service list`")
    return catalog.team(tx, id=owned.team_id)


def person_of(tx: Tx, caller: Caller, login: str) -> Person:
    """The person of this login; ``me`` is the caller.

    Raises:
        NotFound: there is none.
    """
    if login == "me" and caller.person_id is not None:
        return identity.person_by_id(tx, person_id=caller.person_id)
    found = identity.person_by_login(tx, login=login)
    if found is None:
        raise NotFound(f"there is no person '{login}'", field="person", hint="see `watchbill person list`")
    return found


def known_slot(slot: str, known: Iterable[str]) -> str:
    """``slot`` when a schedule has it.

    Raises:
        Invalid: it has not; an unknown slot would read as if nobody were on call.
    """
    slots = [*known, oncall.SHADOW]
    if slot not in slots:
        raise Invalid(f"the schedule has no slot '{slot}'", field="slot", hint=f"slots: {', '.join(slots)}")
    return slot


def window(tx: Tx, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """From now, 14 days ahead, where nothing is said."""
    start_at = instant_of(start, "from") or tx.now
    return start_at, instant_of(end, "to") or start_at + AHEAD


def instant_of(text: str | None, field: str) -> datetime | None:
    """RFC 3339 as an instant; None for nothing.

    Raises:
        Invalid: it cannot be read.
    """
    if not text:
        return None
    try:
        return aware(parse_instant(text), field)
    except (ValueError, OverflowError) as error:
        hint = "write RFC 3339 with an offset, such as 2026-03-02T09:00:00Z ('+' in a URL is %2B)"
        raise Invalid(f"'{text}' is not an instant", field=field, hint=hint) from error


def aware(instant: datetime, field: str) -> datetime:
    """The instant in UTC.

    Raises:
        Invalid: it has no offset, or is outside of 1971 to 2200.
    """
    if instant.tzinfo is None or instant.year not in _YEARS:
        hint = "write RFC 3339 with an offset, between 1971 and 2200: 2026-03-02T09:00:00Z"
        raise Invalid(f"'{instant.isoformat()}' is not an instant that can be used", field=field, hint=hint)
    return as_utc(instant)


def acting_person(tx: Tx, caller: Caller, login: str | None) -> Person:
    """Whom a request acts for: the caller, or with an admin's rights anybody.

    Raises:
        Forbidden: a token without a person, or somebody else without an admin's rights. NotFound: nobody of this login.
    """
    if login in {None, "", "me"}:
        if caller.person_id is None:
            raise Forbidden("a token is nobody's", code="no_person", hint="name a person, with an admin's token")
        return identity.person_by_id(tx, person_id=caller.person_id)
    found = person_of(tx, caller, login or "")
    if found.id != caller.person_id:
        identity.require(caller, "administer")
    return found
