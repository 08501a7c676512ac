"""Calendar windows: when the period around an instant begins and ends, with its real length over DST.

Periods are counted on the wall clock of the named zone from ``start``: the k-th begins k units after it. A month that
has no such day begins on its last (31 January, 28 February, 31 March). A wall time that DST leaves out is the first
instant that exists; one that comes twice is its first.
"""

from __future__ import annotations

import calendar as dates
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features.slo.model import Calendar

_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_DAYS = {"d": 1, "w": 7}
_USUAL_DAYS = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
_MOST_DAYS = {"d": 1, "w": 7, "M": 31, "Q": 92, "Y": 366}


class Period(msgspec.Struct, frozen=True):
    """[begin, end), aware UTC."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        return int((self.end - self.begin).total_seconds())


def usual_length(calendar: Calendar) -> timedelta:
    """What burn windows are scaled by: 30 days to a month, 90 to a quarter, 365 to a year."""
    return timedelta(days=_USUAL_DAYS[calendar.unit] * calendar.amount)


def most_length(calendar: Calendar) -> timedelta:
    """No period is longer."""
    return timedelta(days=_MOST_DAYS[calendar.unit] * calendar.amount, hours=3)


@lru_cache(maxsize=1024)
def _instant(local: datetime, zone: str) -> datetime:
    """The instant of a wall time, UTC."""
    tz = ZoneInfo(zone)
    early = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if early.astimezone(tz).replace(tzinfo=None) == local:
        return early
    low, high = local.replace(tzinfo=tz, fold=1).astimezone(UTC), early  # the clock is put forward between these
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(tz).replace(tzinfo=None) < local:
            low = middle
        else:
            high = middle
    return high


def _begin(calendar: Calendar, number: int) -> datetime:
    start = datetime.fromisoformat(calendar.start)
    if calendar.unit in _DAYS:
        local = start + timedelta(days=_DAYS[calendar.unit] * calendar.amount * number)
    else:
        month = start.year * 12 + start.month - 1 + _MONTHS[calendar.unit] * calendar.amount * number
        year, month = divmod(month, 12)
        day = min(start.day, dates.monthrange(year, month + 1)[1])
        local = start.replace(year=year, month=month + 1, day=day)
    return _instant(local, calendar.zone)


def period_at(calendar: Calendar, at: datetime) -> Period:
    """The period that ``at`` (aware) falls into; before ``start`` they are counted backwards."""
    elapsed = at - _instant(datetime.fromisoformat(calendar.start), calendar.zone)
    number = elapsed // usual_length(calendar)
    while _begin(calendar, number) > at:
        number -= 1
    while _begin(calendar, number + 1) <= at:
        number += 1
    return Period(_begin(calendar, number), _begin(calendar, number + 1))
