"""The order, depth and place of spans in a waterfall, whatever a trace looks like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from watchbill.api.traces import OwnedSpan
from watchbill.features.telemetry import Span
from watchbill.web.traces import waterfall

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def span(number: int, parent: int, offset_ms: int = 0, took_ms: int = 1) -> OwnedSpan:
    return OwnedSpan(
        span=Span(
            trace_id="0a" * 16,
            span_id=f"{number:016x}",
            parent_span_id=f"{parent:016x}" if parent else "",
            service_name="payments",
            name=f"span {number}",
            kind="Server",
            started_at=START + timedelta(milliseconds=offset_ms),
            duration_ns=took_ms * 1_000_000,
            status="Unset",
            status_message="",
            attributes={},
            resource={},
        ),
        service="payments",
        team="payments",
    )


def test_children_stand_below_their_parents_in_the_order_of_their_starts() -> None:
    orphan = span(9, 77, 90, 5)
    bars = waterfall([span(3, 1, 50, 10), span(1, 0, 0, 100), span(2, 1, 10, 20), span(4, 2, 12, 5), orphan])
    assert [(bar.owned.span.name, bar.depth) for bar in bars] == [
        ("span 1", 0),
        ("span 2", 1),
        ("span 4", 2),
        ("span 3", 1),
        ("span 9", 0),
    ]
    assert [(bar.left, bar.width) for bar in bars][:2] == [(0.0, 100.0), (10.0, 20.0)]


spans = st.lists(
    st.builds(span, st.integers(1, 12), st.integers(0, 12), st.integers(0, 500), st.integers(0, 900)),
    min_size=1,
    unique_by=lambda owned: owned.span.span_id,
)


@given(spans)
def test_every_span_stands_once_inside_the_lane_even_when_parents_run_in_circles(trace: list[OwnedSpan]) -> None:
    bars = waterfall(trace)
    assert sorted(bar.owned.span.span_id for bar in bars) == sorted(owned.span.span_id for owned in trace)
    for bar in bars:
        assert 0 <= bar.left < 100
        assert 0 < bar.width <= 100 - bar.left + 1e-6
