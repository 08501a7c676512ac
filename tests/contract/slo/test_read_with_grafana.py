"""The SQL of the Grafana guide, in the real engine; its dashboard and its data source are what Grafana takes."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.contract.slo.test_given_counts import objective
from watchbill.features.telemetry import TelemetryStore
from watchbill.processes.observer import SloNames
from watchbill.runtime.db import Database

GUIDES = Path(__file__).resolve().parents[3] / "docs" / "guides"
GUIDE = (GUIDES / "read-with-grafana.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((GUIDES / "grafana" / "slo-dashboard.json").read_text(encoding="utf-8"))
QUERIES = [text.strip() for text in re.findall(r"^```sql grafana\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)]
NOW = datetime.fromtimestamp(int(time.time()) // 60 * 60, UTC)


def run(store: TelemetryStore, sql: str) -> list[tuple[Any, ...]]:
    """As the plugin would: its macro and the variables filled in."""
    start, end = (int(at.timestamp()) for at in (NOW - timedelta(hours=6), NOW + timedelta(minutes=1)))
    filled = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 >= toDateTime({start}) AND \1 <= toDateTime({end})", sql)
    filled = filled.replace("$service", "payments").replace("$objective", "availability")
    assert "$" not in filled
    return [tuple(row) for row in store.engine.rows(filled, {})]


def test_the_guides_queries_say_what_the_counts_say(store: TelemetryStore, db: Database) -> None:
    one = objective(db, "pushed: true")
    counted = [(NOW - timedelta(minutes=90 - n), 100.0 - (n % 30 == 0) * 3, 100.0) for n in range(90)]
    store.put_counts(operation_id=one.operation_id, objective=one.name, slice_seconds=60, counts=counted)
    store.put_counts(operation_id=one.operation_id, objective=one.name, slice_seconds=60, counts=counted[:5])
    names = SloNames(db, store, 60)
    names()
    names()
    per_minute, left, burn, services, objectives = (run(store, sql) for sql in QUERIES)
    assert [(good, total) for _, good, total in per_minute] == [(good, total) for _, good, total in counted]
    # 9,000 events at 99.9 % are a budget of 9; 9 were bad: nothing is left
    assert [(*row[:4], row[5]) for row in left] == [("payments", "payments", "charge card", "availability", 0.0)]
    assert len(burn) == 90
    assert burn[-1][1] == 1.0  # 6 bad of 6,000 in the last hour
    assert (services, objectives) == ([("payments",)], [("availability",)])
    with db.transaction() as tx:
        from watchbill.features.slo import store as slos

        tx.execute(slos.slo.update().values(removed_at=tx.now))
    names()
    assert run(store, QUERIES[3]) == []


def test_the_dashboard_uses_the_guides_queries_and_the_data_source_of_its_file() -> None:
    panels = [target["rawSql"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    assert sorted(panels + variables) == sorted(QUERIES)
    [found] = re.findall(r"^```yaml datasource\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    [source] = yaml.safe_load(found)["datasources"]
    used = {(p["datasource"]["type"], p["datasource"]["uid"]) for p in DASHBOARD["panels"]}
    assert used == {(source["type"], source["uid"])}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
