"""What a service with watchbill-sdk tells arrives in the real receiver and engine, where readiness checks look."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import uvicorn

from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.processes.otlp import OtlpReceiver

SERVICE = """
import watchbill_sdk as wb
from watchbill_sdk.integrations.wsgi import Middleware

wb.setup("orders", version="1.2", environment="staging")
bank = wb.Dependency("bank", timeout=1, breaker=wb.Breaker("bank"), fallback=wb.Fallback("bank", 0))

@bank
def charge():
    raise ConnectionError

def app(environ, start_response):
    charge()
    start_response("200 OK", [])
    return [b""]

body = Middleware(app)({"REQUEST_METHOD": "GET", "PATH_INFO": "/orders"}, lambda *_: None)
list(body)
body.close()
"""


def test_spans_metrics_and_evidence_of_a_service_are_in_the_tables(store: TelemetryStore) -> None:
    commit = GroupCommit(store)
    commit.start()
    config = uvicorn.Config(OtlpReceiver(commit, LateSpans()), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        environment = {"PATH": os.environ["PATH"], "WATCHBILL_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        ran = subprocess.run(
            [sys.executable, "-c", SERVICE], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
    finally:
        server.should_exit = True
        thread.join(15)
        commit.stop()
    spans = store.engine.rows("SELECT ServiceName, SpanName, SpanAttributes['reliability.degraded'] FROM otel_traces")
    assert [tuple(row) for row in spans] == [("orders", "GET", "true")]
    evidence = store.engine.rows(
        "SELECT Attributes['reliability.dependency'], Attributes['reliability.primitive'], Value > 1.7e9"
        " FROM otel_metrics_gauge WHERE MetricName = 'reliability.evidence' ORDER BY 2"
    )
    assert [tuple(row) for row in evidence] == [("bank", "breaker", 1), ("bank", "fallback", 1), ("bank", "timeout", 1)]
    degraded = store.engine.rows(
        "SELECT Attributes['reliability.reason'], Value FROM otel_metrics_sum WHERE MetricName = 'reliability.degraded'"
    )
    assert [tuple(row) for row in degraded] == [("ConnectionError", 1.0)]
