"""Counters (OTLP Sums) become counts in the real engine, and equal a slow exact walk over the same points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.contract.telemetry.test_counts import operation
from watchbill.features.telemetry import MetricMatch, MetricSelector, TelemetryStore

MINUTE = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=60)
SECOND = 1_000_000_000
ALL = MetricSelector(name="orders")
FAILED = MetricSelector(name="orders", where=(MetricMatch(key="outcome", values=("failed", "5*")),))
DONE = MetricSelector(name="orders", where=(MetricMatch(key="outcome", values=("done",)),))


def nano(seconds: float) -> int:
    return int(MINUTE.timestamp()) * SECOND + int(seconds * SECOND)


def sums(
    *points: tuple[float, float],
    outcome: str = "done",
    start: float | None = 0,
    delta: bool = False,
    monotonic: bool = True,
    service: str = "payments",
    resource: Mapping[str, str] | None = None,
    stale: bool = False,
) -> bytes:
    """One stream: (seconds since `MINUTE`, value) of each point; deltas begin at ``start`` and follow each other."""
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    for key, value in {"service.name": service, **(resource or {})}.items():
        pair = of.resource.attributes.add()
        pair.key, pair.value.string_value = key, value
    metric = of.scope_metrics.add().metrics.add()
    metric.name, metric.sum.is_monotonic = "orders", monotonic
    metric.sum.aggregation_temporality = 1 if delta else 2  # type: ignore[assignment]  # the enum's numbers
    since = start
    for at, number in points:
        point: Any = metric.sum.data_points.add()
        point.time_unix_nano, point.as_double, point.flags = nano(at), number, int(stale)
        if since is not None:
            point.start_time_unix_nano = nano(since)
        if delta:
            since = at
        pair = point.attributes.add()
        pair.key, pair.value.string_value = "outcome", outcome
    return request.SerializeToString()


def counted(
    store: TelemetryStore,
    *,
    total: MetricSelector | None = ALL,
    good: MetricSelector | None = None,
    bad: MetricSelector | None = FAILED,
    minutes: int = 10,
    **match: object,
) -> dict[int, tuple[int, int]]:
    """(good, total) by minute since `MINUTE`."""
    found = store.counter_counts(
        operation(**match),
        total=total,
        good=good,
        bad=bad,
        start=MINUTE,
        end=MINUTE + timedelta(minutes=minutes),
        slice_seconds=60,
    )
    return {round((one.slice_at - MINUTE).total_seconds()) // 60: (one.good, one.total) for one in found}


def test_a_restart_by_start_and_by_a_falling_value_count_what_came_since(store: TelemetryStore) -> None:
    store.insert_metrics([sums((60, 5), (120, 9)), sums((180, 3), (240, 1), start=125)])
    assert counted(store) == {0: (5, 5), 1: (4, 4), 2: (3, 3), 3: (1, 1)}


def test_a_point_that_is_sent_twice_or_late_corrects_the_past_and_counts_once(store: TelemetryStore) -> None:
    store.insert_metrics([sums((60, 5), (240, 11))])
    assert counted(store) == {0: (5, 5), 1: (2, 2), 2: (2, 2), 3: (2, 2)}
    store.insert_metrics([sums((120, 5)), sums((180, 5)), sums((60, 5))])
    assert counted(store) == {0: (5, 5), 1: (0, 0), 2: (0, 0), 3: (6, 6)}


def test_an_error_counter_that_is_born_late_does_not_hide_its_first_error(store: TelemetryStore) -> None:
    """The process started long before, and so did the start time of its counters."""
    store.insert_metrics([sums((60, 1000), (120, 1010), (180, 1020), start=-7200)])
    store.insert_metrics([sums((180, 1), outcome="failed", start=-7200)])
    assert counted(store) == {1: (10, 10), 2: (10, 11)}


def test_a_counter_that_was_only_silent_was_not_born(store: TelemetryStore) -> None:
    store.insert_metrics([sums((-2400, 500), outcome="failed", start=-7200)])
    store.insert_metrics([sums((60, 10), (120, 20), start=-7200)])
    store.insert_metrics([sums((120, 600), outcome="failed", start=-7200)])
    assert counted(store) == {1: (10, 10)}


def test_no_series_is_unmeasured_and_a_missing_error_series_is_no_errors_only_beside_a_total(
    store: TelemetryStore,
) -> None:
    assert counted(store) == {}
    store.insert_metrics([sums((60, 2), (120, 3), outcome="failed")])
    assert counted(store, total=MetricSelector(name="nothing"), bad=FAILED) == {}
    assert counted(store, total=None, good=DONE, bad=FAILED) == {0: (0, 2), 1: (0, 1)}
    assert counted(store, bad=MetricSelector(name="nothing")) == {0: (2, 2), 1: (1, 1)}
    assert counted(store, bad=None, good=DONE) == {0: (0, 2), 1: (0, 1)}


def test_gaps_levels_other_services_and_other_environments_are_not_counted(store: TelemetryStore) -> None:
    store.insert_metrics(
        [
            sums((60, 5), (60 + 901, 50)),
            sums((60, 7), monotonic=False),
            sums((60, 7), service="shop"),
            sums((60, 7), resource={"deployment.environment.name": "staging"}),
            sums((120, 0), stale=True),
        ]
    )
    assert counted(store, minutes=20) == {0: (5, 5)}
    assert counted(store, environment="staging") == {0: (7, 7)}


def test_deltas_count_themselves_and_without_a_start_time_the_first_value_says_nothing(store: TelemetryStore) -> None:
    store.insert_metrics([sums((60, 3), (180, 5), delta=True), sums((60, 4), (120, 6), start=None, outcome="503")])
    assert counted(store) == {0: (3, 3), 1: (2, 4), 2: (3, 3)}


def test_two_writers_of_one_stream_do_not_disturb_each_other(store: TelemetryStore) -> None:
    store.insert_metrics([sums((60, 100), (120, 110), start=0), sums((90, 5), (150, 9), start=30)])
    assert sum(total for _, total in counted(store).values()) == 119


Point = tuple[str, int, bool, int, int, int]
"""(outcome, which life, delta, start, at, value), in seconds."""


@st.composite
def histories(draw: st.DrawFn) -> list[Point]:
    """Streams with restarts, gaps, values that fall, points that are missing, and deltas."""
    points: list[Point] = []
    for outcome in draw(st.sampled_from([("done",), ("done", "failed"), ("failed", "503", "done")])):
        delta = draw(st.booleans())
        at = draw(st.integers(-300, 200))
        start, value, life = at - draw(st.sampled_from([0, 20, 400, 5000])), 0, 0
        for _ in range(draw(st.integers(1, 8))):
            before, at = at, at + draw(st.sampled_from([7, 30, 60, 61, 150, 899, 950]))
            what = draw(st.sampled_from(["more", "more", "more", "restart", "fall", "lost"]))
            if what == "restart":
                start, value, life = draw(st.integers(before, at - 1)), 0, life + 1
            value = draw(st.integers(0, 3)) if what == "fall" else value + draw(st.integers(0, 1000))
            if what != "lost":
                points.append((outcome, life, delta, before if delta else start, at, value))
    return points


def slow(points: Sequence[Point]) -> dict[int, tuple[int, int]]:
    """One point after the other, second by second in whole numbers; (good, total) by minute in the first 20."""
    events: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    exports = sorted({at for *_, at, _ in points})
    in_window = [point for point in points if -900 <= point[4] < 1200 + 900]
    earlier = {(point[0], point[3]) for point in points if point[4] < -900 and not point[2]}
    last: dict[tuple[str, int], tuple[int, int]] = {}
    for outcome, _life, delta, start, at, value in sorted(set(in_window), key=lambda point: point[4]):
        before = last.get((outcome, start))
        if delta:
            since, added = start, value
        elif before is not None:
            since, added = before[0], value - before[1] if value >= before[1] else value
        else:
            known = [moment for moment in exports if -900 <= moment < at]
            since, added = max([start, *known[-1:]]), value
            if (outcome, start) in earlier or start >= at:
                since = at
        last[outcome, start] = at, value
        if not 0 < at - since <= 900:
            continue
        told = 0
        for second in range(since, at):
            upto = added * (second + 1 - since) // (at - since)
            if second + 1 == at or (second + 1) % 60 == 0:
                if 0 <= second < 1200:
                    events[second // 60][outcome] += upto - told
                told = upto
    return {
        minute: (sum(by.values()) - by["failed"] - by["503"], sum(by.values())) for minute, by in sorted(events.items())
    }


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.randoms(use_true_random=False))
def test_counts_equal_a_slow_exact_walk(store: TelemetryStore, points: list[Point], random: Any) -> None:
    service = uuid4().hex
    sent = [
        sums((at, value), outcome=outcome, start=start, delta=delta, service=service)
        for outcome, _life, delta, start, at, value in points + points[: len(points) // 2]
    ]
    random.shuffle(sent)
    store.insert_metrics(sent)
    assert counted(store, minutes=20, service_name=service) == slow(points)


@pytest.mark.parametrize("time_type", ["DateTime64(9)", "DateTime"])
def test_a_table_that_a_collector_made_and_filled_is_read(store: TelemetryStore, time_type: str) -> None:
    """The exporter's own columns (times became DateTime in 2026), rows as it inserts them, and more than we need."""
    store.engine.command("DROP TABLE otel_metrics_sum")
    store.engine.command(f"""
CREATE TABLE otel_metrics_sum (
    ResourceAttributes Map(LowCardinality(String), String), ResourceSchemaUrl String, ScopeName String,
    ScopeVersion String, ScopeAttributes Map(LowCardinality(String), String), ScopeDroppedAttrCount UInt32,
    ScopeSchemaUrl String, ServiceName LowCardinality(String), MetricName String, MetricDescription String,
    MetricUnit String, Attributes Map(LowCardinality(String), String), StartTimeUnix {time_type}, TimeUnix {time_type},
    Value Float64, Flags UInt32,
    Exemplars Nested (FilteredAttributes Map(LowCardinality(String), String), TimeUnix {time_type}, Value Float64,
        SpanId String, TraceId String),
    AggregationTemporality Int32, IsMonotonic Boolean
) ENGINE = MergeTree PARTITION BY toDate(TimeUnix) ORDER BY (ServiceName, MetricName, Attributes, TimeUnix)""")
    base = int(MINUTE.timestamp())
    rows = ", ".join(
        f"(map('service.name', 'payments', 'host.name', 'a'), 'payments', 'orders', map({attributes}),"
        f" toDateTime({base}), toDateTime({base + at}), {value}, 0, 2, true)"
        for attributes, at, value in (
            ("'outcome', 'done', 'shop', 'x'", 60, 5),
            ("'shop', 'x', 'outcome', 'done'", 120, 8),
            ("'outcome', 'failed', 'shop', 'x'", 120, 2),
        )
    )
    store.engine.command(
        "INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix,"
        f" TimeUnix, Value, Flags, AggregationTemporality, IsMonotonic) VALUES {rows}"
    )
    assert counted(store) == {0: (5, 5), 1: (3, 5)}
