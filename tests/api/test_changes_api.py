"""Changes and the gate over HTTP, as pipelines and people use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database


@pytest.fixture
def stage(db: Database) -> Stage:
    stage = Stage(db, None)  # type: ignore[arg-type]  # nothing here moves the clock
    stage.team("payments", "alice", "bob")
    stage.service("payments", owner="payments", tier=2)
    return stage


def _names(db: Database, prefix: str) -> list[str]:
    with db.transaction() as tx:
        return [entry.name for entry in reversed(ledger.newest(tx, name_prefix=prefix))]


def test_a_deploy_is_started_and_finished_and_a_resend_changes_nothing(client, token, db, stage):
    headers = token("responder")
    body = {"service": "payments", "version": "v84", "id": "run-1", "commits": ["abc"], "author": "alice"}
    started = client.post("/api/v1/changes/start", json=body, headers=headers).json()
    assert (started["outcome"], started["change"]["state"], started["change"]["team"]) == (
        "started", "started", "payments",
    )  # fmt: skip
    assert client.post("/api/v1/changes/start", json=body, headers=headers).json()["outcome"] == "unchanged"
    done = client.post("/api/v1/changes/finish", json=body, headers=headers).json()
    assert (done["outcome"], done["change"]["id"]) == ("finished", started["change"]["id"])
    assert client.post("/api/v1/changes/finish", json=body, headers=headers).json()["outcome"] == "unchanged"
    failed = client.post("/api/v1/changes/finish", json={**body, "outcome": "failed"}, headers=headers).json()
    assert (failed["outcome"], failed["change"]["state"]) == ("refused", "finished")
    assert "the first end stands" in failed["reason"]
    assert _names(db, "change.") == ["change.started", "change.finished"]


def test_a_finish_without_a_start_is_taken_and_said_and_knows_the_version_before(client, token, stage):
    headers = token("responder")
    for version in ("v1", "v2"):
        done = client.post(
            "/api/v1/changes/finish", json={"service": "payments", "version": version}, headers=headers
        ).json()
        assert "without a start" in done["reason"]
    assert done["change"]["start_seen"] is False
    assert done["change"]["previous_version"] == "v1"
    rolled = client.post(
        "/api/v1/changes/finish",
        json={"service": "payments", "kind": "rollback", "version": "v1", "previous_version": "v2"},
        headers=headers,
    ).json()
    listed = client.get("/api/v1/changes?service=payments", headers=headers).json()["changes"]
    assert [(one["version"], one["state"]) for one in listed] == [
        ("v1", "finished"), ("v2", "rolled_back"), ("v1", "finished"),
    ]  # fmt: skip
    assert listed[1]["rolled_back_by"] == rolled["change"]["id"]


def test_a_service_nobody_knows_is_kept_and_shown_as_unowned(client, token, stage):
    headers = token("responder")
    done = client.post("/api/v1/changes/finish", json={"service": "ghost", "version": "1"}, headers=headers).json()
    assert done["change"]["owned"] is False
    assert [c["service"] for c in client.get("/api/v1/changes?unowned=true", headers=headers).json()["changes"]] == [
        "ghost"
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"service": "payments", "version": "v" * 201}, 400),
        ({"service": "payments", "version": "a\x00b"}, 400),
        ({"service": ""}, 400),
        ({"service": "payments", "occurred_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, 400),
        ({"service": "payments", "occurred_at": "2001-01-01T00:00:00Z"}, 400),
        ({"service": "payments", "occurred_at": "2026-01-01T00:00:00"}, 400),
        ({"service": "payments", "unknown": 1}, 400),
        ({"service": "payments", "note": "x" * 300_000}, (400, 413)),
    ],
)
def test_what_cannot_be_stored_is_refused_with_a_hint(client, token, stage, body, status):
    answer = client.post("/api/v1/changes/start", json=body, headers=token("responder"))
    assert answer.status_code in (status if isinstance(status, tuple) else (status,))


def test_a_viewer_may_not_tell_of_changes(client, token, stage):
    answer = client.post("/api/v1/changes/start", json={"service": "payments"}, headers=token("viewer"))
    assert answer.status_code == 403


def test_the_gate_says_unknown_for_an_unmeasured_service_and_records_it_once(client, token, db, stage):
    """gate.unknown: unknown is open by tier, and recorded."""
    headers = token("viewer")
    for _ in range(2):
        answer = client.get("/api/v1/gate/payments", headers=headers).json()
    assert (answer["answer"], answer["proceed"]) == ("unknown", True)
    assert answer["reasons"][0]["code"] == "no_slo"
    assert answer["reasons"][0]["change"]
    assert _names(db, "gate.") == ["gate.answered"]
    assert client.get("/api/v1/gate/payments?fix=true", headers=headers).json()["answer"] == "go"
    assert client.get("/api/v1/gate/payments?rollback=true", headers=headers).json()["answer"] == "go"
    assert client.get("/api/v1/gate/nobody", headers=headers).status_code == 404


def test_a_declared_incident_is_a_no_go_until_it_is_resolved(client, token, db, stage):
    with db.transaction() as tx:
        source = alerts.builtin_integration(tx, name="events")
        event = alerts.Event(
            identity="x", action="trigger", title="cards fail", service="payments", severity="critical", declares=True
        )
        alerts.accept_events(tx, integration_id=source.id, events=[event])
    due.work_inside(db, paging.routing_duties(settle_for=timedelta(minutes=2)))
    assert client.post("/api/v1/incidents/1/declare", json={"why": "cards fail"}, headers=token()).status_code < 300
    answer = client.get("/api/v1/gate/payments", headers=token("viewer")).json()
    assert (answer["answer"], answer["proceed"]) == ("no-go", False), answer["reasons"]
    assert any("cards fail" in reason["says"] for reason in answer["reasons"])


def test_an_override_is_signed_by_a_person_never_by_a_token(client, token, stage):
    answer = client.post("/api/v1/gate/payments/overrides", json={"reason": "sale"}, headers=token("admin"))
    assert answer.status_code == 403
    assert "signed by a person" in answer.json()["error"]["message"]


def test_delivery_has_five_measures_with_the_numbers_they_rest_on(client, token, stage):
    headers = token("responder")
    for version in ("v1", "v2", "v3"):
        client.post(
            "/api/v1/changes/finish",
            json={
                "service": "payments",
                "version": version,
                "is_fix": version == "v2",
                "committed_at": (datetime.now(UTC) - timedelta(hours=2)).isoformat(),
            },
            headers=headers,
        )
    dora = client.get("/api/v1/services/payments/delivery", headers=headers).json()["dora"]
    assert dora["deploys"] == 3
    assert dora["lead_time"]["value"] == pytest.approx(7200, abs=60)
    assert dora["rework_rate"]["value"] == pytest.approx(1 / 3)
    assert dora["fail_rate"]["count"] == 3
    assert not dora["fail_rate"]["enough"]
    assert dora["fail_rate"]["high"] > dora["fail_rate"]["value"]


def test_a_dry_run_tells_which_deploys_would_have_been_stopped_and_what_that_avoided(client, token, db, stage):
    headers = token("responder")
    client.post("/api/v1/changes/start", json={"service": "payments", "version": "v1", "id": "1"}, headers=headers)
    client.post("/api/v1/changes/finish", json={"service": "payments", "version": "v1", "id": "1"}, headers=headers)
    found = client.get("/api/v1/gate/payments/replay?since=7d", headers=headers).json()
    assert [(line["version"], line["answer"]) for line in found["deploys"]] == [("v1", "unknown")]
    assert (found["stopped"], found["unknown"], found["avoided"]) == (0, 1, [])
    assert client.get("/api/v1/gate/payments/replay?since=900d", headers=headers).status_code == 400


def test_an_answer_given_while_watchbill_was_away_stands_in_the_ledger(client, token, db, stage):
    note = {"at": datetime.now(UTC).isoformat(), "door": "open", "version": "v3"}
    assert client.post("/api/v1/gate/payments/away", json=note, headers=token("responder")).status_code == 204
    assert _names(db, "gate.") == ["gate.away"]
