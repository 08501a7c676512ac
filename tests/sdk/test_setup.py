"""setup() in real processes: what arrives at a collector, what happens when none is there, how a service leaves."""

from __future__ import annotations

import json
import logging
import os
import signal
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

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import watchbill_sdk as wb
from watchbill_sdk.health import HealthServer
from watchbill_sdk.resource import describe, git_commit

ENVIRONMENT = {"PATH": os.environ["PATH"], "OTEL_METRIC_EXPORT_INTERVAL": "60000"}


class Collector:
    """Takes OTLP/HTTP as the specification says, and remembers."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.keys: set[str | None] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                collector.keys.add(self.headers.get("authorization"))
                if self.path == "/v1/traces":
                    collector.traces.append(ExportTraceServiceRequest.FromString(body))
                else:
                    collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def instances(self) -> set[str]:
        """The service.instance.id of everything that sent metrics."""
        return {
            attribute.value.string_value
            for request in self.metrics
            for part in request.resource_metrics
            for attribute in part.resource.attributes
            if attribute.key == "service.instance.id"
        }

    def values(self, name: str) -> list[dict[str, object]]:
        """Every data point of a metric: its attributes and its ``value``."""
        found = []
        for request in self.metrics:
            for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
                if metric.name == name:
                    points = metric.sum.data_points or metric.gauge.data_points or metric.histogram.data_points
                    for point in points:
                        value = getattr(point, "as_double", 0) or getattr(point, "as_int", 0)
                        keys = {a.key: a.value.string_value or a.value.int_value for a in point.attributes}
                        found.append({**keys, "value": value})
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


WORK = """
import logging, os, sys, time, watchbill_sdk as wb
from opentelemetry import trace
logging.basicConfig(format="%(service)s %(trace_id)s %(message)s", level="WARNING")
"""


def test_a_service_tells_who_it_is_and_what_it_did_and_its_forked_workers_are_instances(collector: Collector) -> None:
    """Preloading servers fork after setup(): parent and child are two instances, each counting its own calls."""
    code = WORK + (
        "wb.setup('orders', version='1.2', environment='staging')\n"
        "bank = wb.Dependency('bank', timeout=1, breaker=wb.Breaker('bank'))\n"
        "bank(lambda: 1)()\n"
        "child = os.fork()\n"
        "with trace.get_tracer('t').start_as_current_span('parent' if child else 'child'):\n"
        "    logging.warning('in span')\n"
        "for _ in range(5 if child else 2): bank(lambda: 1)()\n"
        "again = wb.setup('other')\n"
        "assert again.service == 'orders'\n"
        "if child: os.waitpid(child, 0)\n"
    )
    ran = python(code, WATCHBILL_OTLP_ENDPOINT=collector.endpoint, WATCHBILL_OTLP_KEY="k-1")
    assert ran.returncode == 0, ran.stderr
    assert "first call stays in force" in ran.stderr
    assert collector.keys == {"Bearer k-1"}
    assert len(collector.instances()) == 2
    calls = {p["value"] for p in collector.values("reliability.calls") if p["reliability.outcome"] == "ok"}
    assert calls == {6, 2}
    evidence = collector.values("reliability.evidence")
    assert {p["reliability.primitive"] for p in evidence} == {"timeout", "breaker"}
    assert all(abs(float(str(p["value"])) - time.time()) < 60 for p in evidence)
    spans = {
        span.name: (span.trace_id.hex(), {a.key: a.value.string_value for a in part.resource.attributes})
        for request in collector.traces
        for part in request.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    }
    assert set(spans) == {"parent", "child"}
    for trace_id, resource in spans.values():
        assert f"orders {trace_id} in span" in ran.stderr
        assert (resource["service.version"], resource["deployment.environment.name"]) == ("1.2", "staging")
    assert len({resource["service.instance.id"] for _, resource in spans.values()}) == 2


@pytest.mark.parametrize("answers", ["refused", "silent"])
def test_a_collector_that_is_away_neither_slows_nor_breaks_nor_holds_up_the_end(answers: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1] if answers == "silent" else 9
        code = WORK + (
            "wb.setup('orders')\n"
            "call = wb.Dependency('bank', breaker=wb.Breaker('bank'))(lambda: 1)\n"
            "began = time.perf_counter()\n"
            "for _ in range(3000):\n"
            "    with trace.get_tracer('t').start_as_current_span('s'): call()\n"
            "print(time.perf_counter() - began)\n"
        )
        began = time.monotonic()
        ran = python(code, WATCHBILL_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        took = time.monotonic() - began
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 3, "a span and a protected call take microseconds, whatever becomes of them"
    assert took < 12, "the end waits three seconds at most"


def test_a_wrong_environment_is_told_and_the_service_runs() -> None:
    code = WORK + "s = wb.setup(); print(*s.problems, sep='|'); print(s.service, s.endpoint)"
    ran = python(
        code,
        OTEL_EXPORTER_OTLP_ENDPOINT="collector:4317",
        OTEL_BSP_SCHEDULE_DELAY="soon",
        OTEL_BSP_MAX_QUEUE_SIZE="-1",
        OTEL_RESOURCE_ATTRIBUTES="nonsense,,a=b=c,=x",
        WATCHBILL_HEALTH_PORT="http",
        WATCHBILL_SWITCHES_URL="ftp://x",
        WATCHBILL_CHAOS_TOKEN="forged",
        WATCHBILL_CHAOS_SECRET="short",
    )
    assert ran.returncode == 0, ran.stderr
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "WATCHBILL_HEALTH_PORT", "WATCHBILL_SWITCHES_URL", "no service name"):
        assert name in ran.stdout
    assert "WATCHBILL_CHAOS_TOKEN is refused" in ran.stderr
    assert "unknown_service:python http://localhost:4318" in ran.stdout


@pytest.mark.parametrize(
    "wrong", [{"endpoint": "collector:4318"}, {"drain": -1}, {"drain": float("nan")}, {"health_port": -5}]
)
def test_a_wrong_argument_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(wb.ConfigError):
        wb.setup("orders", handle_signals=False, **wrong)  # type: ignore[arg-type]  # that is the point


SERVER = """
import sys, time, uvicorn, watchbill_sdk as wb
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from watchbill_sdk.integrations.starlette import install
import asyncio
wb.setup("orders", drain=0.3)
async def slow(request):
    await asyncio.sleep(0.6)
    return PlainTextResponse("done")
