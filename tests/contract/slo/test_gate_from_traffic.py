"""From OTLP on the wire to the exit code of ``watchbill gate``: the receiver, the engine, the evaluator and the API.

Only the clock is ours, so that an hour passes in a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.contract.telemetry.test_counts import spans
from tests.journeys.stage import Stage
from tests.serving import serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.cli.app import app as watchbill
from watchbill.features import identity
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.otlp import OtlpReceiver
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: payments
  tier: 1
  operations:
    - name: charge card
      match: {route: "POST /charge"}
      objectives: [{name: availability, target: 99, window: 7d}]
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: cart}
spec:
  owner: payments
  tier: 3
  gate: {unknown: closed}
  operations:
    - name: add to cart
      match: {route: "POST /cart"}
      objectives: [{name: availability, target: 99, window: 7d}]
"""
PATHS = {"payments": "/charge", "cart": "/cart"}


class Live:
    """Traffic by OTLP over HTTP, and the gate as a pipeline asks it."""

    def __init__(self, otlp: str, evaluator: Evaluator, clock: VirtualClock) -> None:
        self.otlp, self.evaluator, self.clock = otlp, evaluator, clock
        self.stage = Stage(evaluator.db, clock)

    def minutes(self, number: int, *, failing: float = 0.0, services: tuple[str, ...] = tuple(PATHS)) -> None:
        """Sixty requests a minute to each service; then they are evaluated."""
        body = b""  # messages of Protocol Buffers one behind the other are one message
        for minute in range(number):
            at = self.clock.now() + timedelta(minutes=minute, seconds=5)
            for service in services:
                bad = math.ceil(60 * failing) if service == "payments" else 0
                for count, code in ((60 - bad, 200), (bad, 500)):
                    route = {"http.request.method": "POST", "http.route": PATHS[service]}
                    attributes = {**route, "http.response.status_code": code}
                    name = f"POST {PATHS[service]}"
                    body += spans(count, at=at, service=service, name=name, attributes=attributes) if count else b""
        kind = {"content-type": "application/x-protobuf"}
        assert httpx.post(f"{self.otlp}/v1/traces", content=body, headers=kind).status_code == 200
        self.clock.advance(timedelta(minutes=number))
        self.evaluator.evaluate_once()

    def deploy(self, version: str) -> None:
        """Told by the command, at the clock's time."""
        for verb in ("start", "finish"):
            told = ["deploy", verb, "payments", "--version", version, "--at", self.clock.now().isoformat(), "--json"]
            ran = CliRunner().invoke(watchbill, told)
            assert ran.exit_code == 0, ran.output

    def gate(self, service: str, *options: str) -> tuple[int, dict[str, Any]]:
        ran = CliRunner().invoke(watchbill, ["gate", service, "--json", *options])
        return ran.exit_code, json.loads(ran.stdout)


@pytest.fixture
def live(store: TelemetryStore, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    clock = VirtualClock(datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3))
    db = Database(database_url, clock=clock)
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        _, secret = identity.create_token(tx, name="pipeline", role="responder", actor=ledger.system("test"))
    commit = GroupCommit(store)
    commit.start()
    settings = Settings(home=tmp_path, database_url=database_url, secret_key="k" * 40)
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size, clock=clock))
    receiver = OtlpReceiver(commit, LateSpans())
    evaluator = Evaluator(db=db, source=store, slice_seconds=60, base_url="http://watchbill.test")
    with serving(receiver, lifespan="off") as otlp, serving(create_app(settings=settings, lanes=lanes)) as url:
        monkeypatch.setenv("WATCHBILL_URL", url)
        monkeypatch.setenv("WATCHBILL_TOKEN", secret)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield Live(otlp, evaluator, clock)
    commit.stop()
    lanes.close()
    db.dispose()


def codes(answer: dict[str, Any], effect: str) -> list[str]:
    return [reason["code"] for reason in answer["reasons"] if reason["effect"] == effect]


