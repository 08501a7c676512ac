"""Events in, incidents out, and what people do about them, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.journeys.stage import Stage
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import alerts
from watchbill.intake.http import intake_router
from watchbill.kernel.clock import SystemClock
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

Token = Callable[..., dict[str, str]]
Client = TestClient[Litestar]


@pytest.fixture
def app(settings: Settings, database_url: str) -> Any:
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    yield create_app(settings=settings, lanes=lanes, handlers=[intake_router()])
    lanes.close()


@pytest.fixture
def stage(db: Database) -> Stage:
    stage = Stage(db, SystemClock())  # type: ignore[arg-type]  # real time: only `work` is used
    stage.team("payments", "alice", "bob")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    return stage


@pytest.fixture
def key(db: Database) -> str:
    with db.transaction() as tx:
        _, key = alerts.create_integration(tx, name="prom", format="prometheus", actor=ledger.system("test"))
    return key


def _event(**more: Any) -> dict[str, Any]:
    return {"identity": "high-errors", "title": "High errors on payments", "service": "payments", **more}


def test_a_posted_event_becomes_an_incident_with_a_page(client: Client, token: Token, stage: Stage) -> None:
    answer = client.post("/api/v1/events", json=_event(), headers=token("responder"))
    assert answer.status_code == 202
    assert answer.json()["accepted"][0]["outcome"] == "opened"
    stage.work()
    listed = client.get("/api/v1/incidents", headers=token("viewer")).json()
    assert [(i["number"], i["team"], i["state"]) for i in listed] == [(1, "payments", "open")]
    detail = client.get("/api/v1/incidents/1", headers=token("viewer", "v2")).json()
    assert detail["pages"][0]["state"] == "escalating"
    assert detail["notifications"][0]["person"] == "alice"
    assert "page.step_taken" in [entry["name"] for entry in detail["timeline"]]


def test_a_list_of_events_is_accepted_together_or_not_at_all(client: Client, token: Token) -> None:
    headers = token("responder")
    good = [_event(identity="a"), _event(identity="b")]
    assert len(client.post("/api/v1/events", json=good, headers=headers).json()["accepted"]) == 2
    bad = [_event(identity="c"), _event(identity="")]
    answer = client.post("/api/v1/events", json=bad, headers=headers)
    assert answer.status_code == 400
    with_c = client.post("/api/v1/events", json=_event(identity="c"), headers=headers).json()
    assert with_c["accepted"][0]["outcome"] == "opened"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"identity": 1}', b'{"identity": "a", "nonsense": 1}', b"\xff\xfe"]
)
def test_a_malformed_event_is_refused_with_what_is_wrong(client: Client, token: Token, body: bytes) -> None:
    headers = {**token("responder"), "content-type": "application/json"}
    answer = client.post("/api/v1/events", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_events_need_a_key_that_may_send(client: Client, token: Token, key: str) -> None:
    assert client.post("/api/v1/events", json=_event()).status_code == 401
    assert client.post("/api/v1/events", json=_event(), headers={"authorization": "Bearer no"}).status_code == 401
    assert client.post("/api/v1/events", json=_event(), headers=token("viewer")).status_code == 403
    by_key = client.post("/api/v1/events", json=_event(), headers={"authorization": f"Bearer {key}"})
    assert by_key.status_code == 202


def test_prometheus_sends_a_firing_alert_with_a_future_end_and_later_resolves_it(
    client: Client, token: Token, stage: Stage, key: str
) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "HighRequestLatency", "service": "payments", "severity": "page", "empty": ""},
        "annotations": {"summary": "High latency"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=4)).isoformat(),
        "generatorURL": "http://prom:9090/graph",
    }
    for _ in range(2):
        answer = client.post(f"/in/{key}/api/v2/alerts", json=[alert])
        assert (answer.status_code, answer.content) == (200, b"")
    stage.work()
    detail = client.get("/api/v1/incidents/1", headers=token()).json()
    assert [(a["title"], a["state"]) for a in detail["alerts"]] == [("High latency", "firing")]
    assert detail["alerts"][0]["labels"] == {
        "alertname": "HighRequestLatency",
        "service": "payments",
        "severity": "page",
    }
    ended = {**alert, "endsAt": (now + timedelta(milliseconds=1)).isoformat()}
    client.post(f"/in/{key}/api/v2/alerts", json=[ended])
    stage.work()
    detail = client.get("/api/v1/incidents/1", headers=token("admin", "again")).json()
    assert detail["alerts"][0]["state"] == "resolved"


def test_valid_alerts_are_stored_before_the_invalid_one_is_refused(
    client: Client, token: Token, stage: Stage, key: str
) -> None:
    body = [{"labels": {"alertname": "A", "service": "payments"}}, {"labels": {}}, {"annotations": {}}]
    answer = client.post(f"/in/{key}/api/v2/alerts", json=body)
    assert answer.status_code == 400
    assert [p["field"] for p in answer.json()["problems"]] == ["[1]", "[2]"]
    stage.work()
    assert len(client.get("/api/v1/incidents", headers=token()).json()) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b'{"labels": {}}'])
def test_a_body_that_is_no_list_of_alerts_is_refused(client: Client, key: str, body: bytes) -> None:
    answer = client.post(f"/in/{key}/api/v2/alerts", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_an_unknown_intake_key_is_refused(client: Client) -> None:
    assert client.post("/in/nonsense/api/v2/alerts", json=[]).status_code == 401


def test_an_incident_is_noted_declared_and_resolved_over_the_api(client: Client, token: Token, stage: Stage) -> None:
    headers = token("responder")
    client.post("/api/v1/events", json=_event(), headers=headers)
    stage.work()
    assert client.post("/api/v1/incidents/1/acknowledge", headers=headers).json()["pages"][0]["state"] == "acknowledged"
    noted = client.post("/api/v1/incidents/1/notes", json={"text": "looking"}, headers=headers)
    assert noted.json()["timeline"][-1]["why"] == "looking"
    assert client.post("/api/v1/incidents/1/declare", json={}, headers=headers).json()["phase"] == "declared"
    resolved = client.post("/api/v1/incidents/1/resolve", json={"why": "restarted"}, headers=headers).json()
    assert (resolved["state"], resolved["resolution"]) == ("resolved", "restarted")
    assert client.post("/api/v1/incidents/1/acknowledge", headers=headers).status_code == 409
    assert client.post("/api/v1/incidents/1/reopen", json={}, headers=headers).json()["state"] == "open"


def test_a_viewer_may_not_resolve(client: Client, token: Token, stage: Stage) -> None:
    client.post("/api/v1/events", json=_event(), headers=token("responder"))
    stage.work()
    assert client.post("/api/v1/incidents/1/resolve", json={}, headers=token("viewer")).status_code == 403


def test_an_unknown_incident_is_not_found(client: Client, token: Token) -> None:
    answer = client.get("/api/v1/incidents/99", headers=token())
    assert answer.status_code == 404
    assert "incident list" in answer.json()["error"]["hint"]


def test_a_test_page_goes_to_the_team(client: Client, token: Token, stage: Stage) -> None:
    answer = client.post("/api/v1/test-page", json={"team": "payments"}, headers=token())
    assert answer.status_code == 201
    stage.work()
    assert stage.addresses() == ["alice"]


def test_the_ledger_is_read_by_admins(client: Client, token: Token, stage: Stage) -> None:
    client.post("/api/v1/events", json=_event(), headers=token("responder"))
    stage.work()
    entries = client.get("/api/v1/ledger?name=page.", headers=token()).json()
    assert {"page.opened", "page.step_taken"} <= {entry["name"] for entry in entries}
    assert client.get("/api/v1/ledger", headers=token("viewer")).status_code == 403
