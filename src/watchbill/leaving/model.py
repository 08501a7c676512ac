"""What exports of other systems have in common: schedules that can be rendered, policies, services, people, notes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from watchbill.kernel.errors import Invalid

Json = dict[str, Any]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be carried over as it was: where in the export, and why."""

    place: str
    reason: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The source has ``people`` on call from ``start`` until just before ``end``; of those at once the highest
    ``rank`` counts, all its people together.
    """

    rank: int
    start: datetime
    end: datetime
    people: frozenset[str]


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """An override of the source; overrides have a file of commands of their own, since manifests hold none."""

    person: str
    start: datetime
    end: datetime


class SourceSchedule(msgspec.Struct, kw_only=True):
    """One schedule. ``layers`` are those of a manifest, the one that wins first. ``render`` is the source's own
    semantics over a window; ``rendered`` what the export itself says, within ``rendered_within``.
    """

    key: str
    name: str
    zone: str
    place: str
    layers: list[Json]
    render: Callable[[datetime, datetime], list[Entry]]
    covers: list[Cover] = []
    rendered: list[Entry] | None = None
    rendered_within: tuple[datetime, datetime] | None = None
    reasons: list[str] = []


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Targets are ``schedule:<key>``, ``person:<login>`` or those of a manifest."""

    notify: tuple[str, ...]
    wait_seconds: int = 300
    during: tuple[str, str, str] | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One escalation policy. ``loops``: how often all steps come again; ``during`` is (from, to, zone)."""

    key: str
    name: str
    place: str
    steps: tuple[Step, ...]
    loops: int = 0


class SourceService(msgspec.Struct, frozen=True, kw_only=True):
    """A service, or an integration, and the policy that its alerts go by ('' when the export has none)."""

    name: str
    place: str
    policy: str


class Found(msgspec.Struct, kw_only=True):
    """Everything read from an export, before it becomes manifests."""

    schedules: list[SourceSchedule] = []
    policies: list[Policy] = []
    services: list[SourceService] = []
    contacts: list[tuple[str, str, str]] = []
    notes: list[Note] = []

    def note(self, place: str, reason: str) -> None:
        """List something that is not carried over as it was."""
        self.notes.append(Note(place=place, reason=reason))


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source's schedule is now: a slot of a team."""

    schedule: SourceSchedule
    team: str
    slot: str


class Imported(msgspec.Struct, kw_only=True):
    """Manifests (as plain data), commands for what manifests do not hold, and what is not carried over."""

    source: str
    teams: list[Json]
    services: list[Json]
    contact_commands: list[str]
    override_commands: list[str]
    notes: list[Note]
    pairs: list[Pair]


def refuse(place: str, message: str, hint: str) -> Invalid:
    """The error of an export that cannot be understood."""
    return Invalid(message, code="export_invalid", place=place, hint=hint)


def zone_of(raw: object, place: str) -> str:
    """An IANA name. Raises `Invalid` for an unknown one."""
    text = str(raw or "UTC")
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise refuse(place, f"'{text}' is not a time zone", "export again, or write an IANA name there") from None
    return text


def instant_of(raw: object, place: str, zone: str = "UTC") -> datetime:
    """An ISO 8601 time; without an offset it is by the clock of ``zone``. Raises `Invalid`."""
    try:
        found = datetime.fromisoformat(str(raw))
    except ValueError:
        raise refuse(place, f"'{raw}' is not a time", "an export writes 2026-01-05T09:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))


def number_of(raw: object, place: str, least: int = 0) -> int:
    """A whole number. Raises `Invalid`."""
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < least:
        raise refuse(place, f"'{raw}' is not a number of {least} or more", "export again")
    return raw


def login_of(*candidates: object) -> str:
    """The first of the candidates that can be a login, else what is left of the last one."""
    for each in candidates:
        text = str(each or "").strip().lower()
        if re.fullmatch(r"[a-z0-9]([a-z0-9._%+@-]{0,252}[a-z0-9])?", text):
            return text
    return re.sub(r"[^a-z0-9]+", "-", str(candidates[-1]).lower()).strip("-") or "unnamed"


class Names:
    """Names that a manifest allows, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, text: str, length: int = 60) -> str:
        """``text`` as a name; with a number behind it when it is taken."""
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: length - 4].strip("-") or "unnamed"
        name, number = base, 2
        while name in self._given:
            name, number = f"{base}-{number}", number + 1
        self._given.add(name)
        return name
