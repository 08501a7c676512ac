"""Restrictions: the hours and weekdays in which a layer counts, on its wall clock.

A window belongs to the day on which it starts, also when it goes on past midnight. Windows that touch are one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Literal, Protocol

from watchbill.features.oncall.model import Window
from watchbill.features.oncall.walls import DAY, MINUTE, WEEK

HolidayRule = Literal["", "never", "only"]
"""What a layer does on public holidays: nothing special; windows that start on one do not count; only those do."""

ALWAYS = (True, -(10**18), 10**18)
_MONDAY = 4 * DAY  # 1970-01-05, the first Monday of readings
_REACH_DAYS = 800
_MARGIN = 100 * DAY
_DAY_ONE = date(1970, 1, 1).toordinal()
Piece = tuple[bool, int, int]
"""Whether the layer counts, and from which reading until which that stays so."""


class Restriction(Protocol):
    """Says of a reading of the wall clock whether a layer counts then."""

    def piece(self, reached: int) -> Piece:
        """The whole stretch around the reading with one answer."""
        ...


class Unrestricted:
    """Counts always."""

    def piece(self, reached: int) -> Piece:
        """See `Restriction`."""
        del reached  # the answer is the same at every one
        return ALWAYS


class Weekly:
    """The same windows every week."""

    def __init__(self, windows: Sequence[Window]) -> None:
        starts = [(day * DAY + w.start_minute * MINUTE, w.minutes * MINUTE) for w in windows for day in w.days]
        runs = _merged((start + week * WEEK, length) for week in (-1, 0, 1) for start, length in starts)
        self._starts = [start for start, _ in runs]
        self._ends = [end for _, end in runs]
        self._full = any(end - start >= 2 * WEEK for start, end in runs)

    def piece(self, reached: int) -> Piece:
        """See `Restriction`."""
        if self._full:
            return ALWAYS
        rest = (reached - _MONDAY) % WEEK
        return _found(self._starts, self._ends, rest, reached - rest)


class Dated:
    """Windows that depend on public holidays: worked out for some years around the reading that is asked for."""

    def __init__(self, windows: Sequence[Window], rule: HolidayRule, holidays: Collection[date]) -> None:
        whole_days = (Window(days=tuple(range(7)), start_minute=0, minutes=24 * 60),)
        self._windows = tuple(windows) or whole_days
        self._only = rule == "only"
        self._holidays = frozenset(day.toordinal() - _DAY_ONE for day in holidays)
        self._known: tuple[list[int], list[int], int, int] = ([], [], 0, 0)

    def piece(self, reached: int) -> Piece:
        """See `Restriction`; a stretch is cut where what was worked out ends, years away."""
        starts, ends, low, high = self._known
        if not low + _MARGIN <= reached < high - _MARGIN:
            middle = reached // DAY
            low, high = (middle - _REACH_DAYS) * DAY, (middle + _REACH_DAYS) * DAY
            runs = self._runs(middle - _REACH_DAYS, middle + _REACH_DAYS)
            starts, ends = [start for start, _ in runs], [end for _, end in runs]
            self._known = (starts, ends, low, high)  # one assignment: other threads see the old or the new
        inside, start, end = _found(starts, ends, reached, 0)
        return inside, max(start, low), min(end, high)

    def _runs(self, first_day: int, last_day: int) -> list[tuple[int, int]]:
        return _merged(
            (day * DAY + window.start_minute * MINUTE, window.minutes * MINUTE)
            for day in range(first_day - 7, last_day + 7)
            if (day in self._holidays) == self._only
            for window in self._windows
            if (day - 4) % 7 in window.days  # day 4 of 1970 was a Monday
        )


def _merged(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for start, length in sorted(found):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], start + length))
        else:
            runs.append((start, start + length))
    return runs


def _found(starts: list[int], ends: list[int], at: int, shift: int) -> Piece:
    index = bisect_right(starts, at) - 1
    if index >= 0 and at < ends[index]:
        return True, starts[index] + shift, ends[index] + shift
    begin = ends[index] + shift if index >= 0 else ALWAYS[1]
    end = starts[index + 1] + shift if index + 1 < len(starts) else ALWAYS[2]
    return False, begin, end


@lru_cache(maxsize=4096)
def restriction(windows: tuple[Window, ...], rule: HolidayRule, holidays: frozenset[date]) -> Restriction:
    """The restriction of a layer; kept, so that equal layers of many teams share one."""
    if rule:
        return Dated(windows, rule, holidays)
    return Weekly(windows) if windows else Unrestricted()
