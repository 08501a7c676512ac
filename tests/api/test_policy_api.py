"""The preview of a page, and a replay of history under other manifests, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.journeys.stage import Stage
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File
from watchbill.manifest.policy import Replay, replay
from watchbill.runtime.db import Database

Token = Callable[..., dict[str, str]]
Client = TestClient[Litestar]

PROPOSED = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  timeZone: Europe/Berlin
  onCall: {rotation: {startsAt: 2026-03-02}}
  members: [{login: alice@example.org, role: lead}, bob@example.org]
  escalation: {hold: {tiers: [3]}, steps: [{notify: [leads, next-on-call]}, {notify: [team]}]}
---
apiVersion: watchbill/v1
kind: Team
metadata: {name: platform}
spec: {fallback: true, members: [dana@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec: {owner: payments, tier: 2}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: reports}
spec: {owner: payments, tier: 3}
"""


@pytest.fixture
def stage(virtual_db: Database) -> Stage:
    clock = virtual_db.clock
    assert isinstance(clock, VirtualClock)
    stage = Stage(virtual_db, clock)
    stage.team("payments", "alice", "bob")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    stage.service("reports", owner="payments", tier=3)
    return stage


def test_a_preview_says_who_would_be_asked_when_and_how(client: Client, token: Token, stage: Stage) -> None:
    viewer = token("viewer")
    seen = client.get("/api/v1/oncall/preview?service=payments", headers=viewer).json()
    asked = [(line["after_seconds"], line["what"], line["people"]) for line in seen["lines"]]
    assert len(asked[0][2]) == 1
    assert [each[0] for each in asked[:3]] == [0, 300, 600]
    assert asked[2][2] == ["alice", "bob"]
    assert seen["lines"][-1]["fallback"]
    assert seen["lines"][0]["sends"][0]["channel"] == "email"
    assert client.get("/api/v1/oncall/preview", headers=viewer).status_code == 400
    assert client.get("/api/v1/oncall/preview?service=nix", headers=viewer).status_code == 404
    past = client.get("/api/v1/oncall/preview?team=payments&at=2020-01-01T00:00:00Z", headers=viewer)
    assert past.status_code == 400


def test_a_replay_names_the_pages_that_would_have_gone_otherwise_and_who_is_asked_more(stage: Stage) -> None:
    stage.fire("a", service="payments")
    stage.wait(timedelta(minutes=3))
    stage.acknowledge("alice")
    stage.resolve("alice")
    stage.clock.move_to(datetime(2026, 3, 7, 2, 0, tzinfo=UTC))
    stage.fire("b", service="reports")
    stage.acknowledge("alice", 2)
    stage.wait(timedelta(minutes=10))
    stage.recover("b")
    stage.wait(timedelta(hours=1))
    found = _replay(stage)
    assert (found.pages, found.same, found.not_described) == (2, 0, 0)
    first, second = found.differences
    assert (first.asked, sorted(first.proposed)) == (["alice@example.org"], ["alice@example.org", "bob@example.org"])
    assert (second.asked, second.proposed) == (["alice@example.org"], [])
    assert second.held_until == datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
    totals = {each.person: (each.pages, each.proposed_pages) for each in found.people}
    assert totals == {"alice@example.org": (2, 1), "bob@example.org": (0, 1)}


def test_under_the_manifests_of_today_history_goes_as_it_went(stage: Stage) -> None:
    stage.fire("a", service="payments")
    stage.wait(timedelta(minutes=7))
    stage.acknowledge("bob")
    stage.wait(timedelta(minutes=34))
    stage.resolve("bob")
    old = next(line for line in PROPOSED.splitlines() if "escalation:" in line)
    text = PROPOSED.replace(f"{old}\n", "")
    found = _replay(stage, text)
    assert (found.pages, found.same, found.differences) == (1, 1, [])


def test_a_replay_is_refused_to_viewers_and_for_manifests_with_errors(client: Client, token: Token) -> None:
    responder = token("responder")
    body: dict[str, Any] = {"files": [{"path": "m.yaml", "text": PROPOSED, "named": True}], "since": "7d"}
    assert client.post("/api/v1/policy/replay", json=body, headers=token("viewer")).status_code == 403
    assert client.post("/api/v1/policy/replay", json=body, headers=responder).json()["pages"] == 0
    body["files"][0]["text"] = "apiVersion: watchbill/v1\nkind: Team\n"
    assert client.post("/api/v1/policy/replay", json=body, headers=responder).status_code == 400
    body["since"] = "2000d"
    assert client.post("/api/v1/policy/replay", json=body, headers=responder).status_code == 400


def _replay(stage: Stage, text: str = PROPOSED) -> Replay:
    with stage.db.transaction() as tx:
        return replay(tx, files=[File(path="m.yaml", text=text, named=True)], since=tx.now - timedelta(days=30))
