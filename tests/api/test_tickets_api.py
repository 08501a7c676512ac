"""Where a team's tickets go, and the test of the setting, over HTTP and by command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.trackers_api import FakeTrackers, connections_of, fake_trackers
from watchbill.features import slo
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

Token = Callable[..., dict[str, str]]
TEAM = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org], fallback: true%s}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec: {owner: payments}
"""


def apply(db: Database, more: str = "") -> None:
    with db.transaction() as tx:
        files = [File(path="team.yaml", text=TEAM % more)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeTrackers]:
    with fake_trackers() as fake:
        yield fake


@pytest.fixture
def settings(database_url: str, tmp_path: Path, fake: FakeTrackers, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FAKE_TOKEN", "the-token")
    file = tmp_path / "tickets.yaml"
    file.write_text(connections_of(fake.url))
    return Settings(home=tmp_path, database_url=database_url, secret_key="k" * 40, tickets_file=file)


def test_the_setting_is_shown_and_tried_without_making_anything_unless_asked(
    client: TestClient[Litestar], token: Token, db: Database, fake: FakeTrackers
) -> None:
    apply(db)
    admin, viewer = token("admin"), token("viewer")
    shown = client.get("/api/v1/teams/payments/tickets", headers=viewer).json()
    assert shown["place"] is None
    assert "tickets: {github" in shown["hint"]
    refused = client.post("/api/v1/teams/payments/tickets/test", json={}, headers=admin)
    assert (refused.status_code, "no_tickets" in refused.text) == (409, True)

    apply(db, ", tickets: {jira: {project: PAY, issueType: Story}}")
    assert client.get("/api/v1/teams/payments/tickets", headers=viewer).json()["place"]["project"] == "PAY"
    assert client.post("/api/v1/teams/payments/tickets/test", json={}, headers=viewer).status_code == 403
    tested = client.post("/api/v1/teams/payments/tickets/test", json={}, headers=admin).json()
    assert (tested["ok"], tested["said"]) == (False, "PAY has no issue type 'Story'; it has Task, Bug")
    assert fake.issues == []

    apply(db, ", tickets: {github: {repository: acme/payments}}")
    made = client.post("/api/v1/teams/payments/tickets/test", json={"create": True}, headers=admin).json()
    assert (made["ok"], made["said"]) == (True, "made, commented and closed")
    assert made["url"] == f"{fake.url}/acme/payments/issues/1"
    assert [one["open"] for one in fake.issues] == [False]
    fake.answers = [("GET", "/repos", 404, {}, {"message": "Not Found"})]
    lost = client.post("/api/v1/teams/payments/tickets/test", json={}, headers=admin).json()
    assert (lost["ok"], lost["said"]) == (False, "GitHub answered 404: Not Found")


def test_the_status_names_sources_that_nobody_owns_or_that_are_down(
    client: TestClient[Litestar], token: Token, db: Database, settings: Settings
) -> None:
    apply(db)
    with db.transaction() as tx:
        slo.note_source(tx, name=slo.OTLP, answered=False, error="no service sends spans any more")
    said = client.get("/api/v1/status", headers=token("admin")).json()["warnings"]
    found = {one["code"]: one["message"] for one in said if one["code"].startswith("slo.")}
    assert found["slo.source_down"].startswith("OpenTelemetry has not answered since ")
    assert found["slo.source_unowned"].startswith("nobody owns OpenTelemetry")
    assert "ClickHouse" not in found["slo.source_unowned"]
    with db.transaction() as tx:
        grown = slo.source_problems(tx, embedded=False)
    assert sum(one.code == "slo.source_unowned" for one in grown) == 2
    assert msgspec.json.encode(grown)
