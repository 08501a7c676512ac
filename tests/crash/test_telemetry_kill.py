"""kill -9 of the observer: what was answered with 200 is there when its folder is opened again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

_WRITER = """
import sys, time
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from watchbill.features.telemetry import GroupCommit, TelemetryStore
store = TelemetryStore("chdb://" + sys.argv[1])
store.ensure_schema(30)
commit = GroupCommit(store)
commit.start()
for number in range(1, 100_000):
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for item in range(10):
        scope.spans.add(
            trace_id=(number * 10 + item).to_bytes(16, "big"), span_id=b"12345678", start_time_unix_nano=time.time_ns()
        )
    commit.submit("traces", request.SerializeToString()).result()
    print(number, flush=True)
"""
_READER = """
import json, sys
from watchbill.features.telemetry import TelemetryStore
store = TelemetryStore("chdb://" + sys.argv[1])
rows = store.engine.rows("SELECT DISTINCT reinterpretAsUInt64(reverse(unhex(TraceId))) FROM otel_traces")
print(json.dumps([row[0] for row in rows]))
"""


def test_no_answered_span_is_lost(tmp_path: Path) -> None:
    folder = str(tmp_path / "telemetry")
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, folder], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    answered = 0
    while answered < 12:
        answered = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    answered = max([answered, *(int(line) for line in writer.stdout.read().splitlines() if line.strip())])
    writer.stdout.close()
    writer.wait()
    read = subprocess.run([sys.executable, "-c", _READER, folder], capture_output=True, text=True, check=True)
    stored = set(json.loads(read.stdout))
    assert {number * 10 + item for number in range(1, answered + 1) for item in range(10)} <= stored
