"""Silence is a symptom: notice when an operation's traffic is lost.

An operation's last hour (30 blocks as long as the check) says what is expected; a low quantile of the blocks
is taken, so that bursts do not raise it and one gap does not hide it. Where the same time yesterday and last
week are known, the smallest stands: a nightly pause is no outage. Lost is: fewer than a fifth of what is
expected, *and* so few that a Poisson process would show it less than once in ten million checks. Below about
17 expected events silence says nothing at that confidence, and such an operation is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from watchbill.features.slo.history import CountHistory

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FALSE_ALARM = 1e-7
LOST_SHARE = 0.2
BACK_SHARE = 0.5
BASELINE_BLOCKS = 30
MIN_BLOCKS = 10
LOW_BLOCK = 0.1
ACCEPT_AFTER_SECONDS = 24 * 3600


def _smallest_means(most: int) -> Floats:
    """For each count k the smallest Poisson mean at which k or fewer events are rarer than `FALSE_ALARM`."""
    means = []
    for count in range(most + 1):
        low, high = float(count), count + 60.0 + 10 * math.sqrt(count + 1)
        for _ in range(60):
            middle = (low + high) / 2
            if _poisson_at_most(count, middle) < FALSE_ALARM:
                high = middle
            else:
                low = middle
        means.append(high)
    return np.array(means)


def _poisson_at_most(count: int, mean: float) -> float:
    term = total = math.exp(-mean)
    for k in range(1, count + 1):
        term *= mean / k
        total += term
    return total


_MEANS = _smallest_means(64)
MIN_EXPECTED = float(_MEANS[0])
"""Expected events in a check below which silence proves nothing."""


def check_slices(slice_seconds: int) -> int:
    """Length of a check: two minutes, or at least two slices; with short slices one minute."""
    return max(2, -(-60 // slice_seconds))


def lower_bound(expected: Floats) -> Ints:
    """The largest count that means "lost" at this expectation; -1 where not even silence does."""
    by_chance = np.searchsorted(_MEANS, expected, side="right") - 1
    by_share = np.floor(expected * LOST_SHARE).astype(np.int64)
    # Beyond the table chance alone would allow more than the share does.
    return np.where(expected > _MEANS[-1], by_share, np.minimum(by_chance, by_share))


def expected_traffic(blocks: Ints, measured: Bools, earlier: Floats) -> Floats:
    """What a check should see at least: the 10 % quantile of the measured blocks, or less if it was less before.

    Args:
        blocks: events per block, shape (operations, blocks).
        measured: which blocks are wholly measured; fewer than 10 of them say nothing (the answer is 0).
        earlier: events per check at the same time on earlier days, shape (operations, days), NaN unknown.
    """
    if blocks.size == 0:
        return np.zeros(blocks.shape[0])
    counts = np.where(measured, blocks, np.iinfo(np.int64).max)
    known = measured.sum(axis=1)
    ordered = np.sort(counts, axis=1)
    place = np.floor(known * LOW_BLOCK).astype(np.int64)
    low = ordered[np.arange(blocks.shape[0]), np.minimum(place, blocks.shape[1] - 1)]
    recent = np.where(known >= MIN_BLOCKS, low, 0).astype(np.float64)
    least: Floats = np.minimum(recent, np.nan_to_num(earlier, nan=np.inf).min(axis=1, initial=np.inf))
    return least


class Watch(msgspec.Struct, frozen=True):
    """What is known of lost traffic: lost now, what was expected when it was lost, and since which slice."""

    lost: Bools
    expected: Floats
    since: Ints


def nobody(count: int) -> Watch:
    """Nothing is lost."""
    return Watch(np.zeros(count, bool), np.zeros(count), np.full(count, -1, np.int64))


def watch_traffic(
    before: Watch, *, seen: Ints, checkable: Bools, expected: Floats, current: int, slice_seconds: int
) -> Watch:
    """Who has lost traffic now.

    While lost, the expectation stays what it was (the silence would lower it). It is back at half of that,
    or after a day of silence, which is then the new normal. What cannot be checked (nobody reports) stays.
    """
    newly = ~before.lost & checkable & (seen <= lower_bound(expected))
    back = before.lost & checkable & (seen >= before.expected * BACK_SHARE)
    accepted = before.lost & ((current - before.since) * slice_seconds >= ACCEPT_AFTER_SECONDS)
    lost = newly | (before.lost & ~back & ~accepted)
    return Watch(
        lost,
        np.where(before.lost, before.expected, expected) * lost,
        np.where(lost, np.where(before.lost, before.since, current), -1),
    )


class Reading(msgspec.Struct, frozen=True):
    """What a check saw, whether it could be judged, and what was expected."""

    seen: Ints
    checkable: Bools
    expected: Floats


Hidden = Sequence[tuple[int, int, int]]
"""(row, first, end): slices of which nothing is to be concluded, because they are excluded."""


def read_traffic(
    history: CountHistory, rows: Ints, *, length: int, skip: int, hidden: Hidden = ()
) -> Reading:
    """Read the check (``length`` slices, leaving out the newest ``skip``) and its past from the counts kept.

    A check can be judged when every slice of it is measured, that is, when somebody reported. ``hidden``: as if nobody
    had; its rows count ``rows``.
    """
    slices = length * (BASELINE_BLOCKS + 1)
    # The current slice is only partly over, so it is never part of a check.
    start = history.current - skip - slices
    _, total, measured = history.fine(rows, start=start, count=slices)
    for row, first, end in hidden:
        measured[row, max(first - start, 0) : max(end - start, 0)] = False
    blocks = total.reshape(rows.size, BASELINE_BLOCKS + 1, length).sum(axis=2)
    whole: Bools = measured.reshape(rows.size, BASELINE_BLOCKS + 1, length).min(axis=2)
    day = 24 * 3600 // history.slice_seconds
    earlier = np.full((rows.size, 2), np.nan)
    for column, days in enumerate((1, 7)):
        for shift in (-history.bucket_slices, 0, history.bucket_slices):  # pauses are not punctual
            then = history.current - skip - days * day + shift
            counted, known = history.bucket_total(rows, slice_number=then)
            enough = known * 2 >= history.bucket_slices
            bucket = then // history.bucket_slices * history.bucket_slices
            for row, first, end in hidden:
                enough[row] &= not (first < bucket + history.bucket_slices and bucket < end)
            per_check = counted[enough] * length / known[enough]
            earlier[enough, column] = np.fmin(earlier[enough, column], per_check)
    expected = expected_traffic(blocks[:, :-1], whole[:, :-1], earlier)
    return Reading(blocks[:, -1], whole[:, -1], expected)
