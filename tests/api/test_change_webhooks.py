"""Webhooks of other tools, signed as they sign them: refused unsigned, refused replayed, and a change each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.journeys.stage import Stage
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import alerts, changes
from watchbill.intake.changes.http import change_router
from watchbill.runtime import ledger
from watchbill.runtime.db import Database


@pytest.fixture
def app(settings) -> Iterator[Litestar]:
    lanes = Lanes.over(lambda name, size: Database(settings.database_url, name=name, pool_size=size))
    yield create_app(settings=settings, lanes=lanes, handlers=[change_router()])
    lanes.close()


@pytest.fixture
def made(client: TestClient, token, db):
    """``made("github")`` is a new integration of that format for team payments' service."""
    stage = Stage(db, None)  # type: ignore[arg-type]  # nothing here moves the clock
    stage.team("payments", "alice", "bob")
    stage.service("payments", owner="payments", tier=2)

    def make(format: str, service: str | None = "payments") -> dict[str, str]:
        body = {"name": f"our {format}", "format": format, "service": service}
        return client.post("/api/v1/integrations", json=body, headers=token("admin", f"for {format}")).json()

    return make


def _signed(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _all(db: Database) -> list[changes.Change]:
    with db.transaction() as tx:
        return list(changes.newest_changes(tx))


def _github(state: str | None, sha: str = "ffac537e6cbbf934b08745a378932722df287a53") -> bytes:
    data = {
        "deployment": {"id": 1, "sha": sha, "ref": "v84", "task": "deploy", "environment": "production",
                       "payload": {}, "creator": {"login": "alice"}},
        "repository": {"name": "Payments-Repo", "html_url": "https://github.com/acme/payments-repo"},
    }  # fmt: skip
    if state:
        data["deployment_status"] = {"state": state, "target_url": "https://github.com/acme/runs/1"}
    return msgspec.json.encode(data)


def test_a_deployment_of_github_is_started_and_finished_by_signed_webhooks_only(client, made, db):
    given = made("github")

    def send(event: str, body: bytes, signature: str | None) -> int:
        headers = {"x-github-event": event, "x-github-delivery": "1", "content-type": "application/json"}
        if signature is not None:
            headers["x-hub-signature-256"] = signature
        return client.post(f"/in/{given['key']}/github", content=body, headers=headers).status_code

    started, finished = _github(None), _github("success")
    assert send("deployment", started, None) == 401
    assert send("deployment", started, _signed("guessed", started)) == 401
    assert _all(db) == []
    assert send("deployment", started, _signed(given["secret"], started)) == 202
    assert send("deployment_status", finished, _signed(given["secret"], finished)) == 202
    assert send("deployment_status", finished, _signed(given["secret"], finished)) == 409
    [one] = _all(db)
    assert (one.service_name, one.version, one.state, one.author, one.kind) == (
        "payments", "v84", "finished", "alice", "deploy",
    )  # fmt: skip
    form = b"payload=" + quote(_github("inactive")).encode()
    headers = {"x-github-event": "deployment_status", "content-type": "application/x-www-form-urlencoded"}
    headers["x-hub-signature-256"] = _signed(given["secret"], form)
    assert "ends nothing" in client.post(f"/in/{given['key']}/github", content=form, headers=headers).json()["ignored"]
    assert client.post("/in/wbi_unknown/github", content=started).status_code == 401
    assert client.post(f"/in/{given['key']}/gitlab", content=started).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"deployment": 7}', b'{"a":' * 5000])
def test_a_signed_body_that_is_nonsense_ends_in_a_clear_answer(client, made, body):
    given = made("github")
    headers = {"x-github-event": "deployment", "x-hub-signature-256": _signed(given["secret"], body)}
    answer = client.post(f"/in/{given['key']}/github", content=body, headers=headers)
    assert answer.status_code in (202, 400)
    assert answer.json().get("ignored") or answer.json()["error"]["message"]


def test_gitlab_is_known_by_its_token_or_by_a_fresh_signature(client, made, db):
    given = made("gitlab")
    data = {
        "object_kind": "deployment", "status": "running", "deployment_id": 15, "environment": "prod/eu",
        "environment_tier": "production", "status_changed_at": "2026-04-28 21:50:00 +0200",
        "project": {"id": 30, "name": "payments"}, "short_sha": "279484c0", "user": {"username": "bob"},
    }  # fmt: skip
    url, body = f"/in/{given['key']}/gitlab", msgspec.json.encode(data)
    assert client.post(url, content=body, headers={"x-gitlab-token": "wrong"}).status_code == 401
    assert client.post(url, content=body, headers={"x-gitlab-token": given["secret"]}).status_code == 202
    done = msgspec.json.encode({**data, "status": "success", "status_changed_at": "2026-04-28 21:52:00 +0200"})

    def signed(at: int) -> dict[str, str]:
        digest = hmac.new(given["secret"].encode(), f"m1.{at}.".encode() + done, hashlib.sha256).digest()
        return {
            "webhook-id": "m1",
            "webhook-timestamp": str(at),
            "webhook-signature": "v1,x v1," + base64.b64encode(digest).decode(),
        }

    assert client.post(url, content=done, headers=signed(int(time.time()) - 3600)).status_code == 401
    assert client.post(url, content=done, headers=signed(int(time.time()))).status_code == 202
    [one] = _all(db)
    assert (one.environment, one.state, one.version) == ("production", "finished", "279484c0")
    assert (one.last_at - one.started_at).total_seconds() == 120


def test_argo_cd_and_flux_tell_of_what_they_rolled_out(client, made, db):
    argo = made("argocd", None)
    body = msgspec.json.encode({"app": "ghost", "phase": "Succeeded", "revision": "abc", "startedAt": "x"})
    url = f"/in/{argo['key']}/argocd"
    assert client.post(url, content=body).status_code == 401
    headers = {"authorization": f"Bearer {argo['secret']}"}
    assert client.post(url, content=body, headers=headers).status_code == 202
    [one] = _all(db)
    assert (one.service_name, one.service_id, one.state) == ("ghost", None, "finished")

    flux = made("flux")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {
        "involvedObject": {"kind": "HelmRelease", "name": "pay", "namespace": "apps"}, "severity": "error",
        "timestamp": stamp, "reason": "UpgradeFailed", "message": "timed out",
        "metadata": {"helm.toolkit.fluxcd.io/revision": "1.2.3"},
    }  # fmt: skip
    for changed, status in (({}, 202), ({"timestamp": "2020-01-01T00:00:00Z"}, 401)):
        body = msgspec.json.encode({**event, **changed})
        headers = {"x-signature": _signed(flux["secret"], body)}
        assert client.post(f"/in/{flux['key']}/flux", content=body, headers=headers).status_code == status
    [one] = [each for each in _all(db) if each.service_name == "payments"]
    assert (one.service_name, one.state, one.version, one.note) == ("payments", "failed", "1.2.3", "timed out")


def test_cdevents_come_structured_and_binary_and_twice_is_once(client, made, db):
    given = made("cdevents", None)
    cdevent = {
        "context": {"id": "7", "source": "/ci", "type": "dev.cdevents.service.upgraded.0.2.0"},
        "subject": {
            "id": "payments",
            "content": {"environment": {"id": "prod"}, "artifactId": "pkg:oci/pay@sha256%3Aab?tag=1.4.0"},
        },
    }
    attributes = {"specversion": "1.0", **cdevent["context"]}
    structured = msgspec.json.encode({**attributes, "data": cdevent})
    url = f"/in/{given['key']}/cdevents"
    kind = {"content-type": "application/cloudevents+json"}
    assert client.post(url, content=structured, headers=kind).status_code == 202
    binary = {f"ce-{name}": value for name, value in attributes.items()}
    answer = client.post(url, content=msgspec.json.encode(cdevent), headers=binary)
    assert answer.json()["changes"][0]["outcome"] == "unchanged"
    [one] = _all(db)
    assert (one.version, one.environment, one.state) == ("1.4.0", "production", "finished")
    assert client.post(url, content=b"{}", headers=kind).status_code == 400
    batch = {"content-type": "application/cloudevents-batch+json"}
    again = msgspec.json.encode([{**attributes, "data": cdevent}, {**attributes, "id": "8", "data": cdevent}])
    assert [one["outcome"] for one in client.post(url, content=again, headers=batch).json()["changes"]] == [
        "unchanged", "finished",
    ]  # fmt: skip
    assert client.post(url, content=b'[{"id": 1}]', headers=batch).status_code == 400


def test_pagerduty_change_events_are_taken_as_pagerduty_takes_them(client, made, db):
    given = made("pagerduty")
    event = {
        "routing_key": given["key"],
        "payload": {"summary": "Build 84 deployed", "source": "ci", "custom_details": {"version": "84"}},
        "links": [{"href": "https://ci.example/84", "text": "Run"}],
    }
    answer = client.post("/v2/change/enqueue", json=event)
    assert (answer.status_code, answer.json()["status"]) == (202, "success")
    bad = client.post("/v2/change/enqueue", json={**event, "payload": {}})
    assert (bad.status_code, bad.json()["errors"]) == (400, ["payload.summary is required"])
    assert client.post("/v2/change/enqueue", json={"payload": {}}).status_code == 400
    [one] = _all(db)
    assert (one.title, one.version, one.service_name, one.links[0].title) == (
        "Build 84 deployed", "84", "payments", "Run",
    )  # fmt: skip


@pytest.fixture
def github(client, made):
    """``github("event", {...})`` is a signed delivery of GitHub's; returns the answer's body."""
    given = made("github")

    def send(event: str, data: dict) -> dict:
        body = msgspec.json.encode({"repository": {"name": "payments"}, **data})
        headers = {"x-github-event": event, "x-hub-signature-256": _signed(given["secret"], body)}
        answer = client.post(f"/in/{given['key']}/github", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    return send


SHA = "ffac537e6cbbf934b08745a378932722df287a53"


def _stamp(minutes: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes))


def test_a_deployment_that_waited_begins_when_it_was_approved_and_knows_by_whom(client, github, db):
    deployment = {"id": 9, "sha": SHA, "ref": "main", "environment": "production", "created_at": _stamp(-40)}
    github("deployment", {"deployment": deployment})
    waiting = {"state": "waiting", "updated_at": _stamp(-40)}
    github("deployment_status", {"deployment": deployment, "deployment_status": waiting})
    review = {
        "action": "approved", "approver": {"login": "dana"}, "since": _stamp(-20),
        "workflow_run": {"id": 77, "run_attempt": 1, "head_sha": SHA},
        "workflow_job_runs": [{"environment": "production"}, {"environment": "staging"}],
    }  # fmt: skip
    assert "nobody told yet" in github("deployment_review", review)["ignored"], "there is none in staging"
    in_progress = {"state": "in_progress", "updated_at": _stamp(-10)}
    github("deployment_status", {"deployment": deployment, "deployment_status": in_progress})
    [one] = _all(db)
    assert (one.approver, one.state) == ("dana", "started")
    assert 500 < time.time() - one.started_at.timestamp() < 700, "ten minutes ago, not forty"


def test_a_deploy_that_its_workflow_its_deployment_and_its_pipeline_tell_is_one(client, token, github, db):
    """deploy.once"""

    def run(action: str, id: int = 77) -> None:
        shown = {"id": id, "run_attempt": 1, "name": "Deploy", "head_sha": SHA, "conclusion": "success",
                 "run_started_at": _stamp(-9), "updated_at": _stamp(-3)}  # fmt: skip
        github("workflow_run", {"action": action, "workflow_run": shown})

    deployment = {"id": 9, "sha": SHA, "environment": "production", "created_at": _stamp(-8)}
    mine = {"service": "payments", "version": SHA, "author": "alice"}
    run("requested")
    github("deployment", {"deployment": deployment})
    headers = token("responder")
    for step in ("start", "finish"):
        assert client.post(f"/api/v1/changes/{step}", json=mine, headers=headers).status_code == 200
    done = {"state": "success", "updated_at": _stamp(-4)}
    github("deployment_status", {"deployment": deployment, "deployment_status": done})
    run("completed")
    [one] = _all(db)
    assert (one.state, one.author) == ("finished", "alice")
    run("requested", id=78)  # the same version once more, by the same sender under another name
    run("completed", id=78)
    assert [each.state for each in _all(db)] == ["finished", "finished"]


def test_a_helm_rollback_of_flux_is_a_change_of_its_own_and_undoes_the_upgrade(client, made, db):
    flux = made("flux")

    def send(reason: str, revision: str, minutes: float, **more: str) -> None:
        told = {"revision": revision, **more}
        event = {
            "involvedObject": {"kind": "HelmRelease", "name": "pay", "namespace": "apps"},
            "severity": "error" if "Failed" in reason else "info", "timestamp": _stamp(minutes), "reason": reason,
            "metadata": {f"helm.toolkit.fluxcd.io/{key}": value for key, value in told.items()},
        }  # fmt: skip
        body = msgspec.json.encode(event)
        headers = {"x-signature": _signed(flux["secret"], body)}
        assert client.post(f"/in/{flux['key']}/flux", content=body, headers=headers).status_code == 202

    send("UpgradeSucceeded", "1.2.3", -50, token="sha256:a")
    send("TestSucceeded", "1.2.3", -49, token="sha256:a")
    send("UpgradeSucceeded", "1.2.3", -40, token="sha256:b")  # other values, the same chart
    send("UpgradeFailed", "1.3.0", -30, token="sha256:b")
    send("RollbackSucceeded", "1.2.3", -29, token="sha256:b")
    assert [(each.kind, each.version, each.state) for each in reversed(_all(db))] == [
        ("deploy", "1.2.3", "finished"),
        ("deploy", "1.2.3", "finished"),
        ("deploy", "1.3.0", "failed"),
        ("rollback", "1.2.3", "finished"),
    ]


def test_a_rollback_that_a_pipeline_carries_out_is_one_change_and_marks_what_it_undid(made, github, db):
    def deployed(id: int, sha: str, minutes: float) -> None:
        deployment = {"id": id, "sha": sha, "environment": "production", "created_at": _stamp(minutes)}
        github("deployment", {"deployment": deployment})
        done = {"state": "success", "updated_at": _stamp(minutes + 2)}
        github("deployment_status", {"deployment": deployment, "deployment_status": done})

    old, bad = "a" * 40, "b" * 40
    for id, (sha, minutes) in enumerate(((old, -300), (bad, -60), (old, -10))):
        deployed(id, sha, minutes)
    with db.transaction() as tx:
        undo = changes.record_change(
            tx,
            report=changes.ChangeReport(
                service="payments", state="finished", kind="rollback", external_id="rollback:1", version=old[:12],
                previous_version=bad[:12],
            ),
            integration_id=alerts.builtin_integration(tx, name="rollback").id,
            source="rollback",
            actor=ledger.system("test"),
        )  # fmt: skip
    assert [(each.kind, each.version, each.state) for each in reversed(_all(db))] == [
        ("deploy", old[:12], "finished"),
        ("deploy", bad[:12], "rolled_back"),
        ("rollback", old[:12], "finished"),
    ]
    assert undo.change.source == "github"
