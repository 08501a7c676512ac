"""What a pass derives covers the horizon and every touched slice, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.telemetry import LateSpans, ranges_to_derive, slice_start

NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
HORIZON = timedelta(minutes=15)


@given(
    st.lists(st.integers(0, 3 * 86_400).map(lambda seconds: NOW - timedelta(seconds=seconds)), max_size=20),
    st.sampled_from([1, 5, 7, 60, 3600]),
)
def test_ranges_cover_what_was_touched_and_never_overlap(touched: list[datetime], width: int) -> None:
    ranges = ranges_to_derive(now=NOW, horizon=HORIZON, touched=touched, slice_seconds=width)
    for instant in [*touched, NOW, NOW - HORIZON]:
        assert sum(start <= instant < end for start, end in ranges) == 1
    for (_, end), (start, _) in pairwise(ranges):
        assert end < start
    for start, end in ranges:
        assert slice_start(start, width) == start
        assert slice_start(end, width) == end


def test_touched_minutes_are_handed_over_once_and_bounded() -> None:
    late = LateSpans(limit=3)
    late.touch({1, 2, 3, 4})
    assert late.take() == [datetime.fromtimestamp(minute * 60, UTC) for minute in (2, 3, 4)]
    assert late.take() == []
