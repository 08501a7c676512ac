"""Instants are timezone-aware UTC datetimes; the clock is always an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that can say what time it is."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock, for code that has no database at hand."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """A clock that moves only when told to; a week of paging runs in seconds on it."""

    def __init__(self, start: datetime) -> None:
        self._now = as_utc(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move forward by ``by`` (never backwards) and return the new instant."""
        if by < timedelta(0):
            raise ValueError("a virtual clock only moves forward; use move_to for a clock jump")
        self._now += by
        return self._now

    def move_to(self, instant: datetime) -> datetime:
        """Jump to ``instant``, backwards too: a drill of a stepped clock."""
        self._now = as_utc(instant)
        return self._now


def as_utc(instant: datetime) -> datetime:
    """Return ``instant`` in UTC.

    Raises:
        ValueError: the instant has no zone; a naive time means two different things on two machines.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; write it with an offset or 'Z'")
    return instant.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """Parse RFC 3339 (``2026-11-23T21:00:00Z``) into an aware UTC datetime.

    More than six fractional digits (nanoseconds) are cut to microseconds.

    Raises:
        ValueError: not RFC 3339, or without an offset.
    """
    return as_utc(datetime.fromisoformat(text))


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``; microseconds only when there are any."""
    return as_utc(instant).isoformat().replace("+00:00", "Z")
