"""What a change cost of an error budget. Pure: counts in, shares out.

The formula. ``b`` is the budget share (1 − target), ``N`` the events of the objective's whole window that ends
now. A change answers for the time from its start until the first of: the next change to the service, its
recovery, or a day after it ended. It has recovered when for half an hour on end the error ratio is within what
it was in the hour before the change or within the sustainable ``b``, whichever is more. Within that time the bad
events above the ratio ``r0`` of the hour before are its own::

    spent = Σ max(0, bad − r0 · total) / (b · N)

Time in which a dependency was down (``exempt``) is nobody's. Counts come in buckets; one that is only partly
inside counts by the part of its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

BEFORE = timedelta(hours=1)
CALM_FOR = timedelta(minutes=30)
LONGEST = timedelta(days=1)

Bucket = tuple[datetime, int, int, int]
"""(start, width in seconds, bad, total)"""
Span = tuple[datetime, datetime]


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """``share`` of the whole budget (0.31 is 31 %), the bad events counted for it, and the time it answers for."""

    share: float
    bad: float
    start_at: datetime
    end_at: datetime
    ended_by: str


def spent_by_change(
    buckets: Sequence[Bucket],
    *,
    started_at: datetime,
    ended_at: datetime | None,
    next_at: datetime | None,
    now: datetime,
    budget_share: float,
    window_total: int,
    exempt: Sequence[Span] = (),
) -> Spent:
    """The budget that one change spent; see the module for the formula.

    Args:
        buckets: counts from `BEFORE` the start on, in order.
        next_at: when the next change to the same service began.
        window_total: ``N``, all events of the window.
    """
    latest = (ended_at or now) + LONGEST
    end_at, ended_by = min(
        (at, why) for at, why in ((now, "now"), (latest, "a day passed"), (next_at or now, "the next change"))
    )
    end_at = max(end_at, started_at)
    ratio = _ratio(buckets, started_at - BEFORE, started_at)
    bad, calm_since = 0.0, None
    for at, width, failed, total in buckets:
        closes = at + timedelta(seconds=width)
        if closes <= started_at:
            continue
        if at >= end_at:
            break
        inside = _inside(at, closes, started_at, end_at, exempt)
        bad += max(0.0, failed - ratio * total) * inside
        calm = failed <= max(ratio, budget_share) * total
        calm_since = (calm_since or max(at, started_at)) if calm else None
        settled = ended_at is not None and closes >= ended_at
        if calm_since is not None and settled and closes - max(calm_since, ended_at or calm_since) >= CALM_FOR:
            end_at, ended_by = min(closes, end_at), "recovered"
            break
    share = bad / (budget_share * window_total) if window_total > 0 else 0.0
    return Spent(share=share, bad=bad, start_at=started_at, end_at=end_at, ended_by=ended_by)


def _ratio(buckets: Sequence[Bucket], start_at: datetime, end_at: datetime) -> float:
    before = [
        (bad, total)
        for at, width, bad, total in buckets
        if at >= start_at - timedelta(seconds=width) and at + timedelta(seconds=width) <= end_at
    ]
    total = sum(each for _, each in before)
    return sum(each for each, _ in before) / total if total else 0.0


def _inside(at: datetime, closes: datetime, start_at: datetime, end_at: datetime, exempt: Sequence[Span]) -> float:
    """The part of a bucket's length in [start_at, end_at) and in none of the exempt spans (which do not overlap)."""
    begin, end = max(at, start_at), min(closes, end_at)
    if end <= begin:
        return 0.0
    length = (end - begin).total_seconds()
    for since, until in exempt:
        length -= max(0.0, (min(end, until) - max(begin, since)).total_seconds())
    return max(0.0, length) / (closes - at).total_seconds()


def union(spans: Sequence[Span]) -> list[Span]:
    """The same time without overlaps, in order."""
    merged: list[Span] = []
    for start_at, end_at in sorted(spans):
        if merged and start_at <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_at))
        elif end_at > start_at:
            merged.append((start_at, end_at))
    return merged


def exempt_bad(buckets: Sequence[Bucket], exempt: Sequence[Span]) -> float:
    """Bad events in the exempt time; what a dependency spent of a budget."""
    found = 0.0
    for at, width, bad, _ in buckets:
        if bad:
            closes = at + timedelta(seconds=width)
            within = sum(max(0.0, (min(closes, until) - max(at, since)).total_seconds()) for since, until in exempt)
            found += bad * within / width
    return found