app = Starlette(routes=[Route("/slow", slow)])
install(app)
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


def test_a_server_that_is_told_to_leave_says_not_ready_finishes_and_sends(collector: Collector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)], env=ENVIRONMENT | {"WATCHBILL_OTLP_ENDPOINT": collector.endpoint}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            if get(f"{url}/readyz") == 200:
                break
            time.sleep(0.02)
        answers: list[int] = []
        running = threading.Thread(target=lambda: answers.append(get(f"{url}/slow")))
        running.start()
        time.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert get(f"{url}/readyz") == 503, "it still answers, and sends balancers away"
        assert get(f"{url}/healthz") == 200
        running.join()
        assert answers == [200], "what was running was finished"
        server.wait(15)
    finally:
        server.kill()
        server.wait()
    names = {span.name for r in collector.traces for p in r.resource_spans for s in p.scope_spans for span in s.spans}
    assert "GET /slow" in names or "GET" in names
    assert collector.values("http.server.request.duration")


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


PRELOADED = """
import os, watchbill_sdk as wb
from flask import Flask
from watchbill_sdk.integrations.flask import install
wb.setup("orders")
app = Flask(__name__)
install(app)
bank = wb.Dependency("bank", breaker=wb.Breaker("bank"))
@app.get("/pid")
def pid():
    return {"pid": bank(os.getpid)()}
"""


