"""The shop is real: separate processes, HTTP between them, and OTLP to whoever listens."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

pytest.importorskip("opentelemetry.sdk", reason="the examples group is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]


class OtlpSink:
    """A real OTLP/HTTP receiver that keeps (resource attributes, span) pairs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[tuple[dict[str, str], Span]] = []
        self._evidence: set[tuple[str, str, str]] = set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/metrics":
                    sink._keep_evidence(ExportMetricsServiceRequest.FromString(body))
                else:
                    sink._keep(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """The tests look at the spans."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def _keep(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            for resource_spans in request.resource_spans:
                resource = {each.key: each.value.string_value for each in resource_spans.resource.attributes}
                for scope_spans in resource_spans.scope_spans:
                    self._spans.extend((resource, span) for span in scope_spans.spans)

    def _keep_evidence(self, request: ExportMetricsServiceRequest) -> None:
        with self._lock:
            for of in request.resource_metrics:
                [service] = [each.value.string_value for each in of.resource.attributes if each.key == "service.name"]
                for metric in (metric for scope in of.scope_metrics for metric in scope.metrics):
                    for point in metric.gauge.data_points if metric.name == "reliability.evidence" else ():
                        named = {each.key: each.value.string_value for each in point.attributes}
                        used = point.as_double or point.as_int
                        if used:
                            dependency, primitive = named["reliability.dependency"], named["reliability.primitive"]
                            self._evidence.add((service, dependency, primitive))

    def evidence(self) -> set[tuple[str, str, str]]:
        """(service, dependency, primitive) of protections that have been at work."""
        with self._lock:
            return set(self._evidence)

    def spans(self) -> list[tuple[dict[str, str], Span]]:
        with self._lock:
            return list(self._spans)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Shop:
    """The four services on free ports."""

    def __init__(self, otlp_url: str) -> None:
        self._environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.ports = {name: free_port() for name in ("storefront", "checkout", "payments", "inventory")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str, *extra: str) -> subprocess.Popen[bytes]:
        neighbours = {"storefront": ("inventory", "checkout"), "checkout": ("inventory", "payments")}
        arguments = [f"--port={self.ports[name]}", *extra]
        arguments += [f"--{neighbour}-url={self.url(neighbour)}" for neighbour in neighbours.get(name, ())]
        process = subprocess.Popen(
            [sys.executable, "-m", f"examples.shop.{name}", *arguments],
            env=self._environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert b"listens" in process.stdout.readline(), f"{name} did not start"
        self.processes[name] = process
        return process

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=10)
            assert process.stdout is not None
            process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(method: str, url: str, body: object = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def eventually(what: Any, *, within_seconds: float = 10) -> Any:
    end = time.monotonic() + within_seconds
    while True:
        found = what()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def attributes(span: Span) -> dict[str, Any]:
    return {
        each.key: each.value.string_value if each.value.HasField("string_value") else each.value.int_value
        for each in span.attributes
    }


def degraded(sink: OtlpSink) -> list[tuple[str, Span]]:
    return [
        (resource["service.name"], span)
        for resource, span in sink.spans()
        if span.kind == Span.SPAN_KIND_SERVER
        and any(each.key == "reliability.degraded" and each.value.bool_value for each in span.attributes)
    ]


@pytest.fixture(scope="module")
def sink() -> Iterator[OtlpSink]:
    sink = OtlpSink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def shop(sink: OtlpSink) -> Iterator[Shop]:
    shop = Shop(sink.url)
    try:
        for name in ("inventory", "payments", "checkout", "storefront"):
            shop.start(name)
        yield shop
    finally:
        shop.stop()


def server_spans_of_trace(sink: OtlpSink, trace_id: bytes) -> dict[str, Span]:
    return {
        resource["service.name"]: span
        for resource, span in sink.spans()
        if span.trace_id == trace_id and span.kind == Span.SPAN_KIND_SERVER
    }


def test_an_order_goes_through_all_four_services_in_one_trace(shop: Shop, sink: OtlpSink) -> None:
    before = {span.trace_id for _, span in sink.spans()}
    status, body = ask("POST", shop.url("storefront") + "/orders", {"item": "bell"})
    assert (status, body["payment"]) == (201, "charged")

    def whole_trace() -> dict[str, Span] | None:
        for resource, span in sink.spans():
            if span.trace_id in before:
                continue
            if resource["service.name"] == "storefront" and span.name == "POST /orders":
                found = server_spans_of_trace(sink, span.trace_id)
                if len(found) == 4:
                    return found
        return None

    spans = eventually(whole_trace)
    assert spans is not None, "one trace should have a SERVER span of each service"
    assert attributes(spans["payments"])["http.route"] == "/charge"
    assert attributes(spans["payments"])["http.request.method"] == "POST"
    assert attributes(spans["payments"])["http.response.status_code"] == 201
    resource = next(resource for resource, span in sink.spans() if span is spans["payments"])
    assert resource["service.version"] == "v1"


def test_each_call_is_guarded_and_the_shop_shows_it(shop: Shop, sink: OtlpSink) -> None:
    assert ask("POST", shop.url("storefront") + "/orders", {"item": "rope"})[0] == 201
    wanted = {
        (service, dependency, primitive)
        for service, dependency in (("storefront", "checkout"), ("checkout", "payments"), ("checkout", "inventory"))
        for primitive in ("timeout", "breaker")
    } | {("payments", "payments", "limiter")}
    eventually(lambda: wanted <= sink.evidence())
    assert wanted <= sink.evidence()


def test_a_product_that_nobody_sells_is_the_visitors_mistake_not_an_error(shop: Shop, sink: OtlpSink) -> None:
    status, _ = ask("GET", shop.url("storefront") + "/products/submarine")
    assert status == 404

    def span() -> Span | None:
        for resource, span in sink.spans():
            if resource["service.name"] == "storefront" and span.name == "GET /products/{item}":
                return span
        return None

    found = eventually(span)
    assert found is not None
    assert found.status.code == Status.STATUS_CODE_UNSET


@pytest.mark.parametrize("body", [{"item": 7}, {}, {"item": None}, {"item": {"a": 1}}])
def test_nonsense_orders_are_refused_without_a_500(shop: Shop, body: object) -> None:
    status, _ = ask("POST", shop.url("storefront") + "/orders", body)
    assert status == 404


def test_a_body_that_is_not_an_object_is_a_400(shop: Shop) -> None:
    status, body = ask("POST", shop.url("payments") + "/charge", [1, 2])
    assert (status, body["error"]) == (400, "the body must be a JSON object")


def test_releasing_v2_refuses_nobody_and_breaks_two_charges_of_five(shop: Shop, sink: OtlpSink) -> None:
    old = shop.processes["payments"]
    new = shop.start("payments", "--version=v2")
    old.terminate()
    old.communicate(timeout=10)
    assert old.returncode == 0
    version = ask("GET", shop.url("payments") + "/healthz")[1]["version"]
    assert version == "v2"
    answers = [ask("POST", shop.url("payments") + "/charge", {"cents": 100})[0] for _ in range(30)]
    assert set(answers) == {201, 500}
    assert 3 <= answers.count(500) <= 25, "two of five, give or take chance"
    orders = [ask("POST", shop.url("storefront") + "/orders", {"item": "rope"})[0] for _ in range(8)]
    assert set(orders) <= {201, 202}, "the shop takes the order and charges later"
    marked = eventually(lambda: {name for name, span in degraded(sink)} if 202 in orders else {"storefront"})
    assert "storefront" in marked, "what checkout did without is marked up to the visitor's request"
    new.terminate()
    new.communicate(timeout=10)
    assert new.returncode == 0

    def failed() -> list[Span]:
        return [
            span
            for resource, span in sink.spans()
            if resource.get("service.version") == "v2" and span.kind == Span.SPAN_KIND_SERVER
            if attributes(span).get("http.response.status_code") == 500
        ]

    assert len(eventually(failed)) >= answers.count(500), "the last spans are sent before the process ends"
    assert all(span.status.code == Status.STATUS_CODE_ERROR for span in failed())
    shop.start("payments")


def test_the_load_keeps_its_rate_and_says_what_the_visitors_met(shop: Shop) -> None:
    load = subprocess.Popen(
        [sys.executable, "-m", "examples.shop.load", f"--shop-url={shop.url('storefront')}", "--rate=30"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    try:
        assert load.stdout is not None
        reports = [json.loads(load.stdout.readline()) for _ in range(4)]
    finally:
        load.terminate()
        load.communicate(timeout=10)
    assert reports[-1]["orders"] > 0
    assert reports[-1]["failed"] == 0
    assert reports[-1]["sent"] <= 3 * 30 + 3
