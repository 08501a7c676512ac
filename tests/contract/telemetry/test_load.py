"""The load on a service, step by step, as spans show it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.telemetry.test_counts import MINUTE, spans
from watchbill.features.telemetry import GetLoad, TelemetryStore, asking


def test_requests_durations_failures_and_instances_are_told_by_the_step_in_which_they_ended(
    store: TelemetryStore,
) -> None:
    at = MINUTE + timedelta(hours=3)
    for pod, count in (("a", 20), ("b", 10)):
        resource = {"k8s.pod.name": pod}
        store.insert_traces([spans(count, at=at, service="ramped", resource=resource, milliseconds=200)])
    store.insert_traces([spans(5, at=at + timedelta(seconds=10), service="ramped", status=2, milliseconds=500)])
    store.insert_traces([spans(7, at=at + timedelta(seconds=29), service="ramped", milliseconds=3000)])
    question = GetLoad(
        service_name="ramped", environment="production", start_at=at, end_at=at + timedelta(seconds=30),
        step_seconds=10,
    )  # fmt: skip
    first, second = asking.answer(store.engine, question)
    assert (first.number, first.requests, first.instances, first.failed) == (0, 30, 2, 0)
    assert first.busy_seconds == pytest.approx(6)
    assert first.p95_ms == pytest.approx(200)
    assert (second.number, second.requests, second.failed) == (1, 5, 5)