def test_the_workers_of_a_preloading_gunicorn_answer_count_and_leave_each_for_itself(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "orders.py").write_text(PRELOADED)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
    server = subprocess.Popen(
        [sys.executable, *command, "--no-control-socket", "orders:app"],
        env=ENVIRONMENT | {"WATCHBILL_OTLP_ENDPOINT": collector.endpoint},
        cwd=tmp_path,
    )
    try:
        pids: set[int] = set()
        asked = 0
        for _ in range(400):
            if len(pids) == 2:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/pid", timeout=5) as answer:
                    pids.add(json.load(answer)["pid"])
                    asked += 1
            except OSError:
                time.sleep(0.02)
        assert len(pids) == 2
        assert get(f"http://127.0.0.1:{port}/readyz") == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
    calls = [p["value"] for p in collector.values("reliability.calls") if p["reliability.outcome"] == "ok"]
    assert sum(int(str(value)) for value in calls) == asked, "nothing is counted twice or lost"
    assert len(collector.instances()) >= 2


def test_a_plain_worker_drains_and_ends_by_the_signal(collector: Collector) -> None:
    code = WORK + (
        "wb.setup('worker')\n"
        "with trace.get_tracer('t').start_as_current_span('job'): pass\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.01)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        env=ENVIRONMENT | {"WATCHBILL_OTLP_ENDPOINT": collector.endpoint},
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == -signal.SIGTERM
    assert collector.traces


def test_health_has_a_port_of_its_own_with_evidence() -> None:
    server = HealthServer(0)
    try:
        url = f"http://127.0.0.1:{server.port}"
        assert get(f"{url}/healthz") == get(f"{url}/readyz") == 200
        wb.HEALTH.add_check("cache", lambda: False)
        wb.HEALTH.add_check("disk", lambda: bool(1 // 0))
        assert wb.HEALTH.ready()[1] == {
            "cache": "failing",
            "disk": "ZeroDivisionError: integer division or modulo by zero",
        }
        assert get(f"{url}/readyz") == 503
        assert get(f"{url}/nothing") == 404
        wb.Breaker("bank")
        with urllib.request.urlopen(f"{url}/evidence", timeout=5) as answer:
            assert json.load(answer)[0]["primitive"] == "breaker"
    finally:
        server.stop()


def test_who_i_am_is_asked_of_each_source_in_turn(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack-refs\nabcdef0123456789 refs/heads/main\n")
    assert git_commit(tmp_path / "src") == "abcdef0123456789"
    pod = tmp_path / "podinfo"
    pod.mkdir()
    (pod / "labels").write_text('app.kubernetes.io/name="cart"\napp.kubernetes.io/version="7"\nbroken\n')
    env = {"POD_NAME": "cart-1", "POD_UID": "u-1", "POD_NAMESPACE": "shop", "WATCHBILL_ENVIRONMENT": "staging"}
    found = describe(env=env, folder=tmp_path, podinfo=pod)
    assert found["service.name"] == "cart"
    assert found["service.version"] == "7"
    assert found["service.instance.id"] == found["k8s.pod.uid"] == "u-1"
    assert found["k8s.namespace.name"] == "shop"
    assert found["deployment.environment.name"] == "staging"
    env["OTEL_SERVICE_NAME"] = "basket"
    assert describe(env=env, folder=tmp_path, podinfo=pod)["service.name"] == "basket"
    assert describe(service="given", env=env, folder=tmp_path, podinfo=pod)["service.name"] == "given"
    nowhere = describe(env={}, folder=tmp_path, podinfo=tmp_path / "none")
    assert nowhere["service.version"] == "abcdef012345"
    assert describe(package="pytest", env={}, folder=tmp_path)["service.version"] == pytest.__version__


def test_structlog_events_carry_the_trace_only_inside_one() -> None:
    assert wb.add_trace_ids(None, "info", {"event": "x"}) == {"event": "x"}
    wb.setup("orders", handle_signals=False)
    record = logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None)
    assert record.__dict__["trace_id"] == "0" * 32
    assert record.__dict__["service"] == "orders"
