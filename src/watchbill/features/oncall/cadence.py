"""When a rotation hands over: wall-clock arithmetic that is exact over daylight saving, in every zone.

A cadence is a line of handoffs, each a reading of the wall clock. A handoff happens at the first instant at which
that clock has reached the reading (see `walls`): one that is skipped in spring (02:30) happens when the clock jumps
(03:00), one that comes twice in autumn happens the first time. That never goes backwards, so shifts tile time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

from whenever import PlainDateTime, TimeZoneNotFoundError

from watchbill.features.oncall.walls import MICROSECOND, from_reading, from_us, reading, to_us, wall_clock
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid, Problem

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = date(1970, 1, 5)  # the first Monday of Unix time: turns counted from it never move
_LONGEST = timedelta(days=366)
_MONTHS = 12


class Handoffs(Protocol):
    """A line of handoffs in readings of the wall clock (microseconds, see `walls`)."""

    def turn(self, reached: int) -> tuple[int | None, int, int]:
        """The turn that runs when the wall clock has reached this: its number and bounds; None before the first."""
        ...


class Cadence:
    """Turns that follow one another for ever, both ways.

    ``first`` is a reading of the wall clock in ``zone``, so it carries no zone. ``lengths`` is the cycle of how
    long turns last on that clock; empty for turns of ``months`` calendar months, which begin on the day of the
    month of ``first``, or on the last day of a shorter month.
    """

    __slots__ = ("_first", "_prefix", "_total", "first", "lengths", "months", "zone")

    def __init__(self, first: datetime, zone: str, *, lengths: Sequence[timedelta] = (), months: int = 0) -> None:
        self.first, self.zone, self.lengths, self.months = first, zone, tuple(lengths), months
        self._first = reading(first)
        whole = [length // MICROSECOND for length in self.lengths]
        self._prefix = [0, *accumulate(whole)][:-1]
        self._total = sum(whole)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cadence) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (self.first, self.zone, self.lengths, self.months)

    def begins(self, turn: int) -> int:
        """The reading at which turn number ``turn`` begins; negative turns lie before ``first``."""
        if self.months:
            return self._month(turn)
        cycle, position = divmod(turn, len(self._prefix))
        return self._first + cycle * self._total + self._prefix[position]

    def _month(self, turn: int) -> int:
        month = self.first.year * _MONTHS + self.first.month - 1 + turn * self.months
        year, zero_based = divmod(month, _MONTHS)
        year = min(max(year, 1), 9998)
        day = min(self.first.day, _days_in(year, zero_based + 1))
        return reading(self.first.replace(year=year, month=zero_based + 1, day=day))

    def turn(self, reached: int) -> tuple[int | None, int, int]:
        """See `Handoffs`."""
        if self.months:
            wall = from_reading(reached)
            number = ((wall.year - self.first.year) * _MONTHS + wall.month - self.first.month) // self.months
            while self._month(number) > reached:
                number -= 1
            while self._month(number + 1) <= reached:
                number += 1
            return number, self._month(number), self._month(number + 1)
        cycle, rest = divmod(reached - self._first, self._total)
        position = bisect_right(self._prefix, rest) - 1
        start = self._first + cycle * self._total + self._prefix[position]
        return cycle * len(self._prefix) + position, start, start + self.lengths[position] // MICROSECOND

    def handoff_at(self, turn: int) -> datetime:
        """The instant at which turn number ``turn`` begins (UTC)."""
        return from_us(wall_clock(self.zone).first_instant(self.begins(turn)))

    def turn_at(self, instant: datetime) -> int:
        """The number of the turn that is running at ``instant``."""
        return self.turn_with_bounds(instant)[0]

    def turn_with_bounds(self, instant: datetime) -> tuple[int, datetime, datetime]:
        """The running turn, when it began, and when it ends."""
        clock = wall_clock(self.zone)
        number, start, end = self.turn(clock.reached(to_us(instant)))
        return number or 0, from_us(clock.first_instant(start)), from_us(clock.first_instant(end))


def _days_in(year: int, month: int) -> int:
    following = date(year + month // _MONTHS, month % _MONTHS + 1, 1)
    return (following - timedelta(days=1)).day


def first_instant(wall: datetime, zone: str) -> datetime:
    """The first instant (UTC) at which the wall clock of ``zone`` has reached ``wall``."""
    return from_us(wall_clock(zone).first_instant(reading(wall)))


@lru_cache(maxsize=4096)
def cadence(every: str, handoff: str, starts_at: date | None, zone: str, lengths: tuple[str, ...] = ()) -> Cadence:
    """Build the cadence that a rotation's text describes.

    ``lengths`` is a cycle of turn lengths in place of ``every``.

    Raises:
        Invalid: every problem at once, each with the field it is in.
    """
    problems: list[Problem] = []
    if lengths:
        periods, months = _lengths(lengths, problems), 0
    else:
        months = _months(every)
        periods = () if months else _period(every, problems, "every")
    monthday, weekday, at = _handoff(handoff, problems, monthly=bool(months))
    if not zone_exists(zone):
        hint = "write an IANA name such as Europe/Berlin"
        problems.append(_problem("timeZone", f"'{zone}' is not a time zone", hint))
    if weekday is not None and periods and sum(periods, timedelta()) % timedelta(weeks=1):
        hint = "leave the weekday out of the handoff, or rotate in whole weeks"
        what = " + ".join(lengths) or every
        problems.append(_problem("handoff", f"a rotation of {what} does not hand over on the same weekday", hint))
    if problems or at is None:
        raise Invalid("the rotation cannot be followed", code="rotation_invalid", problems=problems)
    day = starts_at or _EPOCH
    if weekday is not None:
        day += timedelta(days=(weekday - day.weekday()) % 7)
    if months:
        day = _first_of_month(starts_at or date(1970, 1, 1), monthday)
    return Cadence(datetime.combine(day, at), zone, lengths=periods, months=months)


def _first_of_month(day: date, monthday: int | None) -> date:
    """The first ``monthday`` (default: the first) on or after ``day``, in a month that has it."""
    wanted = monthday or 1
    year, month = day.year, day.month
    while wanted > _days_in(year, month) or date(year, month, wanted) < day:
        year, month = (year + 1, 1) if month == _MONTHS else (year, month + 1)
    return date(year, month, wanted)


def zone_exists(zone: str) -> bool:
    """True for a name that the time zone database knows."""
    try:
        PlainDateTime(1970, 1, 5).assume_tz(zone)
    except (TimeZoneNotFoundError, ValueError):
        return False
    return True


def _months(every: str) -> int:
    number = every.strip().removesuffix("mo")
    if not every.strip().endswith("mo") or not number.isdecimal():
        return 0
    return int(number) if 1 <= int(number) <= _MONTHS else 0


def _period(every: str, problems: list[Problem], field: str) -> tuple[timedelta, ...]:
    hint = "write whole hours, days, weeks or months: 12h, 1d, 1w, 1mo"
    try:
        period = parse_duration(every)
    except ValueError:
        problems.append(_problem(field, f"'{every}' is not a rotation period", hint))
        return ()
    if not timedelta(hours=1) <= period <= _LONGEST or period % timedelta(hours=1):
        problems.append(
            _problem(field, f"a rotation cannot change every {every}", hint + "; 1h at least, 366d or 12mo at most")
        )
        return ()
    return (period,)


def _lengths(lengths: Sequence[str], problems: list[Problem]) -> tuple[timedelta, ...]:
    found: list[timedelta] = []
    for position, text in enumerate(lengths):
        found.extend(_period(text, problems, f"shifts[{position}]"))
    return tuple(found)


def _handoff(text: str, problems: list[Problem], *, monthly: bool) -> tuple[int | None, int | None, time | None]:
    """Day of the month, weekday, and time; of the two days at most one is given."""
    day, _, clock = text.strip().rpartition(" ")
    day = day.strip().lower()
    try:
        if len(clock) != 5 or clock[2] != ":":
            raise ValueError(clock)
        at = time(int(clock[:2]), int(clock[3:]))
        if monthly and day:
            if not 1 <= int(day) <= 31:
                raise ValueError(day)
            return int(day), None, at
        return None, WEEKDAYS.index(day[:3]) if day else None, at
    except ValueError:
        hint = '"1 09:00" (a day of the month)' if monthly else '"Mon 09:00"'
        hint = f'write {hint} or "09:00", on the 24-hour clock'
        problems.append(_problem("handoff", f"'{text}' is not a time to hand over", hint))
        return None, None, None


def _problem(field: str, message: str, hint: str) -> Problem:
    return Problem(code="rotation_invalid", message=message, field=field, hint=hint)
