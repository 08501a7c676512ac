"""OTLP over HTTP as the protocol's specification has it, against the real receiver and a real engine."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.kernel.errors import Unavailable
from watchbill.processes.otlp import KnownKeys, Limits, OtlpReceiver

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
FIXTURE = Path(__file__).parents[4] / "shared" / "fixtures" / "slo" / "otlp-http-cases.tsv"


class Sender:
    """Sends to a receiver and waits for the answer."""

    def __init__(self, store: TelemetryStore) -> None:
        self.store = store
        self.commit = GroupCommit(store)
        self.commit.start()
        self.late = LateSpans()
        self.receiver = OtlpReceiver(self.commit, self.late)

    def limit(self, **limits: Any) -> None:
        self.receiver = OtlpReceiver(self.commit, self.late, limits=Limits(**limits))

    def post(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        return self.send("POST", path, content=body, headers=headers)

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.receiver)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://observer") as client:
                return await client.request(method, path, **given)

        return asyncio.run(go())

    def count(self, table: str = "otel_traces") -> int:
        return int(self.store.engine.rows(f"SELECT count() FROM {table}")[0][0])


@pytest.fixture
def sender(store: TelemetryStore) -> Iterator[Sender]:
    made = Sender(store)
    yield made
    made.commit.stop()


def trace_request(spans: int = 1) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "payments"
    scope = resource.scope_spans.add()
    for _ in range(spans):
        span = scope.spans.add()
        span.trace_id, span.span_id, span.name, span.kind = uuid4().bytes, uuid4().bytes[:8], "POST /charge", 2
        span.start_time_unix_nano = time.time_ns() - 2_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
    return request


def json_span(**changes: Any) -> bytes:
    span = {
        "traceId": uuid4().hex,
        "spanId": uuid4().hex[:16],
        "name": "POST /charge",
        "kind": 2,
        "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns()),
        **changes,
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "payments"}}]}
    return json.dumps({"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span]}]}]}).encode()


def a_valid_body_of_each_signal_is_taken_in_both_encodings(sender: Sender) -> None:
    for path in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        for headers, body, answer in ((PROTOBUF, b"", b""), (JSON, b"{}", b"{}")):
            response = sender.post(path, body, headers)
            assert (response.status_code, response.content) == (200, answer)
            assert response.headers["content-type"] == headers["content-type"]
    response = sender.post("/v1/traces", trace_request(3).SerializeToString(), PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(response.content).HasField("partial_success")
    assert (response.status_code, sender.count()) == (200, 3)


def an_empty_request_is_fine(sender: Sender) -> None:
    for body, headers in ((b"", PROTOBUF), (b"", JSON), (b"{}", JSON)):
        assert sender.post("/v1/traces", body, headers).status_code == 200


def gzip_is_unpacked_and_the_limit_holds_after_it(sender: Sender) -> None:
    body = gzip.compress(trace_request(2).SerializeToString())
    half = len(body) // 2
    assert sender.post("/v1/traces", body, {**PROTOBUF, "content-encoding": "gzip"}).status_code == 200
    twice = gzip.compress(trace_request(1).SerializeToString()[:50]) + gzip.compress(b"")
    assert sender.post("/v1/traces", twice, {**PROTOBUF, "content-encoding": "gzip"}).status_code == 400
    cut = sender.post("/v1/traces", body[:half], {**PROTOBUF, "content-encoding": "gzip"})
    broken = sender.post("/v1/traces", b"not gzip", {**PROTOBUF, "content-encoding": "gzip"})
    assert (cut.status_code, broken.status_code, sender.count()) == (400, 400, 2)


def a_body_over_the_limit_is_413_plain_or_unpacked(sender: Sender) -> None:
    sender.limit(body_bytes=100_000)
    plain = sender.post("/v1/traces", b"x" * 100_001, PROTOBUF)
    bomb = gzip.compress(bytes(30_000_000))
    packed = sender.post("/v1/traces", bomb, {**JSON, "content-encoding": "gzip"})
    assert (plain.status_code, packed.status_code) == (413, 413)
    assert plain.content.startswith(b"\x08\x08\x12")  # google.rpc.Status: RESOURCE_EXHAUSTED, then a message
    assert packed.json()["code"] == 8


def undecodable_data_is_400_with_a_status(sender: Sender) -> None:
    for body, headers in (
        (b"\xff\xff", PROTOBUF),
        (b"{", JSON),
        (b"[]", JSON),
        (b"\xff\xfe", JSON),
        (json_span(name=7), JSON),
        (json_span(startTimeUnixNano="soon"), JSON),
        (json_span(attributes={}), JSON),
        (json_span(kind=2**40), JSON),
    ):
        response = sender.post("/v1/traces", body, headers)
        assert response.status_code == 400
        assert "retry-after" not in response.headers
        assert response.headers["content-type"] == headers["content-type"]


def rejected_spans_are_counted_and_the_rest_is_stored(sender: Sender) -> None:
    request = trace_request(5)
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = b"short"
    spans[1].span_id = bytes(8)
    spans[2].start_time_unix_nano = 0
    response = sender.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans, sender.count()) == (200, 3, 2)
    assert "invalid trace, span or parent id" in partial.error_message


def a_warning_comes_with_nothing_rejected(sender: Sender) -> None:
    response = sender.post("/v1/traces", b'{"resource_spans": []}', JSON)
    assert response.status_code == 200
    partial = response.json()["partialSuccess"]
    assert "resource_spans" in partial["errorMessage"]
    assert partial.get("rejectedSpans", "0") == "0"


def overload_is_503_with_retry_after_and_bounded(sender: Sender) -> None:
    sender.limit(in_flight_bytes=1_000)
    response = sender.post("/v1/traces", trace_request(50).SerializeToString(), PROTOBUF)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.content.startswith(b"\x08\x0e")  # UNAVAILABLE
    assert sender.post("/v1/traces", trace_request(1).SerializeToString(), PROTOBUF).status_code == 200


def json_ids_are_hex_of_either_case(sender: Sender) -> None:
    trace_id = uuid4().hex
    assert sender.post("/v1/traces", json_span(traceId=trace_id.upper()), JSON).status_code == 200
    assert sender.store.trace(trace_id)[0].trace_id == trace_id
    assert sender.post("/v1/traces", json_span(traceId="W47/95gDgQPSabYzgT/GDA=="), JSON).status_code == 400


def json_enums_are_integers(sender: Sender) -> None:
    assert sender.post("/v1/traces", json_span(kind=2), JSON).status_code == 200
    refused = sender.post("/v1/traces", json_span(kind="SPAN_KIND_SERVER"), JSON)
    assert refused.status_code == 400
    assert "enums are integers" in refused.json()["message"]


def json_times_are_strings_or_numbers(sender: Sender) -> None:
    assert sender.post("/v1/traces", json_span(startTimeUnixNano=time.time_ns()), JSON).status_code == 200
    assert sender.post("/v1/traces", json_span(startTimeUnixNano=str(time.time_ns())), JSON).status_code == 200
    assert sender.count() == 2


def json_unknown_fields_are_ignored(sender: Sender) -> None:
    response = sender.post("/v1/traces", json_span(mood="good", flags=257), JSON)
    assert (response.status_code, response.content) == (200, b"{}")


def json_snake_case_is_unknown(sender: Sender) -> None:
    response = sender.post("/v1/traces", json_span(parent_span_id="00f067aa0ba902b7"), JSON)
    assert "parent_span_id" in response.json()["partialSuccess"]["errorMessage"]
    assert sender.store.engine.rows("SELECT ParentSpanId FROM otel_traces") == [("",)]


def the_same_batch_twice_is_fine(sender: Sender) -> None:
    body = trace_request(4).SerializeToString()
    assert [sender.post("/v1/traces", body, PROTOBUF).status_code for _ in range(2)] == [200, 200]


def an_answer_is_small(sender: Sender) -> None:
    request = trace_request(2000)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.trace_id = b""
    response = sender.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    assert len(response.content) < 4 * 1024 * 1024


def the_port_is_4318(_sender: Sender) -> None:
    from watchbill.runtime.config import Settings

    assert Settings().otlp_port == 4318


def profiles_are_not_here(sender: Sender) -> None:
    assert sender.post("/v1development/profiles", b"", PROTOBUF).status_code == 404


CASES = {
    "POST /v1/traces|/v1/metrics|/v1/logs, application/x-protobuf or application/json, valid": (
        a_valid_body_of_each_signal_is_taken_in_both_encodings
    ),
    "empty ExportTraceServiceRequest ({} or zero bytes)": an_empty_request_is_fine,
    "Content-Encoding: gzip": gzip_is_unpacked_and_the_limit_holds_after_it,
    "body > limit (default 64 MiB recommended), plain or after gunzip": a_body_over_the_limit_is_413_plain_or_unpacked,
    "undecodable / invalid": undecodable_data_is_400_with_a_status,
    "some spans rejected": rejected_spans_are_counted_and_the_rest_is_stored,
    "warning, nothing rejected": a_warning_comes_with_nothing_rejected,
    "overload": overload_is_503_with_retry_after_and_bounded,
    "JSON traceId upper or lower hex 32 chars": json_ids_are_hex_of_either_case,
    "JSON kind: 2": json_enums_are_integers,
    "JSON startTimeUnixNano as string or number": json_times_are_strings_or_numbers,
    "JSON unknown field": json_unknown_fields_are_ignored,
    "JSON snake_case keys": json_snake_case_is_unknown,
    "same batch twice (retry after lost ack)": the_same_batch_twice_is_fine,
    "response body": an_answer_is_small,
    "port": the_port_is_4318,
    "/v1development/profiles": profiles_are_not_here,
}


@pytest.mark.parametrize("case", CASES)
def test_otlp_http(case: str, sender: Sender) -> None:
    CASES[case](sender)


def test_every_case_of_the_list_has_a_test() -> None:
    if not FIXTURE.exists():
        pytest.skip("the list of cases is not on this machine; the cases themselves ran above")
    with FIXTURE.open() as file:
        assert {row["request"] for row in csv.DictReader(file, delimiter="\t")} == set(CASES)


def test_other_methods_paths_types_and_encodings_are_refused(sender: Sender) -> None:
    get = sender.send("GET", "/v1/traces", headers=JSON)
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert sender.post("/v1/unknown", b"", PROTOBUF).status_code == 404
    assert sender.post("/v1/traces", b"", {"content-type": "text/plain"}).status_code == 415
    assert sender.post("/v1/traces", b"", {**PROTOBUF, "content-encoding": "br"}).status_code == 415


def test_a_chunked_body_is_taken(sender: Sender) -> None:
    body = trace_request(3).SerializeToString()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 50):
            yield body[at : at + 50]

    assert sender.post("/v1/traces", pieces(), PROTOBUF).status_code == 200
    assert sender.count() == 3


def test_every_kind_of_metric_and_a_log_are_stored_whole(sender: Sender) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    now = time.time_ns()
    gauge, total, histogram, exponential, summary = (scope.metrics.add() for _ in range(5))
    gauge.name, total.name, histogram.name, exponential.name, summary.name = "g", "s", "h", "e", "q"
    number = gauge.gauge.data_points.add(time_unix_nano=now, as_int=-7)
    pair = number.attributes.add()
    pair.key, pair.value.double_value = "share", 0.5
    number.exemplars.add(time_unix_nano=now, as_double=1.5, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    total.sum.is_monotonic, total.sum.aggregation_temporality = True, 2
    total.sum.data_points.add(time_unix_nano=now, as_double=2.5)
    histogram.histogram.data_points.add(
        time_unix_nano=now, count=3, sum=6.5, bucket_counts=[1, 2], explicit_bounds=[5.0], min=1.0, max=4.0
    )
    point = exponential.exponential_histogram.data_points.add(time_unix_nano=now, count=4, scale=-2, zero_count=1)
    point.positive.offset, point.negative.offset = 3, -3
    point.positive.bucket_counts.extend([1, 2])
    quantiles = summary.summary.data_points.add(time_unix_nano=now, count=5, sum=9.0)
    quantiles.quantile_values.add(quantile=0.99, value=3.0)
    assert sender.post("/v1/metrics", request.SerializeToString(), PROTOBUF).status_code == 200

    def rows(columns: str, kind: str) -> list[Any]:
        return list(sender.store.engine.rows(f"SELECT {columns} FROM otel_metrics_{kind}"))

    assert rows("Value, Attributes, Exemplars.Value, Exemplars.SpanId", "gauge") == [
        (-7.0, {"share": "0.5"}, [1.5], ["02" * 8])
    ]
    assert rows("Value, IsMonotonic, AggregationTemporality", "sum") == [(2.5, True, 2)]
    assert rows("Count, Sum, BucketCounts, ExplicitBounds, Min, Max", "histogram") == [(3, 6.5, [1, 2], [5.0], 1, 4)]
    assert rows(
        "Count, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset", "exponential_histogram"
    ) == [(4, -2, 1, 3, [1, 2], -3)]
    assert rows("Count, ValueAtQuantiles.Quantile, ValueAtQuantiles.Value", "summary") == [(5, [0.99], [3.0])]

    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=17, severity_text="ERROR")
    item = record.body.kvlist_value.values.add()
    item.key, item.value.string_value = "card", "declined"
    assert sender.post("/v1/logs", logs.SerializeToString(), PROTOBUF).status_code == 200
    assert list(sender.store.engine.rows("SELECT Body, SeverityNumber, SeverityText FROM otel_logs")) == [
        ('{"card":"declined"}', 17, "ERROR")
    ]


def test_metrics_too_old_to_keep_are_rejected(sender: Sender) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="g")
    metric.gauge.data_points.add(time_unix_nano=1, as_double=1.0)
    response = sender.post("/v1/metrics", request.SerializeToString(), PROTOBUF)
    assert ExportMetricsServiceResponse.FromString(response.content).partial_success.rejected_data_points == 1


def test_concurrent_requests_are_each_stored_before_their_answer(sender: Sender) -> None:
    async def go() -> list[int]:
        transport = httpx.ASGITransport(app=sender.receiver)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://observer") as client:
            bodies = [trace_request(10).SerializeToString() for _ in range(30)]
            answers = await asyncio.gather(
                *(client.post("/v1/traces", content=body, headers=PROTOBUF) for body in bodies)
            )
        return [answer.status_code for answer in answers]

    assert asyncio.run(go()) == [200] * 30
    assert sender.count() == 300


def test_late_spans_are_remembered_for_the_next_count(sender: Sender) -> None:
    request = trace_request(1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.start_time_unix_nano -= int(timedelta(hours=2).total_seconds()) * 1_000_000_000
    sender.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    [minute] = sender.late.take()
    assert int(minute.timestamp()) == span.start_time_unix_nano // 60_000_000_000 * 60


def test_an_engine_that_is_away_is_503_and_the_request_can_be_sent_again(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("no space left on device")

    monkeypatch.setattr(sender.store, "insert_traces", away)
    response = sender.post("/v1/traces", trace_request(1).SerializeToString(), PROTOBUF)
    assert (response.status_code, "retry-after" in response.headers) == (503, True)
    monkeypatch.undo()
    assert sender.post("/v1/traces", trace_request(1).SerializeToString(), PROTOBUF).status_code == 200


def test_beyond_loopback_a_key_is_needed_and_a_known_one_outlives_the_database(sender: Sender) -> None:
    database = {"away": False}

    def verify(key: str) -> bool:
        if database["away"]:
            raise Unavailable("PostgreSQL is away")
        return key == "right"

    sender.receiver = OtlpReceiver(sender.commit, sender.late, keys=KnownKeys(verify, fresh_seconds=0))

    def send(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return sender.post("/v1/traces", b"", {**PROTOBUF, **named}).status_code

    assert [send(), send(authorization="Bearer wrong")] == [401, 401]
    assert [send(authorization="Bearer right"), send(x_watchbill_key="right")] == [200, 200]
    database["away"] = True
    assert [send(authorization="Bearer right"), send(authorization="Bearer other")] == [200, 503]
