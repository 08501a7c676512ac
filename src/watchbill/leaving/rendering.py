"""Helpers to render another system's schedule by its own rules, with the standard library's zones.

Nothing here knows how Watchbill computes: the comparison would otherwise compare a thing with itself. A local time
that clocks skip counts with the offset before the change (PEP 495), as those systems' date libraries do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Range = tuple[datetime, datetime]
Turn = tuple[int, datetime, datetime]
DAY = timedelta(days=1)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def instant(wall: datetime, zone: str) -> datetime:
    """A reading of the clock in ``zone`` as UTC."""
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def wall(at: datetime, zone: str) -> datetime:
    """What the clock in ``zone`` shows, without a zone."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def turns(first: datetime, length: timedelta, zone: str, start: datetime, end: datetime) -> Iterator[Turn]:
    """Turns by the clock of ``zone`` for whole days, else by elapsed time, from ``first`` on in both directions."""
    by_clock = length % DAY == timedelta(0)
    begun = wall(first, zone) if by_clock else wall(first, "UTC")
    where = zone if by_clock else "UTC"
    number = (wall(start, where) - begun) // length - 1
    while (begins := instant(begun + number * length, where)) < end:
        ends = instant(begun + (number + 1) * length, where)
        if ends > start:
            yield number, begins, ends
        number += 1


def weekly(windows: Iterable[tuple[int, int, int]], zone: str, start: datetime, end: datetime) -> list[Range]:
    """Windows (weekday from 0, start and length in seconds of the wall clock) between two instants, merged."""
    found: list[Range] = []
    day = wall(start, zone).date() - timedelta(days=8)
    listed = list(windows)
    while day <= wall(end, zone).date():
        for weekday, begin, length in listed:
            if day.weekday() == weekday:
                opens = datetime.combine(day, time()) + timedelta(seconds=begin)
                found.append((instant(opens, zone), instant(opens + timedelta(seconds=length), zone)))
        day += DAY
    merged: list[Range] = []
    for begins, ends in sorted(found):
        if merged and begins <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ends, merged[-1][1]))
        else:
            merged.append((begins, ends))
    return merged


def cut(begins: datetime, ends: datetime, allowed: Sequence[Range] | None) -> Iterator[Range]:
    """The parts of a range that are allowed; None allows everything."""
    for low, high in [(begins, ends)] if allowed is None else allowed:
        if max(low, begins) < min(high, ends):
            yield max(low, begins), min(high, ends)


def turn_layer(
    name: str,
    *,
    members: list[Any],
    first: datetime,
    length: timedelta,
    zone: str,
    begin: datetime | None = None,
    until: datetime | None = None,
    windows: Sequence[tuple[int, int, int]] = (),
) -> tuple[dict[str, Any], list[str]]:
    """A manifest's layer, and what it cannot say. Turns of elapsed hours go by UTC where no hours bind to a zone."""
    lost: list[str] = []
    if length % DAY and not windows:
        zone = "UTC"
    elif length % DAY:
        lost.append("turns of elapsed hours within local hours: they shift when the clocks change")
    begun = wall(first, zone)
    if begun.second or begun.microsecond:
        lost.append("the handoff has seconds; it is at the whole minute")
    hours = int(length.total_seconds()) // 3600
    layer: dict[str, Any] = {
        "name": name,
        "members": members,
        "timeZone": zone,
        "every": f"{hours}h" if hours % 24 else f"{hours // 24}d",
        "handoff": f"{begun:%H:%M}",
        "countFrom": f"{begun:%Y-%m-%d}",
    }
    if begin is not None:
        layer["startsAt"] = f"{wall(begin, zone):%Y-%m-%dT%H:%M:%S}"
    if until is not None:
        layer["endsAt"] = f"{wall(until, zone):%Y-%m-%dT%H:%M:%S}"
    if windows:
        layer["hours"] = [_hours(*window, lost) for window in windows]
    return layer, lost


def _hours(weekday: int, begin: int, length: int, lost: list[str]) -> dict[str, str]:
    if begin % 60 or length % 60:
        lost.append("hours with seconds are cut to the minute")
    ends = weekday * 1440 + begin // 60 + length // 60
    until = f"{WEEKDAYS[ends // 1440 % 7]} {ends % 1440 // 60:02}:{ends % 60:02}"
    return {"from": f"{WEEKDAYS[weekday]} {begin // 3600:02}:{begin % 3600 // 60:02}", "to": until}


def seconds_of(text: str) -> int:
    """``09:30:00`` as seconds of the day. Raises ValueError."""
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60 + at.second


def possible(length: timedelta) -> bool:
    """True for a length that a manifest can say."""
    return timedelta(hours=1) <= length <= timedelta(days=366) and not length % timedelta(hours=1)


def stand_in(crews: Sequence[Sequence[str]]) -> list[Any]:
    """Each turn's people as a manifest writes them; a turn of nobody goes to the next that has somebody."""
    found: list[Any] = []
    for at in range(len(crews)):
        people = next(
            (list(crews[(at + step) % len(crews)]) for step in range(len(crews)) if _any(crews, at, step)), []
        )
        if people:
            found.append(people[0] if len(people) == 1 else list(dict.fromkeys(people)))
    return found


def _any(crews: Sequence[Sequence[str]], at: int, step: int) -> bool:
    return bool(crews[(at + step) % len(crews)])
