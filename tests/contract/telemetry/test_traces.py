"""Finding traces in the real engine, asked over the observer's own door."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.serving import nothing, serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import identity
from watchbill.features.telemetry import FindTraces, GetLogs, GetTrace, Observer, TelemetryStore
from watchbill.kernel.errors import Invalid, Unavailable
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.questions import Questions
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer

KEY = "k" * 40
NOW = time.time_ns() // 1_000_000_000 * 1_000_000_000
MS = 1_000_000
CHARGE, REFUND, SLOW = "0a" * 16, "0b" * 16, "0c" * 16

SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-api}
spec: {owner: payments, telemetry: {serviceName: payments}}
"""


def _fill(store: TelemetryStore) -> None:
    request = ExportTraceServiceRequest()
    for service, spans in (
        (
            "payments",
            [
                (CHARGE, 1, 0, "POST /charge", OtlpSpan.SPAN_KIND_SERVER, 0, 80, True, {"user.tier": "gold"}),
                (CHARGE, 2, 1, "query card", OtlpSpan.SPAN_KIND_CLIENT, 10, 40, False, {}),
                (REFUND, 3, 0, "POST /refund", OtlpSpan.SPAN_KIND_SERVER, 100, 20, False, {}),
                (SLOW, 4, 0, "POST /charge", OtlpSpan.SPAN_KIND_SERVER, 200, 3000, False, {}),
            ],
        ),
        ("vault", [(CHARGE, 5, 2, "SELECT card", OtlpSpan.SPAN_KIND_SERVER, 15, 30, False, {})]),
    ):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scope = resource.scope_spans.add()
        for trace_id, number, parent, name, kind, offset, took, failed, attributes in spans:
            span = scope.spans.add(
                trace_id=bytes.fromhex(trace_id), span_id=number.to_bytes(8, "big"), name=name, kind=kind
            )
            if parent:
                span.parent_span_id = parent.to_bytes(8, "big")
            span.start_time_unix_nano = NOW - 60_000 * MS + offset * MS
            span.end_time_unix_nano = span.start_time_unix_nano + took * MS
            if failed:
                span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "card declined by a bug"
            for key, value in attributes.items():
                span.attributes.add(key=key).value.string_value = value
    store.insert_traces([request.SerializeToString()])
    logs = ExportLogsServiceRequest()
    resource_logs = logs.resource_logs.add()
    resource_logs.resource.attributes.add(key="service.name").value.string_value = "payments"
    record = resource_logs.scope_logs.add().log_records.add(
        time_unix_nano=NOW - 60_000 * MS + 5 * MS,
        severity_number=17,
        trace_id=bytes.fromhex(CHARGE),
        span_id=(1).to_bytes(8, "big"),
    )
    record.body.string_value = "no card 4711"
    store.insert_logs([logs.SerializeToString()])


@pytest.fixture
def observer_url(store: TelemetryStore) -> Iterator[str]:
    """A real HTTP server with the observer's door over the real engine, filled with three traces."""
    _fill(store)
    with serving(Questions(store, Signer([KEY]), other=nothing), lifespan="off") as url:
        yield url


def find(observer: Observer, **conditions: Any) -> list[str]:
    now = datetime.fromtimestamp(NOW / 1e9, UTC)
    question = FindTraces(start_at=now - timedelta(hours=1), end_at=now + timedelta(hours=1), **conditions)
    return [line.trace_id for line in observer.ask(question)]


def test_traces_are_found_by_service_name_outcome_duration_and_attribute(observer_url: str) -> None:
    observer = Observer(observer_url, Signer([KEY]))
    assert find(observer) == [SLOW, REFUND, CHARGE]
    assert find(observer, service_name="vault") == [CHARGE]
    assert find(observer, name="POST /charge") == [SLOW, CHARGE]
    assert find(observer, outcome="bad") == [CHARGE]
    assert find(observer, at_least_ms=1000) == [SLOW]
    assert find(observer, at_most_ms=20.0, service_name="payments") == [REFUND]
    assert find(observer, attributes={"user.tier": "gold"}) == [CHARGE]
    assert find(observer, attributes={"user.tier": "silver"}) == []
    assert find(observer, environment="staging") == []
    spans = observer.ask(GetTrace(trace_id=CHARGE.upper()))
    assert [span.name for span in spans] == ["POST /charge", "query card", "SELECT card"]
    [line] = observer.ask(GetLogs(trace_id=CHARGE))
    assert (line.severity, line.body) == ("ERROR", "no card 4711")
    now = datetime.now(UTC)
    with pytest.raises(Invalid, match="ends before it starts"):
        observer.ask(FindTraces(start_at=now, end_at=now))
    observer.close()


def test_only_our_own_processes_may_ask(observer_url: str) -> None:
    stranger = Observer(observer_url, Signer(["x" * 40]))
    with pytest.raises(Unavailable, match="damaged or was not made here"):
        find(stranger)
    stranger.close()
    assert httpx.post(f"{observer_url}/questions", content=b"{}").status_code == 403
    assert httpx.get(f"{observer_url}/questions").status_code == 400


def test_a_trace_is_read_with_the_owner_of_each_span(
    observer_url: str, database_url: str, db: Database, tmp_path: Path
) -> None:
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        _, secret = identity.create_token(tx, name="reader", role="viewer", actor=ledger.system("test"))
    settings = Settings(home=tmp_path, database_url=database_url, secret_key=KEY, observer_url=observer_url)
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    get: Callable[..., Any]
    with TestClient(create_app(settings=settings, lanes=lanes), raise_server_exceptions=False) as client:
        client.headers["authorization"] = f"Bearer {secret}"
        get = client.get
        found = get("/api/v1/traces", params={"service": "payments-api", "outcome": "bad"}).json()
        assert [line["trace_id"] for line in found["traces"]] == [CHARGE]
        page = get(f"/api/v1/traces/{CHARGE}").json()
        assert [(one["span"]["name"], one["service"], one["team"]) for one in page["spans"]] == [
            ("POST /charge", "payments-api", "payments"),
            ("query card", "payments-api", "payments"),
            ("SELECT card", None, None),
        ]
        assert [line["body"] for line in page["logs"]] == ["no card 4711"]
        assert get(f"/api/v1/traces/{'0f' * 16}").status_code == 404
        assert get("/api/v1/traces/not-hex").status_code == 400
        assert get("/api/v1/traces", params={"attribute": "nothing"}).status_code == 400
    lanes.close()
