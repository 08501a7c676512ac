"""Counts are exact: whatever is retried, late, sampled or written by another exporter's version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchbill.features.telemetry import OperationMatch, SliceCount, TelemetryStore

MINUTE = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
SERVER, CLIENT, INTERNAL = 2, 3, 1
CHARGE = UUID(int=1)


def spans(
    number: int = 1,
    *,
    at: datetime = MINUTE,
    service: str = "payments",
    name: str = "POST /charge",
    kind: int = SERVER,
    parent: bytes = b"\x09" * 8,
    attributes: Mapping[str, str | int] | None = None,
    resource: Mapping[str, str] | None = None,
    status: int = 0,
    milliseconds: int = 10,
    trace_state: str = "",
) -> bytes:
    request = ExportTraceServiceRequest()
    of = request.resource_spans.add()
    for key, value in {"service.name": service, **(resource or {})}.items():
        pair = of.resource.attributes.add()
        pair.key, pair.value.string_value = key, value
    scope = of.scope_spans.add()
    for _ in range(number):
        span = scope.spans.add()
        span.trace_id, span.span_id, span.parent_span_id = uuid4().bytes, uuid4().bytes[:8], parent
        span.name, span.kind, span.trace_state = name, kind, trace_state
        span.start_time_unix_nano = int(at.timestamp()) * 1_000_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + milliseconds * 1_000_000
        span.status.code = status
        for key, value in (attributes or {}).items():
            pair = span.attributes.add()
            pair.key = key
            if isinstance(value, bool):
                pair.value.bool_value = value
            elif isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value
    return request.SerializeToString()


def operation(**changes: object) -> OperationMatch:
    given: dict[str, object] = {"operation_id": CHARGE, "objective": "availability", "service_name": "payments"}
    return OperationMatch(**{**given, **changes})  # type: ignore[arg-type]


def derive(store: TelemetryStore, *operations: OperationMatch, minutes: int = 1) -> list[SliceCount]:
    return store.derive_counts(
        operations or [operation()], start=MINUTE, end=MINUTE + timedelta(minutes=minutes), slice_seconds=60
    )


def good_of_total(counts: list[SliceCount]) -> list[tuple[float, float]]:
    return [(count.good, count.total) for count in counts]


def test_a_retried_batch_counts_once(store: TelemetryStore) -> None:
    batch = spans(5)
    store.insert_traces([batch])
    store.insert_traces([batch, spans(1)])
    store.insert_traces([spans(2), batch])
    assert good_of_total(derive(store)) == [(8, 8)]


def test_a_second_pass_changes_nothing_and_late_spans_correct_the_past(store: TelemetryStore) -> None:
    store.insert_traces([spans(3)])
    assert derive(store) == derive(store)
    store.insert_traces([spans(2, status=2)])
    assert good_of_total(derive(store)) == [(3, 5)]


def test_a_changed_match_takes_back_what_it_no_longer_counts(store: TelemetryStore) -> None:
    store.insert_traces([spans(3)])
    derive(store)
    assert derive(store, operation(span_name="GET /elsewhere")) == []


@pytest.mark.parametrize(
    ("attributes", "kind", "status", "good"),
    [
        ({"http.response.status_code": 200}, SERVER, 0, 1),
        ({"http.response.status_code": 404}, SERVER, 2, 1),
        ({"http.status_code": 429}, SERVER, 0, 1),
        ({"http.response.status_code": 500}, SERVER, 0, 0),
        ({"http.status_code": 503}, SERVER, 0, 0),
        ({"error.type": "TimeoutError"}, SERVER, 0, 0),
        ({}, SERVER, 2, 0),
        ({}, SERVER, 1, 1),
        ({"rpc.grpc.status_code": 5}, SERVER, 0, 1),
        ({"rpc.grpc.status_code": 13}, SERVER, 0, 0),
        ({"rpc.response.status_code": "NOT_FOUND", "error.type": "NOT_FOUND"}, SERVER, 0, 1),
        ({"rpc.response.status_code": "UNAVAILABLE"}, SERVER, 0, 0),
    ],
)
def test_a_span_is_bad_when_the_server_failed(
    store: TelemetryStore, attributes: dict[str, str | int], kind: int, status: int, good: int
) -> None:
    """slo.server_errors"""
    store.insert_traces([spans(attributes=attributes, kind=kind, status=status)])
    assert good_of_total(derive(store)) == [(good, 1)]


@pytest.mark.parametrize(("degraded", "counted"), [("good", (5, 6)), ("bad", (3, 6)), ("apart", (3, 4))])
def test_an_answer_without_a_dependency_counts_as_the_objective_says(
    store: TelemetryStore, degraded: str, counted: tuple[int, int]
) -> None:
    """slo.degraded"""
    store.insert_traces([spans(3), spans(2, attributes={"reliability.degraded": True}), spans(1, status=2)])
    assert good_of_total(derive(store, operation(degraded=degraded))) == [counted]
    slow = operation(objective="latency", latency_threshold_ns=5_000_000, degraded=degraded)
    assert good_of_total(derive(store, slow)) == [(0, counted[1])]


def test_a_table_of_an_earlier_version_learns_of_degraded_answers(store: TelemetryStore) -> None:
    store.engine.command("ALTER TABLE watchbill_sli_match DROP COLUMN degraded")
    store.ensure_schema(30)
    store.insert_traces([spans(2, attributes={"reliability.degraded": True})])
    assert good_of_total(derive(store, operation(degraded="bad"))) == [(0, 2)]


def test_only_root_and_server_spans_are_events(store: TelemetryStore) -> None:
    store.insert_traces([spans(1), spans(2, kind=CLIENT), spans(4, kind=INTERNAL), spans(8, kind=INTERNAL, parent=b"")])
    assert good_of_total(derive(store)) == [(9, 9)]


def test_a_route_matches_by_method_and_template_then_path_then_name(store: TelemetryStore) -> None:
    store.insert_traces(
        [
            spans(1, name="x", attributes={"http.request.method": "POST", "http.route": "/charge"}),
            spans(2, name="x", attributes={"http.method": "POST", "http.target": "/charge?card=1"}),
            spans(4, name="x", attributes={"http.request.method": "POST", "url.path": "/charge"}),
            spans(8, name="POST /charge"),
            spans(16, name="x", attributes={"http.request.method": "GET", "http.route": "/charge"}),
            spans(32, name="POST /charge", attributes={"http.request.method": "POST", "http.route": "/refund"}),
        ]
    )
    assert good_of_total(derive(store, operation(route="POST /charge"))) == [(15, 15)]
    assert good_of_total(derive(store, operation(route="/charge"))) == [(23, 23)]


def test_attributes_and_environment_narrow_an_operation(store: TelemetryStore) -> None:
    staging = {"deployment.environment.name": "staging"}
    store.insert_traces(
        [
            spans(1, attributes={"plan": "gold"}),
            spans(2, attributes={"plan": "free"}),
            spans(4, attributes={"plan": "gold"}, resource=staging),
            spans(8, resource={"plan": "gold", "deployment.environment": "production"}),
        ]
    )
    assert good_of_total(derive(store, operation(attributes={"plan": "gold"}))) == [(9, 9)]
    assert good_of_total(derive(store, operation(environment="staging"))) == [(4, 4)]


def test_a_latency_objective_counts_slow_and_failed_as_bad(store: TelemetryStore) -> None:
    store.insert_traces([spans(5, milliseconds=300), spans(3, milliseconds=301), spans(2, milliseconds=10, status=2)])
    latency = operation(objective="latency", latency_threshold_ns=300_000_000)
    found = {count.objective: (count.good, count.total) for count in derive(store, operation(), latency)}
    assert found == {"availability": (8, 10), "latency": (5, 10)}


@pytest.mark.parametrize(
    ("trace_state", "attributes", "weight"),
    [
        ("ot=th:0", {}, 1),
        ("ot=th:8", {}, 2),
        ("ot=th:c", {}, 4),
        ("vendor=x,ot=rv:abcdef01234567;th:e", {}, 8),
        ("ot=p:4", {}, 16),
        ("", {"SampleRate": 20}, 20),
        ("", {"sampling.probability": "0.25"}, 4),
        ("", {"sampler.type": "probabilistic", "sampler.param": "0.1"}, 10),
    ],
)
def test_a_sampled_span_stands_for_those_that_were_dropped(
    store: TelemetryStore, trace_state: str, attributes: dict[str, str | int], weight: float
) -> None:
    """slo.sampling"""
    store.insert_traces([spans(3, trace_state=trace_state, attributes=attributes), spans(1, status=2)])
    assert good_of_total(derive(store)) == [(3 * weight, 3 * weight + 1)]


@pytest.mark.parametrize(
    ("trace_state", "attributes"),
    [
        ("ot=th:xyz", {}),
        ("", {"SampleRate": "often"}),
        ("", {"sampler.type": "ratelimiting", "sampler.param": "2"}),
        ("", {"tailsampling.policy": "errors-first"}),
    ],
)
def test_sampling_with_an_unknown_probability_is_unmeasured_and_says_so(
    store: TelemetryStore, trace_state: str, attributes: dict[str, str | int]
) -> None:
    """slo.sampling"""
    store.insert_traces([spans(3, trace_state=trace_state, attributes=attributes), spans(1)])
    [count] = derive(store)
    assert (count.measured, count.reason) == (False, "sampling_unknown")


def test_no_traffic_while_others_report_differs_from_nothing_reported(store: TelemetryStore) -> None:
    store.insert_traces([spans(1, service="storefront", at=MINUTE)])
    derive(store, minutes=2)
    first, second = store.counts(
        operation_id=CHARGE,
        objective="availability",
        start=MINUTE,
        end=MINUTE + timedelta(minutes=2),
        slice_seconds=60,
    )
    assert (first.total, first.measured, first.reason) == (0, True, None)
    assert (second.total, second.measured, second.reason) == (0, False, "nothing_reported")


def test_windows_are_summed_from_counts(store: TelemetryStore) -> None:
    store.insert_traces([spans(4), spans(6, at=MINUTE + timedelta(minutes=3), status=2)])
    derive(store, minutes=4)
    windows = store.window_counts(
        [(CHARGE, "availability")],
        end=MINUTE + timedelta(minutes=4),
        windows=[timedelta(minutes=1), timedelta(minutes=4)],
        slice_seconds=60,
    )[(CHARGE, "availability")]
    assert [(w.good, w.total, w.slices, w.measured_slices) for w in windows] == [(0, 6, 1, 1), (4, 10, 4, 2)]


def test_slices_have_the_length_they_are_asked_for(store: TelemetryStore) -> None:
    store.insert_traces([spans(1, at=MINUTE), spans(2, at=MINUTE + timedelta(seconds=7))])
    counts = store.derive_counts([operation()], start=MINUTE, end=MINUTE + timedelta(seconds=10), slice_seconds=5)
    assert sorted((count.slice_at, count.total) for count in counts) == [
        (MINUTE, 1),
        (MINUTE + timedelta(seconds=5), 2),
    ]


def test_a_table_of_an_older_collector_is_read_and_written_unchanged(telemetry_folder: object) -> None:
    store = TelemetryStore(f"chdb://{telemetry_folder}?database=older_{uuid4().hex[:8]}")
    store.engine.command(
        """CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String,
        TraceState String, SpanName LowCardinality(String), SpanKind LowCardinality(String),
        ServiceName LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String),
        SpanAttributes Map(LowCardinality(String), String), Duration Int64, StatusCode LowCardinality(String),
        StatusMessage String) ENGINE = MergeTree ORDER BY (ServiceName, SpanName, toUnixTimestamp(Timestamp))"""
    )
    before = store.engine.rows("SHOW CREATE TABLE otel_traces")
    store.ensure_schema(30)
    at = int(MINUTE.timestamp())
    store.engine.command(
        f"""INSERT INTO otel_traces SELECT toDateTime64({at}, 9), lower(hex(MD5(toString(number)))),
        lower(hex(number)), 'aa', '', 'POST /charge', 'SPAN_KIND_SERVER', 'payments', map(), map(), 5,
        if(number < 3, 'STATUS_CODE_ERROR', 'STATUS_CODE_UNSET'), '' FROM numbers(10)"""
    )
    store.insert_traces([spans(1)])
    assert good_of_total(derive(store)) == [(8, 11)]
    assert store.engine.rows("SHOW CREATE TABLE otel_traces") == before
    store.close()


def test_ten_thousand_operations_are_one_pass(store: TelemetryStore) -> None:
    store.insert_traces([spans(2, service=f"service-{number}") for number in range(50)])
    operations = [
        operation(operation_id=UUID(int=number + 1), service_name=f"service-{number}") for number in range(10_000)
    ]
    counts = derive(store, *operations)
    assert sorted(count.operation_id for count in counts) == [UUID(int=number + 1) for number in range(50)]


def test_traces_can_be_looked_up_and_traffic_is_seen(store: TelemetryStore) -> None:
    batch = spans(3, attributes={"plan": "gold"})
    store.insert_traces([batch, batch])
    [traffic] = store.recent_traffic(since=MINUTE - timedelta(minutes=1))
    assert (traffic.service_name, traffic.spans, traffic.errors) == ("payments", 3, 0)
    latest = store.latest_spans(service_name="payments", since=MINUTE - timedelta(minutes=1))
    assert len(latest) == 3
    [span] = store.trace(latest[0].trace_id.upper())
    assert (span.attributes, span.kind, span.started_at) == ({"plan": "gold"}, "Server", MINUTE)
    assert store.trace("0" * 32) == []


def test_late_spans_correct_minutes_long_past(store: TelemetryStore) -> None:
    past = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=5)
    assert store.derive_late([past], slice_seconds=60) == 0
    store.derive_counts([operation()], start=past, end=past + timedelta(minutes=1), slice_seconds=60)
    store.insert_traces([spans(3, at=past)])
    assert store.derive_late([past], slice_seconds=60) == 1
    [count] = store.counts(
        operation_id=CHARGE,
        objective="availability",
        start=past,
        end=past + timedelta(minutes=1),
        slice_seconds=60,
    )
    assert count.total == 3
