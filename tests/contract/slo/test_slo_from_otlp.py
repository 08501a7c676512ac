"""Metrics of the OpenTelemetry SDK, over HTTP and gRPC through the real receivers, to the state of an SLO."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import uvicorn
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from tests.contract.slo.test_given_counts import SHOP
from watchbill.features import slo
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.slo.metrics import MetricCounter
from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.otlp import Limits, OtlpReceiver
from watchbill.processes.otlp_grpc import GrpcReceiver
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

OBJECTIVES = """        - {name: settled, target: 99.9, metric: {total: {name: orders},
            bad: {name: orders, where: {outcome: [failed]}}}}
        - {name: availability, target: 99.9}
        - {name: latency, target: 99, threshold: 250ms}
"""
ROUTE = {"http.request.method": "POST", "http.route": "/charge"}


class OverGrpc(MetricExporter):
    """What the SDK's gRPC exporter does: the same protobuf, sent by the service's stub."""

    def __init__(self, port: int, temporality: dict[type, AggregationTemporality]) -> None:
        super().__init__(preferred_temporality=temporality)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        MetricsServiceStub(self._channel).Export(encode_metrics(metrics_data), timeout=timeout_millis / 1000)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self._channel.close()


@pytest.fixture
def ports(store: TelemetryStore) -> Iterator[dict[str, int]]:
    """Both receivers over one writer, on real sockets."""
    commit, late = GroupCommit(store), LateSpans()
    commit.start()
    config = uvicorn.Config(OtlpReceiver(commit, late), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    over_grpc = GrpcReceiver(commit, late, address="127.0.0.1:0", limits=Limits(), keys=None, now_ns=store._now_ns)
    over_grpc.start()
    while not server.started and thread.is_alive():
        thread.join(0.005)
    yield {"http": server.servers[0].sockets[0].getsockname()[1], "grpc": over_grpc.port}
    server.should_exit = True
    over_grpc.stop()
    thread.join(15)
    commit.stop()


def sdk(protocol: str, port: int, *, delta: bool, exponential: bool) -> MeterProvider:
    """A process of payments: another one is another life of its counters."""
    kind = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    temporality = dict.fromkeys((Counter, Histogram), kind)
    exporter: MetricExporter = (
        OverGrpc(port, temporality)  # type: ignore[arg-type]  # a dict of types
        if protocol == "grpc"
        else OTLPMetricExporter(
            f"http://127.0.0.1:{port}/v1/metrics",
            preferred_temporality=temporality,  # type: ignore[arg-type]  # as above
        )
    )
    views = [View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())]
    return MeterProvider(
        metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)],
        resource=Resource.create({"service.name": "payments", "deployment.environment.name": "production"}),
        views=views if exponential else [],
        shutdown_on_exit=False,
    )


def serve(process: MeterProvider, *, fine: int, failed: int, slow: int) -> None:
    """Requests as the semantic conventions count them, and orders as the service itself does; then an export."""
    meter = process.get_meter("shop")
    bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]  # the semantic conventions'
    duration = meter.create_histogram(
        "http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=bounds
    )
    orders = meter.create_counter("orders")
    for count, code, seconds in ((fine, 200, 0.02), (failed, 503, 0.02), (slow, 200, 3.0)):
        for _ in range(count):
            duration.record(seconds, {**ROUTE, "http.response.status_code": code})
    orders.add(fine + slow, {"outcome": "done"})
    if failed:
        orders.add(failed, {"outcome": "failed"})
    assert process.force_flush()


@pytest.mark.parametrize(
    ("protocol", "delta", "exponential"),
    [("http", False, False), ("grpc", True, True)],
)
def test_counters_and_histograms_of_the_sdk_become_exact_budgets_over_a_restart(
    store: TelemetryStore,
    ports: dict[str, int],
    database_url: str,
    db: Database,
    protocol: str,
    *,
    delta: bool,
    exponential: bool,
) -> None:
    text = SHOP.replace("    - name: charge card\n", "    - name: charge card\n      match: {route: POST /charge}\n")
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=text + OBJECTIVES)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        slos = {view.slo.name: view.slo.id for view in slo.slos(tx)}
    for lives in ([(40, 0, 5), (30, 20, 5)], [(10, 10, 0), (5, 0, 5)]):  # then it is restarted: all begins at 0 again
        process = sdk(protocol, ports[protocol], delta=delta, exponential=exponential)
        for fine, failed, slow in lives:
            serve(process, fine=fine, failed=failed, slow=slow)
        process.shutdown()
    clock = VirtualClock(datetime.now(UTC))
    now = Database(database_url, clock=clock)
    MetricCounter(db=now, source=store, slice_seconds=60, back=timedelta(hours=1)).step()
    Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test").evaluate_once()
    with now.transaction() as tx:
        found = {name: slo.states(tx)[one] for name, one in slos.items()}
    now.dispose()
    assert {name: (one.bad, one.total) for name, one in found.items()} == {
        "settled": (30, 130),
        "availability": (30, 130),
        "latency": (45, 130),
    }
    assert {(one.state, one.tier) for one in found.values()} == {("firing", "page")}
