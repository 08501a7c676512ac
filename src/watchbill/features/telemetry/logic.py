"""Pure decisions about time: which slices are there, and which must be derived again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta


def slice_start(instant: datetime, slice_seconds: int) -> datetime:
    """The start of the slice that holds ``instant``; slices are counted from the Unix epoch."""
    seconds = int(instant.timestamp() // slice_seconds) * slice_seconds
    return datetime.fromtimestamp(seconds, UTC)


def chunks(
    start: datetime, end: datetime, longest: timedelta, slice_seconds: int
) -> Iterator[tuple[datetime, datetime]]:
    """Cut ``[start, end)`` into pieces of whole slices, none longer than ``longest`` (or one slice)."""
    slices = max(1, int(longest.total_seconds()) // slice_seconds)
    step = timedelta(seconds=slices * slice_seconds)
    at = start
    while at < end:
        yield at, min(at + step, end)
        at += step


def joined(starts: Iterable[datetime], width: timedelta) -> list[tuple[datetime, datetime]]:
    """The intervals ``[start, start + width)``, in order, neighbours joined; ``starts`` lie ``width`` apart or more."""
    ranges: list[tuple[datetime, datetime]] = []
    for start in sorted(set(starts)):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + width)
        else:
            ranges.append((start, start + width))
    return ranges


def ranges_to_derive(
    *, now: datetime, horizon: timedelta, touched: Iterable[datetime], slice_seconds: int
) -> list[tuple[datetime, datetime]]:
    """What a pass derives: the last ``horizon`` up to ``now``, and the slices that late spans touched before it.

    Neighbouring slices are joined; the ranges are disjoint, in order, and of whole slices.
    """
    width = timedelta(seconds=slice_seconds)
    recent = slice_start(now - horizon, slice_seconds)
    last = slice_start(now, slice_seconds) + width
    before = (at for at in (slice_start(instant, slice_seconds) for instant in touched) if at < recent)
    ranges = joined(before, width)
    if ranges and ranges[-1][1] == recent:
        return [*ranges[:-1], (ranges[-1][0], last)]
    return [*ranges, (recent, last)]
