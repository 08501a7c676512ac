"""kill -9 of a runner in the middle of a rollback: a named end, nothing run twice, nothing half done in silence."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.crash.living import Installation, Process, eventually
from watchbill.features import catalog, identity, incidents
from watchbill.manifest import File, Options, apply_files
from watchbill.runners.agent import Credentials, write_credentials
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

MANIFEST = """
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
    shell:
      command: [/bin/sh, -c, 'echo "began $$" >> {told}; test -e {quick} || sleep 60; echo ended >> {told}']
"""


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wb-runner-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_runner_leaves_a_lost_run_and_the_next_is_a_persons_doing(
    db: Database, database_url: str, home: Path
) -> None:
    told, quick = home / "told", home / "quick"
    with db.transaction() as tx:
        files = [File(path="watchbill.yaml", text=MANIFEST.format(told=told, quick=quick))]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        payments = catalog.service_by_name(tx, name="payments")
        assert payments is not None
        _, token = identity.create_token(tx, name="ci", role="admin", actor=ledger.system("test"))
        incident = incidents.open_incident(
            tx,
            title="payments burns",
            severity="sev2",
            environment="production",
            service_id=payments.id,
            team_id=payments.team_id,
            unowned=False,
        )
    watchbill = Installation(database_url=database_url, home=home, smtp_url="smtp://127.0.0.1:9", token=token)
    environment = {
        "WATCHBILL_HOME": str(home),
        "WATCHBILL_DATABASE_URL": database_url,
        "WATCHBILL_SECRET_KEY": "k" * 40,
        "WATCHBILL_HEALTH_PORT": "0",
        "RUNNER_CREDENTIALS": str(home / "runner.json"),
    }
    worker, runner = (Process(name, environment, watchbill.log) for name in ("worker", "runner"))
    try:
        watchbill.server.start()
        worker.start()
        watchbill.await_server()
        secret = watchbill.post("/api/v1/runners", {"name": "one", "team": "payments"}).json["secret"]
        url = f"http://127.0.0.1:{watchbill.port}"
        write_credentials(home / "runner.json", Credentials(url=url, name="one", secret=secret))
        runner.start()
        deployed = watchbill.post("/api/v1/changes/finish", {"service": "payments", "version": "v2"}).json
        change_id = deployed["change"]["id"] if "change" in deployed else deployed["id"]

        def press() -> dict[str, Any]:
            answer = watchbill.post(f"/api/v1/incidents/{incident.number}/rollback", {"change_id": change_id})
            assert answer.status == 201, answer.text
            found: dict[str, Any] = answer.json
            return found

        def seen(number: int) -> dict[str, Any]:
            found: dict[str, Any] = watchbill.get(f"/api/v1/rollbacks/{number}").json
            return found

        first = press()
        eventually(lambda: told.exists() and told.read_text())
        command = int(told.read_text().split()[1])
        runner.kill()
        eventually(lambda: has_ended(command))  # nothing goes on unwatched
        runner.start()
        with db.transaction() as tx:  # the half minute that a dead runner's lease still runs, without waiting for it
            for statement in (
                "UPDATE rollback_run SET lease_until = clock_timestamp() WHERE state = 'running'",
                "UPDATE due_row SET due_at = clock_timestamp() WHERE kind = 'rollback.watch'",
            ):
                tx.execute(sa.text(statement))
        lost = eventually(lambda: seen(first["number"])["over"] and seen(first["number"]))
        assert lost["state"] == "lost"
        assert "whether it took effect is not known" in lost["end_reason"]
        timeline = watchbill.get(f"/api/v1/incidents/{incident.number}").json["timeline"]
        assert "rollback.lost" in [entry["name"] for entry in timeline]
        quick.touch()
        second = press()
        assert second["number"] != first["number"]
        eventually(lambda: seen(second["number"])["finished_at"])
        assert [line.split()[0] for line in told.read_text().splitlines()] == ["began", "began", "ended"]
        assert seen(first["number"])["state"] == "lost"
    finally:
        runner.kill()
        worker.kill()
        watchbill.end()
