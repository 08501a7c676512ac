"""Capacity through the API: push demand, forecast at night, find shortage, ask what-if, sign off, export."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.features import alerts, catalog, identity
from watchbill.features.capacity import Fanout, Journey, heavier, making, measuring, nightly, ramping, usl
from watchbill.features.telemetry import LoadStep, Observer
from watchbill.manifest.applying import Options, apply_files
from watchbill.manifest.bundle import File
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database
from watchbill.runtime.due import DueRow
from watchbill.runtime.signing import Signer

MANIFEST = """
apiVersion: watchbill/v1
kind: Team
metadata: {{name: shop}}
spec:
  members: [alice@example.org]
  timeZone: Europe/Berlin
  fallback: true
  peakEvents:
    - {{name: Cyber Week, start: "{start}", end: "{end}", factor: 1.71, operations: [store/place order]}}
---
apiVersion: watchbill/v1
kind: Service
metadata: {{name: store}}
spec:
  owner: shop
  capacity: {{perReplica: 40, replicas: 6, leadTime: 14d, replicaPrice: 90}}
  operations: [{{name: place order, match: {{route: "POST /orders"}}}}]
---
apiVersion: watchbill/v1
kind: Service
metadata: {{name: stock}}
spec:
  owner: shop
  capacity: {{replicas: 4, leadTime: 14d}}
"""


@pytest.fixture
def stocked(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Six weeks of 100/s at the top of the day on store, and what place order calls; without the heavier model."""
    monkeypatch.setattr(heavier, "installed", lambda: False)
    with db.transaction() as tx:
        start = (tx.now + timedelta(days=10)).date()
        text = MANIFEST.format(start=start, end=start + timedelta(days=3))
        identity.ensure_person(tx, login="alice@example.org", name="Alice")
        files = [File(path="w.yaml", text=text, named=True)]
        apply_files(tx, files=files, options=Options(source="t"), actor=ledger.system("test"))
        store = catalog.service_by_name(tx, name="store")
        assert store is not None
        calls = [
            Fanout(component=name, mean=mean, low=mean, high=mean, busy_ms=5, depends_on_load=False)
            for name, mean in (("store", 1.0), ("stock", 2.0))
        ]
        journey = Journey(
            service_id=store.id, operation="place order", measured_at=tx.now, traces=100, fanouts=calls
        )
        measuring.write_journey(tx, journey)
    return db


def hours(db: Database, top: float, days: int = 42) -> list[dict[str, Any]]:
    with db.transaction() as tx:
        today = tx.now.replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        {
            "at": (today - timedelta(hours=hour)).isoformat(),
            "mean": top * (0.55 + 0.45 * math.sin(math.pi * ((-hour) % 24 - 8) / 12)) * (1 + 0.05 * (hour * 37 % 5)),
        }
        for hour in range(days * 24, 0, -1)
    ]


