"""Request metrics become counts in the real engine: whatever restarts, is sent twice, or is sampled away as spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.contract.telemetry.test_counts import CHARGE, operation, spans
from watchbill.features.telemetry import OperationMatch, SliceCount, TelemetryStore

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
MINUTE = NOW - timedelta(minutes=10)
BOUNDS = [0.1, 0.3, 1.0]
OK = {"http.request.method": "POST", "http.route": "/charge", "http.response.status_code": 200}
FAILED = {**OK, "http.response.status_code": 503}


def points(
    *values: tuple[float, Sequence[int]],
    attributes: Mapping[str, Any] = OK,
    start: float | None = 0,
    delta: bool = False,
    name: str = "http.server.request.duration",
    unit: str = "s",
    service: str = "payments",
    scale: int | None = None,
) -> bytes:
    """One stream: (minutes since `MINUTE`, bucket counts) for each point; with ``scale`` exponential buckets from 1."""
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    pair = of.resource.attributes.add()
    pair.key, pair.value.string_value = "service.name", service
    metric = of.scope_metrics.add().metrics.add()
    metric.name, metric.unit = name, unit
    data = metric.histogram if scale is None else metric.exponential_histogram
    data.aggregation_temporality = 1 if delta else 2
    for minute, buckets in values:
        point: Any = data.data_points.add()
        point.time_unix_nano = nano(minute)
        if start is not None:
            point.start_time_unix_nano = nano(start)
        point.count, point.sum = sum(buckets), 1.0
        if scale is None:
            point.explicit_bounds.extend(BOUNDS)
            point.bucket_counts.extend(buckets)
        else:
            point.scale, point.positive.offset = scale, 0
            point.positive.bucket_counts.extend(buckets)
        for key, value in attributes.items():
            pair = point.attributes.add()
            pair.key = key
            if isinstance(value, bool):
                pair.value.bool_value = value
            elif isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value
    return request.SerializeToString()


def nano(minute: float) -> int:
    return int((MINUTE.timestamp() + minute * 60) * 1_000_000_000)


def derive(store: TelemetryStore, *operations: OperationMatch, minutes: int = 4) -> dict[int, tuple[float, float]]:
    """(good, total) by minute since `MINUTE`."""
    found = store.derive_counts(
        operations or [operation()], start=MINUTE, end=MINUTE + timedelta(minutes=minutes), slice_seconds=60
    )
    return {round((one.slice_at - MINUTE).total_seconds() / 60): (one.good, one.total) for one in found if one.measured}


@pytest.mark.parametrize(("degraded", "counted"), [("good", (5, 6)), ("bad", (3, 6)), ("apart", (3, 4))])
def test_degraded_answers_of_metrics_count_as_the_objective_says(
    store: TelemetryStore, degraded: str, counted: tuple[int, int]
) -> None:
    marked = {**OK, "reliability.degraded": True}
    for buckets, attributes in ((3, OK), (2, marked), (1, FAILED)):
        store.insert_metrics([points((1, [buckets, 0, 0, 0]), attributes=attributes)])
    assert derive(store, operation(degraded=degraded))[0] == counted


def test_cumulative_points_count_what_came_between_them_and_the_first_since_the_start(store: TelemetryStore) -> None:
    store.insert_metrics([points((1, [5, 0, 0, 0]), (2, [9, 0, 0, 0]), (3, [9, 1, 0, 0]))])
    store.insert_metrics([points((1, [1, 0, 0, 0]), (2, [1, 0, 0, 0]), attributes=FAILED)])
    assert derive(store) == {0: (5, 6), 1: (4, 4), 2: (1, 1)}


def test_a_restart_counts_from_its_start_and_a_point_sent_twice_counts_once(store: TelemetryStore) -> None:
    before = points((1, [50, 0, 0, 0]), (2, [60, 0, 0, 0]))
    after = points((3, [7, 0, 0, 0]), start=2.5)
    store.insert_metrics([before, after])
    store.insert_metrics([before])
    assert derive(store) == {0: (50, 50), 1: (10, 10), 2: (7, 7)}


def test_a_smaller_count_without_a_start_is_a_restart_too(store: TelemetryStore) -> None:
    store.insert_metrics([points((1, [50, 0, 0, 0]), (2, [60, 0, 0, 0]), (3, [7, 0, 0, 0]), start=None)])
    assert derive(store) == {1: (10, 10), 2: (7, 7)}, "what was before the first point is not known"


def test_deltas_count_themselves(store: TelemetryStore) -> None:
    store.insert_metrics(
        [points((1, [3, 0, 0, 0]), start=0, delta=True), points((2, [4, 0, 0, 0]), start=1, delta=True)]
    )
    assert derive(store) == {0: (3, 3), 1: (4, 4)}


def test_an_interval_is_spread_over_its_minutes_in_whole_events_that_add_up(store: TelemetryStore) -> None:
    store.insert_metrics([points((0.5, [0, 0, 0, 0]), (3, [7, 0, 0, 0]))])
    found = derive(store)
    assert [total for _, total in found.values()] == [1, 3, 3]
    assert sum(total for _, total in found.values()) == 7


def test_a_threshold_that_is_a_bound_is_exact_and_between_bounds_spans_count(store: TelemetryStore) -> None:
    store.insert_metrics([points((1, [2, 3, 4, 1])), points((1, [5, 0, 0, 0]), attributes=FAILED)])
    store.insert_traces([spans(8, at=MINUTE, attributes=OK, milliseconds=10)])
    fast = operation(objective="fast", latency_threshold_ns=300_000_000)
    odd = operation(objective="odd", latency_threshold_ns=250_000_000)
    assert derive(store, fast) == {0: (5, 15)}
    assert derive(store, odd) == {0: (8, 8)}


def test_an_exponential_histogram_is_interpolated_on_its_own_scale(store: TelemetryStore) -> None:
    # scale 0: (1, 2], (2, 4], (4, 8] seconds
    store.insert_metrics([points((1, [4, 8, 2]), scale=0)])
    at_a_bound = operation(objective="bound", latency_threshold_ns=4_000_000_000)
    between = operation(objective="between", latency_threshold_ns=int(2**1.5 * 1e9))
    assert derive(store, at_a_bound) == {0: (12, 14)}
    assert derive(store, between)[0][0] == pytest.approx(8, abs=1)


def test_old_names_in_milliseconds_count_and_never_beside_the_new_ones(store: TelemetryStore) -> None:
    old = {"http.method": "POST", "http.route": "/charge", "http.status_code": 500}
    store.insert_metrics([points((1, [9, 0, 0, 0]), attributes=old, name="http.server.duration", unit="ms")])
    assert derive(store) == {0: (0, 9)}
    store.insert_metrics([points((1, [9, 0, 0, 0]), attributes=FAILED)])
    assert derive(store) == {0: (0, 9)}


def test_an_rpc_is_matched_by_its_name_and_fails_by_the_servers_codes(store: TelemetryStore) -> None:
    called = {"rpc.service": "shop.Payments", "rpc.method": "Charge"}
    for code, count in (("OK", 5), ("NOT_FOUND", 2), ("UNAVAILABLE", 1)):
        store.insert_metrics(
            [
                points(
                    (1, [count, 0, 0, 0]),
                    attributes={**called, "rpc.response.status_code": code},
                    name="rpc.server.call.duration",
                )
            ]
        )
    assert derive(store, operation(span_name="shop.Payments/Charge")) == {0: (7, 8)}
    assert derive(store, operation(span_name="shop.Payments/Refund")) == {}


def test_metrics_stand_above_spans_that_are_sampled_nobody_knows_how(store: TelemetryStore) -> None:
    """slo.request_metrics"""
    unknown = spans(3, at=MINUTE, attributes=OK, trace_state="ot=th:zz")
    store.insert_traces([unknown])
    found: list[SliceCount] = store.derive_counts(
        [operation()], start=MINUTE, end=MINUTE + timedelta(minutes=1), slice_seconds=60
    )
    assert [one.measured for one in found] == [False]
    store.insert_metrics([points((1, [40, 0, 0, 0]))])
    routed = operation(route="POST /charge")
    other = operation(operation_id=UUID(int=2), route="GET /charge")
    assert routed.operation_id == CHARGE
    assert derive(store, routed, other) == {0: (40, 40)}
    assert derive(store, routed, other) == {0: (40, 40)}, "a second pass changes nothing"


def test_what_is_not_exported_yet_is_not_measured_and_silence_after_it_is(store: TelemetryStore) -> None:
    last = (NOW - MINUTE).total_seconds() / 60 - 1
    store.insert_metrics([points((last - 1, [5, 0, 0, 0]), (last, [9, 0, 0, 0]), start=last - 2)])
    end = NOW + timedelta(minutes=1)
    soon = TelemetryStore(store.engine._url, now_ns=lambda: nano(10.5))
    soon.derive_counts([operation()], start=MINUTE, end=end, slice_seconds=60)
    found = store.counts(
        operation_id=CHARGE, objective="availability", start=NOW - timedelta(minutes=2), end=end, slice_seconds=60
    )
    assert [(one.total, one.measured) for one in found] == [(4, True), (0, False), (0, False)]
    later = TelemetryStore(store.engine._url, now_ns=lambda: nano(20))
    later.derive_counts([operation()], start=MINUTE, end=end, slice_seconds=60)
    found = later.counts(
        operation_id=CHARGE, objective="availability", start=NOW - timedelta(minutes=2), end=end, slice_seconds=60
    )
    assert [one.total for one in found] == [4, 0, 0]
