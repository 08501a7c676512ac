"""The wall clock of a zone as whole microseconds, so that evaluating years of a schedule is arithmetic.

Everything in a schedule is a reading of a wall clock: a handoff, the start and end of a window. A reading is due
at the first instant at which the wall clock *has reached* it. ``reached`` is the highest reading that the clock
has shown so far; it never runs backwards, so one rule serves skipped hours, hours that come twice, half-hour
changes and a skipped day alike: a reading ``w`` has begun at instant ``t`` exactly when ``reached(t) >= w``.

Instants are microseconds since 1970-01-01T00:00Z, readings microseconds since 1970-01-01T00:00 on the wall.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from whenever import Instant, ZonedDateTime

MICROSECOND = timedelta(microseconds=1)
MINUTE = 60_000_000
DAY = 86_400_000_000
WEEK = 7 * DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (a reading of a wall clock has no zone)
_FIRST_YEAR, _LAST_YEAR = 1900, 2300
"""Changes of clocks outside these years are not looked up; the API takes 1971 to 2200."""

BEGINNING_US = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // MICROSECOND
FOREVER_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // MICROSECOND


def to_us(instant: datetime) -> int:
    """An aware instant as microseconds."""
    return (instant - _EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """Microseconds as an instant in UTC; beyond the calendar it is its first or last day."""
    return _EPOCH + timedelta(microseconds=min(max(us, BEGINNING_US), FOREVER_US))


def reading(wall: datetime) -> int:
    """A naive wall-clock time as microseconds."""
    return (wall - _WALL_EPOCH) // MICROSECOND


def from_reading(us: int) -> datetime:
    """Microseconds as a naive wall-clock time."""
    return _WALL_EPOCH + timedelta(microseconds=us)


class WallClock:
    """The clock on the wall in one zone."""

    __slots__ = ("_offsets", "_peaks", "_starts")

    def __init__(self, zone: str) -> None:
        at = Instant.from_utc(_FIRST_YEAR, 1, 1).to_tz(zone)
        starts, offsets = [BEGINNING_US], [_offset_us(at)]
        while (following := at.next_transition()) is not None and following.year <= _LAST_YEAR:
            at = following
            starts.append(to_us(at.to_instant().to_stdlib()))
            offsets.append(_offset_us(at))
        peaks: list[int] = []  # what the clock has come up to, without showing it, when each segment ends
        for end, offset in zip([*starts[1:], FOREVER_US], offsets, strict=True):
            peaks.append(max(end + offset, peaks[-1] if peaks else BEGINNING_US))
        self._starts, self._offsets, self._peaks = starts, offsets, peaks

    def reached(self, instant: int) -> int:
        """The highest reading that the clock has shown up to ``instant``.

        A reading at which the clock is set back is not shown then: 03:00 is reached an hour later.
        """
        at = bisect_right(self._starts, instant) - 1
        shown = instant + self._offsets[at]
        return max(shown, self._peaks[at - 1] - 1) if at > 0 else shown

    def first_instant(self, wall: int) -> int:
        """The first instant at which the clock has reached ``wall``."""
        at = bisect_right(self._peaks, wall)
        if at == len(self._peaks):
            return FOREVER_US
        return max(self._starts[at], wall - self._offsets[at])


def _offset_us(at: ZonedDateTime) -> int:
    return int(at.offset.total("nanoseconds")) // 1000


@lru_cache(maxsize=1024)
def wall_clock(zone: str) -> WallClock:
    """The clock of an IANA zone; building one takes two milliseconds, so it is kept.

    Raises:
        whenever.TimeZoneNotFoundError: the database does not know the zone.
    """
    return WallClock(zone)