def test_traffic_that_burns_the_budget_shuts_the_gate_and_what_ends_it_is_said(live: Live, tmp_path: Path) -> None:
    """gate.answers: burn and budget stop a deploy, fixes and rollbacks go, and a healthy neighbour is not frozen."""
    code, answer = live.gate("payments")
    assert (code, answer["answer"], codes(answer, "unknown")) == (2, "unknown", ["stale", "unmeasured"])
    live.minutes(12)
    assert live.gate("payments")[0] == 0, live.gate("payments")
    live.deploy("v83")
    live.minutes(4, failing=0.3)
    code, answer = live.gate("payments", "--version", "v84")
    assert (code, answer["answer"], answer["proceed"]) == (1, "no-go", False)
    assert codes(answer, "stops") == ["burn", "budget"]
    burn, budget = (reason for reason in answer["reasons"] if reason["effect"] == "stops")
    assert "charge card · availability burns its budget at" in burn["says"]
    assert "it goes when the burn stops" in burn["change"]
    assert "-650% of its error budget left; it stops at 0%" in budget["says"]
    assert "the budget comes back as bad minutes leave the window" in budget["change"]
    back_at = datetime.fromisoformat(budget["until_at"])
    assert timedelta(days=6, hours=23) < back_at - live.clock.now() <= timedelta(days=7)
    shown = CliRunner().invoke(watchbill, ["gate", "payments"])
    assert "✗ charge card · availability burns" in shown.stdout
    assert "it goes when the burn stops" in shown.stdout
    assert live.gate("cart")[0] == 0
    assert live.gate("payments", "--fix")[0] == live.gate("payments", "--rollback")[0] == 0
    live.stage.work()  # the burn opens an incident
    live.minutes(40)
    assert codes(live.gate("payments")[1], "stops") == ["budget", "incident"], "nobody has resolved it yet"
    assert CliRunner().invoke(watchbill, ["incident", "resolve", "1", "--json"]).exit_code == 0
    code, answer = live.gate("payments")
    assert (code, codes(answer, "stops")) == (1, ["budget"]), "the burn is over; what was spent is spent"
    live.deploy("v84")  # against its advice
    live.minutes(1)
    live.stage.fire("cards fail", service="payments")
    live.minutes(15)
    past = live.gate("payments", "--dry-run", "--since", "7d")[1]
    assert [(line["version"], line["answer"], line["avoided"]) for line in past["deploys"]] == [
        ("v83", "go", []),
        ("v84", "no-go", [2]),
    ]
    assert (past["stopped"], past["unknown"], past["avoided"]) == (1, 0, [2])
    lenient = tmp_path / "watchbill.yaml"
    lenient.write_text(SHOP.replace("tier: 1", "tier: 1\n  gate: {budgetBelow: never, incidents: never}"))
    tried = live.gate("payments", "--dry-run", "--since", "7d", "--manifest", str(lenient))[1]
    assert [line["answer"] for line in tried["deploys"]] == ["go", "go"]
    assert "error budget left" in past["deploys"][1]["summary"]


def test_the_gate_says_unknown_when_coverage_is_gone_and_the_tier_decides(live: Live) -> None:
    """gate.unknown"""
    live.minutes(12)
    assert live.gate("cart")[0] == 0
    live.minutes(12, services=())
    code, answer = live.gate("cart")
    assert (code, codes(answer, "unknown"), answer["proceed"]) == (2, ["unmeasured"], False)
    assert "send its telemetry; one fresh minute is enough" in answer["reasons"][0]["change"]
    assert live.gate("cart", "--follow-policy")[0] == 1, "its own policy is closed"
    assert live.gate("payments", "--follow-policy")[0] == 0, "its tier's is open"
    live.minutes(4)
    assert live.gate("cart")[0] == 0
    live.clock.advance(timedelta(minutes=10))
    code, answer = live.gate("cart")
    assert (code, codes(answer, "unknown")) == (2, ["stale"])
    assert "The observer is away" in answer["reasons"][0]["says"]
