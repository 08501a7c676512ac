"""Evidence of any language, by OTLP into the real receiver and engine, and out of the API and the command."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from watchbill.features import catalog, evidence
from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.observer import EvidenceTaker
from watchbill.processes.otlp import OtlpReceiver
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

NOW = int(time.time())
SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: checkout}
spec: {owner: payments, dependsOn: [payments-db, fraud-api]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-db}
spec: {owner: payments}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: fraud-api}
spec: {owner: payments}
"""
LINES = (
    ("timeout", "300ms", NOW - 60),
    ("breaker", "5 failures, 30s", NOW - 60),
    ("drill", "latency", NOW - 12 * 86400),
)


def go_sdk(name: str = "reliability.evidence", *, kind: str = "gauge", integers: bool = True, dot: str = ".") -> bytes:
    """As the OpenTelemetry SDKs of Go and Java send it, in protobuf."""
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    of.resource.attributes.add(key="service.name").value.string_value = "checkout"
    metric = of.scope_metrics.add().metrics.add(name=name, unit="s")
    data = getattr(metric, kind)
    if kind == "sum":
        data.aggregation_temporality = 2
    for primitive, setting, used in LINES:
        point = data.data_points.add(time_unix_nano=NOW * 10**9)
        if integers:
            point.as_int = used
        else:
            point.as_double = used
        for key, value in (("dependency", "payments-db"), ("primitive", primitive), ("setting", setting)):
            point.attributes.add(key=f"reliability{dot}{key}").value.string_value = value
    return request.SerializeToString()


def envoy_filter() -> bytes:
    """As a Lua or Wasm filter of Envoy might, or anything else that can post JSON."""
    points = [
        {
            "timeUnixNano": str(NOW * 10**9),
            "asDouble": used,
            "attributes": [
                {"key": f"reliability.{key}", "value": {"stringValue": value}}
                for key, value in (("dependency", "payments-db"), ("primitive", primitive), ("setting", setting))
            ],
        }
        for primitive, setting, used in LINES
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
    metric = {"name": "reliability.evidence", "unit": "s", "gauge": {"dataPoints": points}}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}).encode()


SENDERS = {
    "Go": (go_sdk(), "application/x-protobuf"),
    "Java": (go_sdk(integers=False), "application/x-protobuf"),
    "a sum": (go_sdk(kind="sum"), "application/x-protobuf"),
    "scraped by a Collector": (
        go_sdk("reliability_evidence_seconds", integers=False, dot="_"),
        "application/x-protobuf",
    ),
    "Envoy": (envoy_filter(), "application/json"),
}


@pytest.fixture
def shop(db: Database) -> Database:
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
    return db


@pytest.fixture
def receiver(store: TelemetryStore) -> Iterator[OtlpReceiver]:
    commit = GroupCommit(store)
    commit.start()
    yield OtlpReceiver(commit, LateSpans())
    commit.stop()


def post(receiver: OtlpReceiver, body: bytes, content_type: str) -> None:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=receiver)  # type: ignore[arg-type]  # a plain ASGI app
        async with httpx.AsyncClient(transport=transport, base_url="http://observer") as client:
            return await client.post("/v1/metrics", content=body, headers={"content-type": content_type})

    assert asyncio.run(go()).status_code == 200


def told(db: Database) -> evidence.ServiceEvidence:
    with db.transaction() as tx:
        service = catalog.service_by_name(tx, name="checkout")
        assert service is not None
        return evidence.evidence_of(tx, service=service)


@pytest.mark.parametrize("sender", SENDERS)
def test_evidence_reads_the_same_whoever_sends_it(
    shop: Database, store: TelemetryStore, receiver: OtlpReceiver, sender: str
) -> None:
    post(receiver, *SENDERS[sender])
    take = EvidenceTaker(shop, store)
    take()
    found = told(shop)
    assert [(one.dependency, one.answer, one.says) for one in found.dependencies] == [
        ("fraud-api", "fail", "no timeout seen, no breaker seen, no drill seen"),
        ("payments-db", "pass", "timeout 300ms, breaker, drilled 12 days ago"),
    ]
    take()
    with shop.transaction() as tx:
        [entry] = ledger.newest(tx, name_prefix="evidence.")
    assert "payments-db: timeout 300ms" in entry.why
    assert "drilled on: payments-db" in entry.why


def test_what_is_no_time_is_told_as_a_problem_and_ended_series_are_no_report(
    shop: Database, store: TelemetryStore, receiver: OtlpReceiver
) -> None:
    request = ExportMetricsServiceRequest.FromString(go_sdk(integers=False))
    points: Any = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    points[0].as_double = NOW * 1000.0  # milliseconds
    points[1].as_double = float("nan")
    points[2].flags = 1  # no recorded value
    post(receiver, request.SerializeToString(), "application/x-protobuf")
    EvidenceTaker(shop, store)()
    found = told(shop)
    assert found.problems == [
        "payments-db, breaker: the value is no Unix time in seconds",
        "payments-db, timeout: the value is no Unix time in seconds",
    ]
    [of] = [one for one in found.dependencies if one.dependency == "payments-db"]
    assert of.says == "timeout 300ms (never used), breaker (never used), no drill seen"


def test_evidence_that_nobody_tells_any_more_is_forgotten_after_400_days(shop: Database) -> None:
    with shop.transaction() as tx:
        seen = evidence_line(tx.now)
        assert evidence.record_evidence(tx, seen=[seen, evidence_line(tx.now - timedelta(days=401), "old")]) == 2
        assert evidence.forget_evidence(tx) == 1
        assert evidence.record_evidence(tx, seen=[seen]) == 0


def evidence_line(at: datetime, dependency: str = "payments-db") -> Any:
    from watchbill.features.telemetry import SeenEvidence

    return SeenEvidence(
        service_name="checkout",
        environment="production",
        dependency=dependency,
        primitive="timeout",
        setting="1s",
        used_at=at.astimezone(UTC),
        reported_at=at,
    )
