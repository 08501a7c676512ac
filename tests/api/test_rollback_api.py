"""Runners, rollbacks, the switch and verdicts through the API, with the real agent and real commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.manifest.applying import Options, apply_files
from watchbill.manifest.bundle import File
from watchbill.runners.agent import Agent, Credentials
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

Client = TestClient[Litestar]
Token = Callable[..., dict[str, str]]


@pytest.fixture
def admin(db: Database, token: Token, tmp_path: Path) -> dict[str, str]:
    """Headers of an administrator; payments can be rolled back by a command that writes what it was told."""
    script = "import os, sys; open(sys.argv[1], 'a').write(os.environ['WATCHBILL_PREVIOUS_VERSION'] + '\\n')"
    manifest = f"""
apiVersion: watchbill/v1
kind: Team
metadata: {{name: payments}}
spec: {{members: [alice@example.org, bob@example.org]}}
---
apiVersion: watchbill/v1
kind: Service
metadata: {{name: payments}}
spec:
  owner: payments
  rollback:
    shell: {{command: [{sys.executable!r}, "-c", {script!r}, "{tmp_path / "told"}"]}}
"""
    with db.transaction() as tx:
        apply_files(
            tx,
            files=[File(path="watchbill.yaml", text=manifest, named=True)],
            options=Options(source="test"),
            actor=ledger.system("test"),
        )
    return token("admin")


def deploy(client: Client, headers: dict[str, str], version: str, previous: str | None = None) -> None:
    body = {"service": "payments", "version": version, "previous_version": previous}
    answer = client.post("/api/v1/changes/finish", json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text


def agent(client: Client, headers: dict[str, str]) -> Agent:
    answer = client.post("/api/v1/runners", json={"name": "one", "team": "payments"}, headers=headers)
    assert answer.status_code == 201, answer.text
    credentials = Credentials(url="http://testserver", name="one", secret=answer.json()["secret"])
    return Agent(credentials, client=client)


def start(client: Client, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/rollbacks", json={"service": "payments", **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_rollback_is_carried_out_by_a_registered_runner(
    client: Client, admin: dict[str, str], tmp_path: Path
) -> None:
    """runner.registered"""
    deploy(client, admin, "v1")
    deploy(client, admin, "v2", "v1")
    runner = agent(client, admin)
    assert runner.work_once() is False
    run = start(client, admin, rehearse=True)
    assert (run["state"], run["previous_version"]) == ("queued", "v1")
    assert runner.work_once() is True
    ended = client.get(f"/api/v1/rollbacks/{run['number']}", headers=admin).json()
    assert (ended["state"], ended["exit_code"], ended["runner"]) == ("succeeded", 0, "one")
    assert (tmp_path / "told").read_text() == "v1\n"
    assert ended["output"].startswith("$ ")
    listed = client.get("/api/v1/runners", headers=admin).json()
    assert [(each["name"], each["team"], each["alive"]) for each in listed] == [("one", "payments", True)]


def test_a_dry_run_does_nothing_and_says_what_it_would_do(
    client: Client, admin: dict[str, str], tmp_path: Path
) -> None:
    deploy(client, admin, "v2", "v1")
    runner = agent(client, admin)
    run = start(client, admin, dry_run=True)
    runner.work_once()
    ended = client.get(f"/api/v1/rollbacks/{run['number']}", headers=admin).json()
    assert ended["state"] == "succeeded"
    assert ended["output"].startswith("would run: ")
    assert not (tmp_path / "told").exists()


def test_two_at_once_a_service_without_a_way_and_a_version_nobody_knows_are_refused(
    client: Client, admin: dict[str, str]
) -> None:
    body = {"service": "payments"}
    nothing = client.post("/api/v1/rollbacks", json=body, headers=admin)
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "no_previous_version")
    deploy(client, admin, "v2", "v1")
    run = start(client, admin)
    again = client.post("/api/v1/rollbacks", json=body, headers=admin)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "busy")
    cancelled = client.post(f"/api/v1/rollbacks/{run['number']}/cancel", json={"why": "a test"}, headers=admin)
    assert cancelled.json()["state"] == "cancelled"
    over = client.post(f"/api/v1/rollbacks/{run['number']}/cancel", json={}, headers=admin)
    assert over.status_code == 409


def test_runners_are_the_administrators_and_their_calls_need_their_own_secret(
    client: Client, admin: dict[str, str], token: Token
) -> None:
    body = {"name": "two", "team": "payments"}
    assert client.post("/api/v1/runners", json=body, headers=token("responder")).status_code == 403
    assert client.post("/api/v1/runner/claim", json={}).status_code == 401
    assert client.post("/api/v1/runner/claim", json={}, headers=admin).status_code == 401
    unknown = client.post("/api/v1/runners", json={**body, "executors": ["telepathy"]}, headers=admin)
    assert unknown.status_code == 400


def test_the_switch_is_off_for_responders_and_on_for_administrators(
    client: Client, admin: dict[str, str], token: Token
) -> None:
    """rollback.breaker"""
    responder = token("responder")
    off = client.put("/api/v1/automation", json={"automation": False, "why": "moving"}, headers=responder)
    assert (off.status_code, off.json()["automation"]) == (200, False)
    on = {"automation": True, "why": "moved"}
    assert client.put("/api/v1/automation", json=on, headers=responder).status_code == 403
    assert client.put("/api/v1/automation", json=on, headers=admin).json()["automation"] is True
    names = [entry["name"] for entry in client.get("/api/v1/ledger", headers=admin).json()]
    assert names[:2] == ["automation.switched_on", "automation.switched_off"]


def test_pushed_samples_are_judged_and_kept(client: Client, admin: dict[str, str]) -> None:
    control = [100.0 + at % 7 for at in range(40)]
    body = {
        "canary": "v2",
        "control": "v1",
        "samples": {"canary": [2 * value for value in control], "control": control},
    }
    answer = client.post("/api/v1/services/payments/verify", json=body, headers=admin)
    assert answer.status_code == 200, answer.text
    assert answer.json()["verdict"]["answer"] == "worse"
    kept = client.get("/api/v1/services/payments/verdicts", headers=admin).json()
    assert [each["verdict"]["answer"] for each in kept] == ["worse"]


def test_without_telemetry_a_verdict_says_who_is_away(client: Client, admin: dict[str, str]) -> None:
    answer = client.post("/api/v1/services/payments/verify", json={"canary": "v2"}, headers=admin)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "observer_away")
