"""Reading an iCalendar file (RFC 5545) as stretches in which a person is away, within bounds.

A file from somewhere is a risk: a megabyte can describe a billion occurrences. So size, number of events, and
occurrences are limited, and a rule that repeats within a day is refused, all before anything is expanded.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice, takewhile
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features.oncall.recurrence import occurrences, parts_of
from watchbill.kernel.errors import Invalid

MOST_BYTES = 1024 * 1024
MOST_EVENTS = 2000
MOST_REPEATING = 100
MOST_OCCURRENCES = 2000
MOST_STEPS = 20_000
MOST_DATES = 1000
MOST_SECONDS = 3
_EARLIEST_REPEAT = datetime(2000, 1, 1)  # noqa: DTZ001  (compared with readings of a wall clock)
_LONGEST_EVENT = timedelta(days=400)
_WITHIN_A_DAY = re.compile(r"FREQ=(SECONDLY|MINUTELY|HOURLY)|BY(SECOND|MINUTE|HOUR)=", re.IGNORECASE)


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch away."""

    start_at: datetime
    end_at: datetime
    summary: str


def read_calendar(
    content: bytes, *, time_zone: str, start_at: datetime, end_at: datetime
) -> tuple[list[Busy], list[str]]:
    """The events that touch the window, in order, and what was left out with the reason.

    Events that are cancelled or marked free (TRANSP:TRANSPARENT) on less than a whole day do not count. Times
    without a zone and whole days are in ``time_zone``.

    Raises:
        Invalid: not a calendar, or over a limit; the message names the event.
    """
    events = _events(content)
    zone = ZoneInfo(time_zone)
    skipped: list[str] = []
    moved = _moved(events)
    found: list[Busy] = []
    repeating = steps = 0
    began = monotonic()
    for event in events:
        name = _name(event)
        if not _counts(event):
            continue
        try:
            starts, lasts = _times(event)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            skipped.append(f"{name}: its times cannot be read ({error})"[:200])
            continue
        if lasts > _LONGEST_EVENT:
            skipped.append(f"{name}: it is longer than 400 days")
            continue
        if "RRULE" in event:
            repeating += 1
            if repeating > MOST_REPEATING:
                raise _too_much(f"more than {MOST_REPEATING} events repeat")
            if monotonic() - began > MOST_SECONDS:
                raise _too_much(f"it takes more than {MOST_SECONDS} s to work out when its events repeat")
        begins, looked_at = _occurrences(
            event, starts, window=(start_at, end_at), lasts=lasts, zone=zone, room=MOST_STEPS - steps
        )
        steps += looked_at
        for begin in begins:
            if "RECURRENCE-ID" not in event and (str(event.get("UID", "")), begin) in moved:
                continue  # this one occurrence has an event of its own
            span = _as_instants(begin, lasts, zone)
            if span[0] < end_at and span[1] > start_at:
                found.append(Busy(start_at=span[0], end_at=span[1], summary=name))
            if len(found) > MOST_OCCURRENCES:
                raise _too_much(f"more than {MOST_OCCURRENCES} occurrences within 400 days, at {name}")
    return sorted(found, key=lambda busy: (busy.start_at, busy.end_at)), skipped


