"""Spans per second through the whole receiver: HTTP, checks, ClickHouse, durable rows with every attribute.

Requests of 1,000 spans with 10 attributes each (6 on the resource), about 350 kB of protobuf. The receiver runs in a
process of its own, the senders (raw sockets: an HTTP client library would be the bottleneck) in another.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.results import Result

SECONDS = 12.0
SENDERS = 12
SPANS = 1000
_RESOURCE = {
    "service.version": "1.2.3",
    "host.name": "node-1",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
}


def request_body(seed: int, spans: int = SPANS) -> bytes:
    """One Export request of that many distinct spans."""
    pick = random.Random(seed)
    request = ExportTraceServiceRequest()
    now = time.time_ns()
    resource = request.resource_spans.add()
    for key, value in {"service.name": f"service-{seed % 5}", **_RESOURCE}.items():
        attribute = resource.resource.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.asgi", "0.66"
    for number in range(spans):
        span = scope.spans.add()
        span.trace_id, span.span_id = pick.randbytes(16), pick.randbytes(8)
        if number % 3:
            span.parent_span_id = pick.randbytes(8)
        span.name = f"GET /resource/{number % 20}"
        span.kind = 2 + number % 2
        span.start_time_unix_nano = now - number * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + pick.randrange(1_000_000, 400_000_000)
        texts = {
            "http.request.method": "GET",
            "http.route": f"/resource/{number % 20}",
            "url.path": f"/resource/{pick.randrange(10_000)}",
            "url.scheme": "https",
            "server.address": "shop.example.org",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
            "network.protocol.version": "1.1",
            "client.address": f"10.0.{pick.randrange(256)}.{pick.randrange(256)}",
        }
        for key, value in texts.items():
            attribute = span.attributes.add()
            attribute.key, attribute.value.string_value = key, value
        for key, integer in {"http.response.status_code": 200, "server.port": 443}.items():
            attribute = span.attributes.add()
            attribute.key, attribute.value.int_value = key, integer
    return request.SerializeToString()


def _serve(folder: str, listener: socket.socket) -> None:
    import uvicorn

    from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
    from watchbill.processes.otlp import OtlpReceiver

    store = TelemetryStore(f"chdb://{folder}/telemetry")
    store.ensure_schema(30)
    commit = GroupCommit(store)
    commit.start()
    app = OtlpReceiver(commit, LateSpans())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))

    def report() -> None:
        while not server.should_exit:
            time.sleep(0.2)
        rows = store.engine.rows("SELECT count(), sum(length(SpanAttributes)) FROM otel_traces")[0]
        peak = next(
            int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
        )
        Path(folder, "report.json").write_bytes(
            msgspec.json.encode({"rows": rows[0], "attributes": rows[1], "peak_kb": peak})
        )

    reporter = threading.Thread(target=report)
    reporter.start()
    server.run(sockets=[listener])
    reporter.join()
    commit.stop()
    store.close()


def _send(port: int, bodies: list[bytes], until: float, started: float, out: list[tuple[int, list[float]]]) -> None:
    done, times = 0, []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        turn = 0
        while time.monotonic() < until:
            body = bodies[turn % len(bodies)]
            turn += 1
            head = (
                "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            before = time.monotonic()
            connection.sendall(head.encode() + body)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            if answer.startswith(b"HTTP/1.1 200") and before >= started:
                done += 1
                times.append(time.monotonic() - before)
    out.append((done, times))


def _load(port: int, seconds: float, pipe: object) -> None:
    bodies = [request_body(seed) for seed in range(24)]
    out: list[tuple[int, list[float]]] = []
    warm = time.monotonic() + 2.0
    threads = [
        threading.Thread(target=_send, args=(port, bodies[n % 24 :] + bodies[: n % 24], warm + seconds, warm, out))
        for n in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((sum(done for done, _ in out), [took for _, times in out for took in times]))  # type: ignore[attr-defined]


def run() -> list[Result]:
    """Measure for twelve seconds after two of warming up."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port = listener.getsockname()[1]
        server = context.Process(target=_serve, args=(folder, listener))
        server.start()
        _await(port, server)
        mine, theirs = context.Pipe()
        load = context.Process(target=_load, args=(port, SECONDS, theirs))
        load.start()
        requests, times = mine.recv()
        load.join()
        server.terminate()
        server.join(30)
        report = msgspec.json.decode(Path(folder, "report.json").read_bytes())
    if report["attributes"] != report["rows"] * 10:
        sys.exit("otlp_ingest: attributes are missing in the table")
    return [
        Result(
            name="otlp_ingest",
            value=round(requests * SPANS / SECONDS),
            unit="spans/s",
            better="higher",
            limit="≥ 40,000 spans/s",
            limit_value=40_000,
        ),
        Result(name="otlp_ingest_p50", value=round(statistics.median(times) * 1000, 1), unit="ms", better="lower"),
        Result(name="otlp_ingest_peak_memory", value=round(report["peak_kb"] / 1024), unit="MB", better="lower"),
    ]


def _await(port: int, server: object) -> None:
    """Ready when a request is answered: the socket listens before the engine is open."""
    with socket.create_connection(("127.0.0.1", port)) as probe:
        probe.settimeout(60)
        probe.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        if not probe.recv(1024):
            sys.exit(f"otlp_ingest: the receiver did not start ({server})")
