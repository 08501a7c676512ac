"""Each version of a service is counted by itself."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.telemetry.test_counts import MINUTE, spans
from watchbill.features.telemetry import GetVersions, TelemetryStore, asking


def test_versions_are_counted_slice_by_slice_and_slow_is_measured_by_what_was_before(store: TelemetryStore) -> None:
    change_at = MINUTE + timedelta(minutes=2)
    old, new = {"service.version": "v1"}, {"service.version": "v2"}
    for minute in range(2):
        store.insert_traces([spans(10, at=MINUTE + timedelta(minutes=minute), resource=old, milliseconds=20)])
    store.insert_traces([spans(3, at=change_at, resource=new, milliseconds=400)])
    store.insert_traces([spans(2, at=change_at, resource=new, status=2)])
    store.insert_traces([spans(5, at=change_at, service="checkout", resource=new)])
    found = asking.answer(
        store.engine,
        GetVersions(
            service_name="payments",
            environment="production",
            start_at=MINUTE,
            end_at=change_at + timedelta(minutes=1),
            reference_end_at=change_at,
        ),
    )
    assert found.slow_ms == 20
    told = [(s.version, s.slice_at, s.total, s.bad, s.slow, round(s.p50_ms)) for s in found.slices]
    assert told == [
        ("v1", MINUTE, 10, 0, 0, 20),
        ("v1", MINUTE + timedelta(minutes=1), 10, 0, 0, 20),
        ("v2", change_at, 5, 2, 3, 400),
    ]


def test_versions_are_seen_with_their_first_and_last_spans(store: TelemetryStore) -> None:
    later = MINUTE + timedelta(minutes=2)
    store.insert_traces([spans(3, at=MINUTE, resource={"service.version": "v1"})])
    store.insert_traces([spans(2, at=later, resource={"service.version": "v2"}), spans(1, at=later)])
    found = store.versions_seen(start_at=MINUTE, end_at=later + timedelta(minutes=1))
    assert [(one.service_name, one.environment, one.version) for one in found] == [
        ("payments", "production", "v1"),
        ("payments", "production", "v2"),
    ]
    assert found[1].first_at >= later > found[0].last_at
