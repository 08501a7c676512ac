"""OTLP over gRPC with a real client, against the real receiver and a real engine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.contract.otlp.test_otlp_http import Sender, sender, trace_request
from watchbill.kernel.errors import SetupError, Unavailable
from watchbill.processes.otlp import KnownKeys, Limits
from watchbill.processes.otlp_grpc import MESSAGE_BYTES, GrpcReceiver
from watchbill.runtime.config import Settings

__all__ = ["sender"]


def receiver(sender: Sender, *, address: str = "127.0.0.1:0", keys: KnownKeys | None = None) -> GrpcReceiver:
    made = GrpcReceiver(sender.commit, sender.late, address=address, limits=Limits(), keys=keys, now_ns=time.time_ns)
    made.start()
    return made


@pytest.fixture
def listening(sender: Sender) -> Iterator[tuple[Sender, GrpcReceiver, grpc.Channel]]:
    made = receiver(sender)
    with grpc.insecure_channel(f"127.0.0.1:{made.port}", compression=grpc.Compression.Gzip) as channel:
        yield sender, made, channel
    made.stop()


def test_every_signal_is_taken_and_an_answer_comes_after_the_rows_are_there(
    listening: tuple[Sender, GrpcReceiver, grpc.Channel],
) -> None:
    sender, made, channel = listening
    reply = TraceServiceStub(channel).Export(trace_request(3), timeout=20)
    assert (reply.HasField("partial_success"), sender.count()) == (False, 3)
    assert not MetricsServiceStub(channel).Export(ExportMetricsServiceRequest(), timeout=20).HasField("partial_success")
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value, record.time_unix_nano = "hello", time.time_ns()
    LogsServiceStub(channel).Export(logs, timeout=20)
    assert sender.count("otel_logs") == 1
    odd = trace_request(2)
    odd.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    partial = TraceServiceStub(channel).Export(odd, timeout=20).partial_success
    assert (partial.rejected_spans, "invalid trace" in partial.error_message) == (1, True)
    with pytest.raises(SetupError, match="cannot listen"):
        receiver(sender, address=f"127.0.0.1:{made.port}")


def test_what_is_no_request_or_too_large_or_unknown_is_refused_for_good(
    listening: tuple[Sender, GrpcReceiver, grpc.Channel],
) -> None:
    _, _, channel = listening
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    send = channel.unary_unary(method)
    refused = {
        b"\xff\xff": grpc.StatusCode.INVALID_ARGUMENT,
        bytes(MESSAGE_BYTES + 1): grpc.StatusCode.RESOURCE_EXHAUSTED,  # a bomb: 16 KB on the wire
    }
    for body, code in refused.items():
        with pytest.raises(grpc.RpcError) as failed:
            send(body, timeout=20)
        assert failed.value.code() is code  # type: ignore[attr-defined]  # a call too
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Import")(b"", timeout=20)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_off_loopback_a_key_is_asked_for_and_trouble_is_sent_again(sender: Sender) -> None:
    def verify(key: str) -> bool:
        if key == "away":
            raise Unavailable("the database is away")
        return key == "good"

    made = receiver(sender, keys=KnownKeys(verify))
    with grpc.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        export = TraceServiceStub(channel).Export
        for header, code in (
            (None, grpc.StatusCode.UNAUTHENTICATED),
            ("Bearer bad", grpc.StatusCode.UNAUTHENTICATED),
            ("Bearer away", grpc.StatusCode.UNAVAILABLE),
        ):
            with pytest.raises(grpc.RpcError) as failed:
                export(trace_request(), metadata=[("authorization", header)] if header else None, timeout=20)
            assert failed.value.code() is code  # type: ignore[attr-defined]
        export(trace_request(), metadata=[("authorization", "Bearer good")], timeout=20)
        sender.commit.stop()
        with pytest.raises(grpc.RpcError) as failed:
            export(trace_request(), metadata=[("x-watchbill-key", "good")], timeout=20)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    made.stop()
    assert sender.count() == 1


def test_the_port_is_the_usual_one_beside_the_usual_one_of_http() -> None:
    assert Settings().grpc_port == 4317
    assert Settings(otlp_port=5000).grpc_port is None
    assert Settings(otlp_port=5000, otlp_grpc_port=5001).grpc_port == 5001
    assert Settings(otlp_grpc_port=0).grpc_port is None
