"""SLOs over HTTP and on the terminal, from what the evaluator wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
import yaml

from tests.journeys.stage import ACTOR, Stage
from tests.journeys.test_slo_burn import Counts
from watchbill.cli import slo as slo_cli
from watchbill.cli.output import emit
from watchbill.features import catalog, slo
from watchbill.features.catalog.actions import write_services
from watchbill.features.slo.evaluator import Evaluator
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.ids import new_id
from watchbill.runtime.db import Database
from watchbill.web.badges import draw


@pytest.fixture
def burning(database_url: str) -> UUID:
    """payments · charge card burns: half of the requests of the last ten minutes failed."""
    now = datetime.now(UTC)
    db = Database(database_url, clock=VirtualClock(now))
    stage, counts, service_id = Stage(db, db.clock), Counts(), new_id()  # type: ignore[arg-type]
    stage.team("payments", "alice", "bob")
    stage.team("storefront", "charlie")
    with db.transaction() as tx:
        write_services(
            tx,
            writes=[
                catalog.ServiceWrite(
                    id=service_id,
                    name="payments",
                    title="Payments",
                    former_names=[],
                    telemetry_name="payments",
                    team_id=stage.teams["payments"],
                    tier=1,
                    source="test",
                    spec={},
                    spec_hash="",
                    operations=[catalog.OperationWrite(name="charge card", match={}, environment="production")],
                    depends_on=[],
                    added=True,
                )
            ],
            actor=ACTOR,
        )
        [operation] = catalog.operations(tx, service_ids=[service_id])
        objective = {"operation_id": operation.id, "service_id": service_id, "window": timedelta(days=30)}
        slo.sync_objectives(
            tx,
            service_id=service_id,
            objectives=[
                slo.ObjectiveSpec(name="availability", target=Decimal("99.90"), **objective),
                slo.ObjectiveSpec(
                    name="latency", target=Decimal(90), threshold=timedelta(milliseconds=300), **objective
                ),
            ],
            actor=ACTOR,
        )
    for minutes in range(120):
        at = now - timedelta(minutes=minutes)
        counts.add((operation.id, "availability"), at, good=50 if minutes < 10 else 100, total=100)
        counts.add((operation.id, "latency"), at, good=100, total=100)
    Evaluator(db=db, source=counts, slice_seconds=60, base_url="http://watchbill.test").evaluate_once()
    db.dispose()
    return operation.id


def test_the_list_has_the_worst_first_and_exact_targets(client, token, burning):
    found = client.get("/api/v1/slos", headers=token("viewer")).json()
    assert [(item["name"], item["state"], item["tier"]) for item in found["slos"]] == [
        ("availability", "firing", "page"),
        ("latency", "ok", None),
    ]
    assert found["slos"][0]["target"] == "99.90"
    assert Decimal(found["slos"][0]["budget_remaining"]) < 0
    assert found["observer_note"] is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("team=payments", ["availability", "latency"]),
        ("team=storefront", []),
        ("service=payments&state=ok", ["latency"]),
        ("state=firing", ["availability"]),
    ],
)
def test_the_list_is_filtered(client, token, burning, query, names):
    found = client.get(f"/api/v1/slos?{query}", headers=token("viewer")).json()
    assert [item["name"] for item in found["slos"]] == names


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/v1/slos?team=nobody", 404, "team"),
        ("/api/v1/slos?service=nothing", 404, "service"),
        ("/api/v1/slos?state=burning", 400, "state"),
        ("/api/v1/slos/00000000-0000-7000-8000-000000000000", 404, None),
    ],
)
def test_what_is_not_there_is_said_with_a_hint(client, token, path, status, field):
    answer = client.get(path, headers=token("viewer"))
    assert answer.status_code == status
    assert answer.json()["error"].get("field") == field
    assert answer.json()["error"]["hint"]


def test_one_slo_has_its_windows_those_left_out_its_history_and_a_series(client, token, burning):
    headers = token("viewer")
    listed = client.get("/api/v1/slos", headers=headers).json()["slos"]
    page = client.get(f"/api/v1/slos/{listed[0]['id']}", headers=headers).json()
    assert [window["factor"] for window in page["windows"]] == [14.4, 6, 3, 1]
    assert page["windows"][0]["over_short"]
    assert [promise["target"] for promise in page["history"]] == ["99.90"]
    assert sum(point["bad"] for point in page["series"]) > 0
    assert len(page["series"]) <= 500
    latency = client.get(f"/api/v1/slos/{listed[1]['id']}", headers=headers).json()
    assert "even a total outage" in latency["dropped"][0]["reason"]


def test_the_terminal_shows_states_budget_bars_and_why(client, token, burning, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    headers = token("viewer")
    listed = client.get("/api/v1/slos", headers=headers).json()
    emit(listed, json=False, table=slo_cli._board)
    board = capsys.readouterr().out
    assert "firing page" in board
    assert "████████ 100.0 %" in board
    emit(
        client.get(f"/api/v1/slos/{listed['slos'][0]['id']}", headers=headers).json(), json=False, table=slo_cli._page
    )
    page = capsys.readouterr().out
    assert "If failures stopped now" in page
    assert "5m / 1h" in page


def test_the_report_of_a_period_says_what_was_kept_as_json_and_as_csv(client, token, burning):
    headers = token("viewer")
    now = datetime.now(UTC)
    period = {"from": (now - timedelta(hours=4)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    report = client.get("/api/v1/slos/report", headers=headers, params=period).json()
    assert (report["kept"], report["broken"], report["without_events"]) == (1, 1, 0)
    worst = report["slos"][0]
    assert (worst["name"], worst["kept"], worst["target"]) == ("availability", False, "99.90")
    assert 0 < worst["bad"] <= 500, "an hour or two of the series are written so far"
    assert float(worst["achieved"]) == pytest.approx(100 * (1 - worst["bad"] / worst["total"]), abs=1e-5)
    assert float(worst["spent"]) == pytest.approx(1000 * worst["bad"] / worst["total"], abs=1e-4)
    text = client.get("/api/v1/slos/report", headers=headers, params={**period, "format": "csv", "team": "payments"})
    assert text.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[4] for line in text.text.splitlines()] == ["name", "availability", "latency"]
    backwards = {"from": period["to"], "to": period["from"]}
    assert client.get("/api/v1/slos/report", headers=headers, params=backwards).status_code == 400


def test_a_badge_shows_the_state_to_whoever_has_its_address(client, token, burning, db):
    listed = client.get("/api/v1/slos", headers=token("viewer")).json()["slos"]
    made = client.get(f"/api/v1/slos/{listed[0]['id']}/badge", headers=token("viewer", "another")).json()
    assert made["url"].endswith(".svg")
    assert made["url"] in made["markdown"]
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=UUID(listed[0]["id"])).view
    picture = draw(msgspec.structs.replace(view, operation="<script>"))
    assert "burning" in picture
    assert "<script>" not in picture


def test_the_objectives_are_given_as_prometheus_rules_with_the_series_one_has(client, token, burning):
    answer = client.get(
        "/api/v1/slos/rules", headers=token("viewer"), params={"team": "payments", "selector": 'job="shop/{service}"'}
    )
    groups = yaml.safe_load(answer.text)["groups"]
    assert len(groups) == 2
    assert 'job="shop/payments"' in groups[0]["rules"][0]["expr"]
