"""Levels (gauges, and Sums that may fall) become slices that hold, in the real engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.contract.telemetry.test_counts import operation
from watchbill.features.telemetry import MetricMatch, MetricSelector, TelemetryStore
from watchbill.features.telemetry.level_counts import STANDS_SECONDS

MINUTE = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=60)
DEPTH = MetricSelector(name="queue.depth")


def levels(
    *points: tuple[float, float | None],
    service: str = "payments",
    attributes: Mapping[str, str] | None = None,
    as_sum: bool = False,
) -> bytes:
    """One stream: (seconds since `MINUTE`, value) of each point; without a value nothing was recorded."""
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    pair = of.resource.attributes.add()
    pair.key, pair.value.string_value = "service.name", service
    metric = of.scope_metrics.add().metrics.add()
    metric.name = "queue.depth"
    if as_sum:
        metric.sum.is_monotonic = False
        metric.sum.aggregation_temporality = 2  # type: ignore[assignment]  # the enum's number
    data = metric.sum if as_sum else metric.gauge
    for at, value in points:
        point: Any = data.data_points.add()
        point.time_unix_nano = int((MINUTE.timestamp() + at) * 1_000_000_000)
        point.as_double, point.flags = value or 0.0, int(value is None)
        for key, text in (attributes or {}).items():
            pair = point.attributes.add()
            pair.key, pair.value.string_value = key, text
    return request.SerializeToString()


def held(
    store: TelemetryStore,
    *,
    at_most: float | None = 100,
    at_least: float | None = None,
    level: MetricSelector = DEPTH,
    minutes: int = 20,
    **match: object,
) -> dict[int, int]:
    """1 for each minute that held, 0 for each that did not."""
    found = store.level_counts(
        operation(**match),
        level=level,
        at_most=at_most,
        at_least=at_least,
        start=MINUTE,
        end=MINUTE + timedelta(minutes=minutes),
        slice_seconds=60,
    )
    assert all(one.total == 1 for one in found)
    return {round((one.slice_at - MINUTE).total_seconds()) // 60: one.good for one in found}


def test_a_value_stands_until_the_next_for_at_most_five_minutes(store: TelemetryStore) -> None:
    store.insert_metrics([levels((0, 50), (60, 101), (120, 100))])
    assert held(store) == {0: 1, 1: 0, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}


def test_the_worst_of_several_decides_and_points_sent_twice_or_late_correct_the_past(store: TelemetryStore) -> None:
    store.insert_metrics([levels((0, 5), (120, None), attributes={"pod": "a"})])
    store.insert_metrics([levels((60, 500), (120, None), attributes={"pod": "b"}, as_sum=True)])
    assert held(store) == {0: 1, 1: 0}, "what tells that nothing was recorded ends it at once"
    again = levels((60, 500), (61, 3), (120, None), attributes={"pod": "b"}, as_sum=True)
    store.insert_metrics([again, again])
    assert held(store) == {0: 1, 1: 0}, "for one second it did not hold"
    only_a = MetricSelector(name="queue.depth", where=(MetricMatch(key="pod", values=("a",)),))
    assert held(store, level=only_a) == {0: 1, 1: 1}


def test_bounds_may_be_on_both_sides_and_no_series_is_unmeasured(store: TelemetryStore) -> None:
    assert held(store) == {}
    store.insert_metrics([levels((0, 5), (60, 10), (120, 11), (180, float("nan")), service="shop")])
    assert held(store) == {}
    assert held(store, at_least=6, at_most=10, service_name="shop") == {0: 0, 1: 1, 2: 0}


points = st.lists(
    st.tuples(st.integers(-400, 1190), st.sampled_from([1.0, 99.0, 100.0, 101.0, 1e9, None])),
    max_size=12,
    unique_by=lambda point: point[0],
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(points, min_size=1, max_size=3))
def test_slices_equal_a_slow_walk_second_by_second(
    store: TelemetryStore, streams: list[list[tuple[int, float | None]]]
) -> None:
    service = uuid4().hex
    store.insert_metrics(
        [levels(*each, service=service, attributes={"pod": str(index)}) for index, each in enumerate(streams) if each]
    )
    slow: dict[int, int] = {}
    for each in filter(None, streams):
        ordered = sorted(each)
        for (at, value), following in zip(ordered, [*ordered[1:], (10**6, None)], strict=True):
            if value is None:
                continue
            for second in range(max(at, 0), min(following[0], at + STANDS_SECONDS, 1200)):
                slow[second // 60] = min(slow.get(second // 60, 1), int(value <= 100))
    assert held(store, service_name=service) == dict(sorted(slow.items()))
