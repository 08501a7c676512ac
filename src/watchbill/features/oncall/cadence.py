"""When a rotation hands over: wall-clock arithmetic that is exact over daylight saving, in every zone.

Handoff number ``k`` is due when the clock on the wall reads ``first + k × period``. It happens at the first
instant at which that wall clock has reached the reading: a reading that is skipped in spring (02:30) happens
when the clock jumps (03:00), one that comes twice in autumn happens the first time. That rule never goes
backwards in ``k``, so shifts tile time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import msgspec
from whenever import Instant, PlainDateTime, TimeZoneNotFoundError

from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid, Problem

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = date(1970, 1, 5)  # the first Monday of Unix time: turns counted from it never move
_LONGEST = timedelta(days=366)


class Cadence(msgspec.Struct, frozen=True):
    """The handoffs of a rotation. ``first`` is a reading of the wall clock in ``zone``, so it carries no zone."""

    first: datetime
    period: timedelta
    zone: str

    def handoff_at(self, turn: int) -> datetime:
        """The instant at which turn number ``turn`` begins (UTC); negative turns lie before ``first``."""
        return first_instant(self.first + turn * self.period, self.zone)

    def turn_at(self, instant: datetime) -> int:
        """The number of the turn that is running at ``instant``."""
        return self.turn_with_bounds(instant)[0]

    def turn_with_bounds(self, instant: datetime) -> tuple[int, datetime, datetime]:
        """The running turn, when it began, and when it ends.

        Steps at most a few turns: the wall clock and the instant disagree only around a change of clocks.
        """
        wall = Instant(instant).to_tz(self.zone).to_plain().to_stdlib()
        turn = (wall - self.first) // self.period
        start, end = self.handoff_at(turn), self.handoff_at(turn + 1)
        while start > instant:
            turn -= 1
            start, end = self.handoff_at(turn), start
        while end <= instant:
            turn += 1
            start, end = end, self.handoff_at(turn + 1)
        return turn, start, end


def first_instant(wall: datetime, zone: str) -> datetime:
    """The first instant (UTC) at which the wall clock of ``zone`` has reached ``wall``."""
    reading = PlainDateTime(wall)
    zoned = reading.assume_tz(zone, disambiguation="compatible")
    if zoned.to_plain() != reading:  # skipped: "compatible" answers as if the clock had not jumped yet
        jump = zoned.add(seconds=1).prev_transition()  # the answer itself, where it is the very jump
        if jump is not None:
            zoned = jump
    return zoned.to_instant().to_stdlib().astimezone(UTC)


@lru_cache(maxsize=4096)
def cadence(every: str, handoff: str, starts_at: date | None, zone: str) -> Cadence:
    """Build the cadence that a rotation's text describes.

    Raises:
        Invalid: every problem at once, each with the field it is in.
    """
    problems: list[Problem] = []
    period = _period(every, problems)
    weekday, at = _handoff(handoff, problems)
    if not zone_exists(zone):
        hint = "write an IANA name such as Europe/Berlin"
        problems.append(_problem("timeZone", f"'{zone}' is not a time zone", hint))
    if weekday is not None and period is not None and period % timedelta(weeks=1):
        hint = "leave the weekday out of the handoff, or rotate in whole weeks"
        problems.append(_problem("handoff", f"a rotation of {every} does not hand over on the same weekday", hint))
    if problems or period is None or at is None:
        raise Invalid("the rotation cannot be followed", code="rotation_invalid", problems=problems)
    day = starts_at or _EPOCH
    if weekday is not None:
        day += timedelta(days=(weekday - day.weekday()) % 7)
    return Cadence(datetime.combine(day, at), period, zone)


def zone_exists(zone: str) -> bool:
    """True for a name that the time zone database knows."""
    try:
        PlainDateTime(1970, 1, 5).assume_tz(zone)
    except (TimeZoneNotFoundError, ValueError):
        return False
    return True


def _period(every: str, problems: list[Problem]) -> timedelta | None:
    hint = "write whole hours, days or weeks: 12h, 1d, 1w"
    try:
        period = parse_duration(every)
    except ValueError:
        problems.append(_problem("every", f"'{every}' is not a rotation period", hint))
        return None
    if not timedelta(hours=1) <= period <= _LONGEST or period % timedelta(hours=1):
        problems.append(
            _problem("every", f"a rotation cannot change every {every}", hint + "; 1h at least, 366d at most")
        )
        return None
    return period


def _handoff(text: str, problems: list[Problem]) -> tuple[int | None, time | None]:
    day, _, clock = text.strip().rpartition(" ")
    try:
        if len(clock) != 5 or clock[2] != ":":
            raise ValueError(clock)
        at = time(int(clock[:2]), int(clock[3:]))
        weekday = _WEEKDAYS.index(day.strip().lower()[:3]) if day else None
    except ValueError:
        hint = 'write "Mon 09:00" or "09:00", on the 24-hour clock'
        problems.append(_problem("handoff", f"'{text}' is not a time to hand over", hint))
        return None, None
    return weekday, at


def _problem(field: str, message: str, hint: str) -> Problem:
    return Problem(code="rotation_invalid", message=message, field=field, hint=hint)
