"""The engine's own decoding of attributes, against what was sent."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchbill.features.telemetry import GroupCommit, TelemetryStore
from watchbill.intake.otlp import decode
from watchbill.kernel.errors import Invalid, Unavailable

DAY = 86_400_000_000_000


def test_every_kind_of_value_is_stored_as_its_text(store: TelemetryStore) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    span.start_time_unix_nano = time.time_ns()
    wanted: dict[str, tuple[str, Any, str]] = {
        "text": ("string_value", "zwölf", "zwölf"),
        "empty": ("string_value", "", ""),
        "zero": ("int_value", 0, "0"),
        "most": ("int_value", 2**63 - 1, "9223372036854775807"),
        "least": ("int_value", -(2**63), "-9223372036854775808"),
        "yes": ("bool_value", True, "true"),
        "no": ("bool_value", False, "false"),
        "half": ("double_value", 0.5, "0.5"),
        "none": ("double_value", 0.0, "0"),
        "bytes": ("bytes_value", b"\x00\xff", "AP8="),
    }
    for key, (kind, value, _) in wanted.items():
        pair = span.attributes.add(key=key)
        setattr(pair.value, kind, value)
    span.attributes.add(key="unset")
    listed = span.attributes.add(key="list")
    listed.value.array_value.values.add(string_value="a")
    listed.value.array_value.values.add(int_value=1)
    event = span.events.add(name="exception", time_unix_nano=span.start_time_unix_nano)
    event.attributes.add(key="exception.type").value.string_value = "Timeout"
    link = span.links.add(trace_id=b"\x03" * 16, span_id=b"\x04" * 8)
    link.attributes.add(key="why").value.string_value = "retry"
    decoded = decode(
        "traces", request.SerializeToString(), "protobuf", now_ns=time.time_ns(), retention_ns=DAY, horizon_ns=DAY
    )
    store.insert_traces([decoded.payload])
    [stored] = store.trace("01" * 16)
    assert stored.attributes == {key: text for key, (_, _, text) in wanted.items()} | {"unset": "", "list": '["a",1]'}
    assert list(
        store.engine.rows("SELECT Events.Name, Events.Attributes, Links.TraceId, Links.Attributes FROM otel_traces")
    ) == [(["exception"], [{"exception.type": "Timeout"}], ["03" * 16], [{"why": "retry"}])]


def test_one_poison_request_of_a_group_fails_alone(store: TelemetryStore) -> None:
    good = ExportTraceServiceRequest()
    span = good.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    span.start_time_unix_nano = time.time_ns()
    commit = GroupCommit(store)
    answers = [
        commit.submit("traces", body) for body in (good.SerializeToString(), b"\xff\xff", good.SerializeToString())
    ]
    commit.start()
    assert [type(answer.exception(timeout=30)) for answer in answers] == [type(None), Invalid, type(None)]
    commit.stop()
    with pytest.raises(Unavailable):
        commit.submit("traces", b"")


def test_a_second_process_on_the_folder_is_told_who_is_in_the_way(
    store: TelemetryStore, telemetry_folder: Path
) -> None:
    store.ping()
    program = (
        "import sys; from watchbill.features.telemetry import TelemetryStore\n"
        "from watchbill.kernel.errors import SetupError\n"
        "try:\n    TelemetryStore(sys.argv[1]).ping()\n"
        "except SetupError as error:\n    print(error)"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, f"chdb://{telemetry_folder}"], capture_output=True, text=True, check=True
    )
    assert "another process holds it" in second.stdout
    assert "stop the other" in second.stdout