def push(client: TestClient[Litestar], headers: dict[str, str], service: str, operation: str, given: Any) -> None:
    body = {"hours": given, "operation": operation}
    answer = client.post(f"/api/v1/capacity/{service}/demand", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


def test_from_pushed_demand_to_tickets_what_if_bounds_and_review(
    client: TestClient[Litestar], stocked: Database, token: Callable[..., dict[str, str]]
) -> None:
    admin = token("admin")
    push(client, admin, "store", "place order", hours(stocked, 100.0))
    push(client, admin, "stock", "", hours(stocked, 220.0))
    fitted = usl.fit([(n, usl.throughput(0.02, 0.001, 8.0, n) * (1 + 0.001 * (n % 3))) for n in range(1, 60, 4)])
    body = {"fit": msgspec.to_builtins(fitted), "points": [[n, n * 8.0] for n in range(1, 20)]}
    curve = client.post("/api/v1/capacity/stock/curve", json=body, headers=admin)
    assert curve.status_code == 201, curve.text
    assert curve.json()["capacity"] == pytest.approx(fitted.peak_throughput or 0)

    with stocked.transaction() as tx:
        tx.execute(sa.text("UPDATE due_row SET due_at = :now WHERE kind = 'capacity.forecast'"), {"now": tx.now})
    assert due.work_inside(stocked, [nightly.ForecastService()]) == 2
    assert nightly.work_night(stocked, None) == 2
    assert nightly.work_night(stocked, None) == 0, "one night is done once"

    lines = {line["service"]: line for line in client.get("/api/v1/capacity", headers=admin).json()}
    store = lines["store"]["state"]
    assert 100 < store["demand_middle"] < store["demand"] < 400
    assert store["capacity"] == 200
    assert store["exhaustion"]["earliest"] is not None, "Cyber Week is more than six replicas less one carry"
    assert store["finding"] is not None
    assert "Cyber Week" in store["finding"]
    assert store["monthly_cost"] == 540
    with stocked.transaction() as tx:
        told = tx.execute(sa.text("SELECT title, urgency, service_name FROM alert WHERE state = 'firing'")).all()
    assert ("ticket", "store") in [(row.urgency, row.service_name) for row in told]

    detail = client.get("/api/v1/capacity/store", headers=admin).json()
    forecast = next(one for one in detail["forecasts"] if one["operation"] == "place order")
    assert forecast["coverage"] is not None
    assert forecast["naive_mae"] is not None
    assert len(forecast["point"]) == 14 * 24

    question = {"service": "store", "operation": "place order", "growth": 0.71}
    answer = client.post("/api/v1/capacity/what-if", json=question, headers=admin).json()
    assert {one["service"] for one in answer["effects"]} == {"store", "stock"}
    assert answer["effects"][0]["more_replicas"] > 0
    assert answer["effects"][0]["order_by"] is not None

    exported = client.get("/api/v1/capacity/store/export?format=keda", headers=admin)
    assert "ScaledObject" in exported.text

    (review,) = client.get("/api/v1/capacity/review", headers=admin).json()
    assert {line["service"] for line in review["lines"]} == {"store", "stock"}
    assert all(line["signed"] is None for line in review["lines"])
    signing = {"team": "shop", "event": "Cyber Week", "service": "store", "note": "six more are ordered"}
    refused = client.post("/api/v1/capacity/review/sign", json=signing, headers=admin)
    assert refused.status_code == 403, "a person signs, never a token"


def test_one_service_that_cannot_be_read_ends_nobody_elses_night(
    client: TestClient[Litestar], stocked: Database, token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """stock's capacity is of another version, and a series of it makes the forecast itself fail."""
    admin = token("admin")
    for name in ("store", "stock"):
        push(client, admin, name, "", hours(stocked, 60.0, days=21))
    with stocked.transaction() as tx:
        broken = '{"capacity": {"replicas": {"of": "another version"}}}'
        tx.execute(sa.text("UPDATE service SET spec = spec || CAST(:s AS jsonb) WHERE name = 'stock'"), {"s": broken})
    assert nightly.work_night(stocked, None) == 2
    lines = {line["service"]: line["state"] for line in client.get("/api/v1/capacity", headers=admin).json()}
    assert lines["store"]["headroom"] is not None
    assert lines["stock"] is None

    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(making.forecast, "forecast", fails)
    with stocked.transaction() as tx:
        tx.execute(sa.text("UPDATE due_row SET due_at = :now WHERE kind = 'capacity.forecast'"), {"now": tx.now})
    assert due.work_inside(stocked, [nightly.ForecastService()]) == 2
    (told,) = client.get("/api/v1/capacity/store", headers=admin).json()["forecasts"]
    assert "ZeroDivisionError" in told["refused"]


def test_bad_demand_is_refused_with_its_place(
    client: TestClient[Litestar], stocked: Database, token: Callable[..., dict[str, str]]
) -> None:
    admin = token("admin")
    for bad, says in (
        ({"at": "2026-11-01T10:30:00Z", "mean": 1}, "whole hour"),
        ({"at": "1999-11-01T10:00:00Z", "mean": 1}, "400 days"),
        ({"at": hours(stocked, 1.0)[-1]["at"], "mean": 1e200}, "more than anybody"),
    ):
        answer = client.post("/api/v1/capacity/store/demand", json={"hours": [bad]}, headers=admin)
        assert answer.status_code == 400
        assert says in answer.json()["error"]["message"]
    asked = {"service": "store", "operation": "dance", "growth": 1}
    assert client.post("/api/v1/capacity/what-if", json=asked, headers=admin).status_code == 404
    assert client.get("/api/v1/capacity/store/export", headers=admin).status_code == 400
    pushed = client.post(
        "/api/v1/capacity/store/demand", json={"hours": hours(stocked, 1.0)[:2]}, headers=token("viewer")
    )
    assert pushed.status_code == 403


def test_a_ramp_is_watched_step_by_step_and_its_fit_is_kept(
    stocked: Database, client: TestClient[Litestar], token: Callable[..., dict[str, str]]
) -> None:
    headers = token("admin")
    body = {"minutes": 10, "step_seconds": 10, "save": True, "replicas": 1}
    path = "/api/v1/capacity/stock/ramps"
    begun = client.post(path, json=body, headers=headers).json()
    assert begun["state"] == "watching"
    assert client.post(path, json=body, headers=headers).status_code == 409
    short = client.post("/api/v1/capacity/store/ramps", json={**body, "minutes": 0.5}, headers=headers)
    assert short.status_code == 400
    law = (0.03, 2e-4, 50.0)
    rates = [(load, usl.throughput(*law, load)) for load in (1, 5, 10, 20, 40, 60, 80, 100)]
    seen = [
        LoadStep(number=at, requests=rate * 10, busy_seconds=load * 10, p95_ms=1, failed=0, instances=0)
        for at, (load, rate) in enumerate(rates)
    ]
    duty = ramping.WatchRamp(Observer("http://127.0.0.1:9", Signer(["k" * 32])))
    with stocked.transaction() as tx:
        # Somebody is paged for another service: that ends no ramp of this one.
        integration = alerts.builtin_integration(tx, name="slo")
        burning = alerts.Event(
            identity="burn", action="trigger", title="store burns", severity="critical", urgency="page",
            service="store", occurred_at=tx.now, delivery_id="1",
        )  # fmt: skip
        alerts.accept_events(tx, integration_id=integration.id, events=[burning])
    for outcome in ("the observer does not answer", seen[:3], seen):
        with stocked.transaction() as tx:
            row = DueRow(
                id=1, kind=ramping.RAMP, subject=begun["id"], payload={}, due_at=tx.now, attempts=0, lease=None
            )
            job = duty.prepare(tx, row)
            assert job is not None
            assert job.question.service_name == "stock"
            duty.settle(tx, row, job, outcome)
    (ended,) = client.get(path, headers=headers).json()
    assert (ended["state"], len(ended["steps"])) == ("fitted", 8)
    detail = client.get("/api/v1/capacity/stock", headers=headers).json()
    assert detail["curve"]["capacity"] == pytest.approx(ended["capacity"])
    assert client.post(f"{path}/stop", headers=headers).status_code == 404

    again = client.post(path, json=body, headers=headers).json()
    with stocked.transaction() as tx:
        event = msgspec.structs.replace(burning, identity="stock", title="stock burns", service="stock")
        event = msgspec.structs.replace(event, delivery_id="2", occurred_at=tx.now)
        alerts.accept_events(tx, integration_id=integration.id, events=[event])
    assert client.post(f"{path}/stop?judge=true", headers=headers).json()["state"] == "watching"
    with stocked.transaction() as tx:
        row = DueRow(
            id=1, kind=ramping.RAMP, subject=again["id"], payload={}, due_at=tx.now, attempts=0, lease=None
        )
        job = duty.prepare(tx, row)
        assert job is not None
        duty.settle(tx, row, job, seen[:3])
    ended = client.get(path, headers=headers).json()[0]
    assert (ended["state"], ended["reason"][:29]) == ("refused", "an alert came: stock burns; 3")
