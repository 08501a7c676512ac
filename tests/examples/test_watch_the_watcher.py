"""The example alert rules about Watchbill itself are valid, do what they say, and ask for metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

import watchbill.processes.heartbeat  # noqa: F401  its metric
from watchbill.features import alerts, changes
from watchbill.features.paging import SendNotification, page_duties, routing_duties
from watchbill.processes.kubernetes_watch import WatchCollector
from watchbill.runtime import due, metrics
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "examples" / "prometheus"
RULES = FOLDER / "watchbill-alerts.yml"
PAGE = REPOSITORY / "docs" / "operate" / "watch-the-watcher.md"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="the program 'promtool' is not installed (Debian: apt install prometheus)"
)


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    ran = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool("check", "rules", RULES.name)


@needs_promtool
def test_the_rules_fire_when_something_is_wrong_and_only_then() -> None:
    promtool("test", "rules", "watchbill-alerts.test.yml")


def test_every_metric_that_a_rule_asks_for_is_exposed_by_a_process(db: Database) -> None:
    Loop("slo.evaluate", lambda: 0).run_once()
    with db.transaction() as tx:
        due.schedule(tx, kind=alerts.ROUTE, subject="test", due_at=tx.now)
        changes.take_watch(tx, cluster="c1", namespace="", holder="test", lease=uuid4(), lease_for=timedelta(minutes=1))
    collectors = (metrics.BacklogCollector(db), WatchCollector(db))
    for collector in collectors:
        metrics.registry.register(collector)
    try:
        families = list(text_string_to_metric_families(metrics.exposition().decode()))
    finally:
        for collector in collectors:
            metrics.registry.unregister(collector)
    exposed = {sample.name for family in families for sample in family.samples}
    exposed |= {f"{family.name}_total" for family in families if family.type == "counter"}
    asked = set(re.findall(r"\bwatchbill_\w+", "\n".join(expressions())))
    assert asked
    assert asked - exposed == set()


def test_the_rules_about_lag_cover_every_kind_of_work_on_the_way_to_a_person() -> None:
    kinds = {duty.kind for duty in [*routing_duties(settle_for=alerts.HOLD_FOR), *page_duties()]}
    text = "\n".join(expressions())
    matchers = re.findall(r'kind=~?"([^"]+)"', text)
    on_the_way = {kind for kind in kinds if not kind.startswith("alert.")} | {alerts.ROUTE, SendNotification.kind}
    assert [kind for kind in sorted(on_the_way) if not any(re.fullmatch(each, kind) for each in matchers)] == []


def test_the_page_explains_every_rule() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert [name for name in named if f"`{name}`" not in page] == []


def expressions() -> list[str]:
    return re.findall(r"expr: (.+)", RULES.read_text(encoding="utf-8"))
