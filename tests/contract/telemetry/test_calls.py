"""What an operation's traces call, trace by trace."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.telemetry.test_counts import MINUTE, spans
from watchbill.features.telemetry import GetCalls, TelemetryStore, asking


def test_the_entries_of_a_service_are_counted_trace_by_trace(store: TelemetryStore) -> None:
    store.insert_traces([spans(40, at=MINUTE, milliseconds=20)])
    store.insert_traces([spans(5, at=MINUTE, service="elsewhere")])
    found = asking.answer(
        store.engine,
        GetCalls(
            service_name="payments",
            environment="production",
            start_at=MINUTE - timedelta(minutes=1),
            end_at=MINUTE + timedelta(minutes=2),
            limit=30,
        ),
    )
    assert 0 < len(found) <= 30
    assert all(set(one.calls) >= {"payments"} for one in found)
    assert all(one.calls["payments"] >= 1 and one.load >= 30 for one in found)
    assert all(one.busy_ms["payments"] >= 20 for one in found)