def _events(content: bytes) -> list[Any]:
    from icalendar import Calendar

    if len(content) > MOST_BYTES:
        raise _too_much(f"the file is larger than {MOST_BYTES // 1024} KiB")
    if content.upper().count(b"BEGIN:VEVENT") > MOST_EVENTS:
        raise _too_much(f"more than {MOST_EVENTS} events")
    hint = "export it again as iCalendar (.ics)"
    upper = content.upper()
    if b"BEGIN:VCALENDAR" not in upper or upper.count(b"BEGIN:VEVENT") != upper.count(b"END:VEVENT"):
        raise Invalid("this is not a calendar", code="calendar_invalid", field="calendar", hint=hint)
    try:
        calendars = Calendar.from_ical(content, multiple=True)
        return [event for calendar in calendars for event in calendar.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        message = f"the calendar cannot be read: {error}"[:300]
        raise Invalid(message, code="calendar_invalid", field="calendar", hint=hint) from error


def _counts(event: Any) -> bool:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return False
    whole_days = not isinstance(getattr(event.get("DTSTART"), "dt", None), datetime)
    return whole_days or str(event.get("TRANSP", "")).upper() != "TRANSPARENT"


def _times(event: Any) -> tuple[date | datetime, timedelta]:
    """Start and length; of a whole-day event both in days (RFC 5545, 3.6.1)."""
    starts = event["DTSTART"].dt
    if "DTEND" in event:
        lasts = event["DTEND"].dt - starts
    elif "DURATION" in event:
        lasts = event["DURATION"].dt
    else:
        lasts = timedelta(0) if isinstance(starts, datetime) else timedelta(days=1)
    if lasts <= timedelta(0):
        raise ValueError("it has no length")
    return starts, lasts


def _moved(events: list[Any]) -> set[tuple[str, date | datetime]]:
    """Occurrences that an event of their own replaces (RECURRENCE-ID)."""
    return {(str(e.get("UID", "")), e["RECURRENCE-ID"].dt) for e in events if "RECURRENCE-ID" in e}


def _occurrences(
    event: Any,
    starts: date | datetime,
    *,
    window: tuple[datetime, datetime],
    lasts: timedelta,
    zone: ZoneInfo,
    room: int,
) -> tuple[list[date | datetime], int]:
    """The starts of an event that can touch the window, in the form of its own start; and how many were looked at."""
    rules = event.get("RRULE")
    if rules is None and "RDATE" not in event:
        return [starts], 1
    name = _name(event)
    wall = _wall(starts)
    if wall < _EARLIEST_REPEAT:
        raise _too_much(f"{name} repeats since before 2000")
    tz = starts.tzinfo if isinstance(starts, datetime) and starts.tzinfo else zone
    last = window[1].astimezone(tz).replace(tzinfo=None) + timedelta(days=1)
    line = {wall, *(_wall(at) for at in _dates(event, "RDATE", name))}
    for rule in rules if isinstance(rules, list) else [rules] if rules is not None else []:
        line.update(_of_rule(rule.to_ical().decode(), wall, last, tz, name=name, room=room))
    line -= {_wall(at) for at in _dates(event, "EXDATE", name)}
    first = window[0].astimezone(tz).replace(tzinfo=None) - lasts - timedelta(days=1)
    return [_like(at, starts) for at in sorted(line) if first <= at <= last], len(line)


def _of_rule(text: str, wall: datetime, last: datetime, tz: tzinfo, *, name: str, room: int) -> list[datetime]:
    """The occurrences of one rule until ``last``."""
    if _WITHIN_A_DAY.search(text):
        raise _too_much(f"{name} repeats within a day ({text[:60]})")
    try:
        found = occurrences(parts_of(text), wall, zone=tz)
        line = list(islice(takewhile(lambda at: at <= last, found), room + 1))
    except ValueError as error:
        raise Invalid(
            f"{name} has a rule that cannot be read: {error}"[:300],
            code="calendar_invalid",
            field="calendar",
            hint="repeat it by day, week, month or year",
        ) from error
    if len(line) > room:
        raise _too_much(f"its repeating events occur more than {MOST_STEPS} times, at {name}")
    return line


def _dates(event: Any, key: str, name: str) -> list[date | datetime]:
    given = event.get(key)
    lists = given if isinstance(given, list) else [given] if given is not None else []
    found = [each.dt[0] if isinstance(each.dt, tuple) else each.dt for one in lists for each in one.dts]
    if len(found) > MOST_DATES:
        raise _too_much(f"{name} names more than {MOST_DATES} dates")
    return found


def _wall(at: date | datetime) -> datetime:
    return at.replace(tzinfo=None) if isinstance(at, datetime) else datetime.combine(at, time())


def _like(at: datetime, starts: date | datetime) -> date | datetime:
    return at.replace(tzinfo=starts.tzinfo) if isinstance(starts, datetime) else at.date()


def _as_instants(begin: date | datetime, lasts: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both ends in UTC. Whole days end on the wall clock; hours last as long as they say."""
    if not isinstance(begin, datetime):
        midnight = datetime.combine(begin, time(), zone)
        return midnight.astimezone(UTC), (midnight + lasts).astimezone(UTC)
    aware = begin if begin.tzinfo is not None else begin.replace(tzinfo=zone)
    start = aware.astimezone(UTC)
    return start, start + lasts


def _name(event: Any) -> str:
    return str(event.get("SUMMARY") or "an event without a title")[:100]


def _too_much(what: str) -> Invalid:
    hint = "import a calendar of your absences only, of the coming year"
    return Invalid(f"the calendar is over a limit: {what}", code="calendar_too_large", field="calendar", hint=hint)
