"""Rules that Prometheus itself accepts, and that say what the objective says."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import yaml

from watchbill.features.slo.model import AlertWindow, Calendar, Measure, PushedSource, Slo
from watchbill.features.slo.rules import prometheus_rules

AT = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = {"service": "payments", "telemetry": "payments", "operation": 'charge "the" card', "team": "payments"}
TEST = """
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: '{series}, http_response_status_code="200"}}'
        values: '0+{good}x90'
      - series: '{series}, http_response_status_code="500"}}'
        values: '0+{bad}x90'
    alert_rule_test:
      - eval_time: 80m
        alertname: ErrorBudgetBurnPage
        exp_alerts: {expected}
"""


SERIES = (
    'http_server_request_duration_seconds_count{service_name="payments", http_request_method="POST",'
    ' http_route="/charge"'
)


def slo(number: int, *, target: str = "99.9", threshold_ms: int | None = None, window_seconds: int = 2_592_000) -> Slo:
    return Slo(
        id=UUID(int=number),
        operation_id=UUID(int=100 + number),
        service_id=UUID(int=1),
        name="latency" if threshold_ms else "availability",
        target=Decimal(target),
        window_seconds=window_seconds,
        threshold_ms=threshold_ms,
        environment="production",
        created_at=AT,
        changed_at=AT,
        removed_at=None,
    )


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus`")
    return subprocess.run([found, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules_of_every_kind_of_objective(tmp_path: Path) -> None:
    text = prometheus_rules(
        [
            (slo(1), NAMES, {"route": "POST /charge"}),
            (slo(2, threshold_ms=1000), NAMES, {"route": "/charge"}),
            (slo(3, target="99.9999", threshold_ms=250), NAMES, {}),
            (slo(4, target="50", window_seconds=86_400), NAMES, {}),
            (slo(5), NAMES, {"spanName": "charge"}),
        ]
    )
    (tmp_path / "rules.yaml").write_text(text)
    checked = promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert 'left out: payments/charge "the" card/availability' in text
    read: dict[str, Any] = yaml.safe_load(text)
    assert [group["name"] for group in read["groups"]] == [f"watchbill-{UUID(int=n)}" for n in (1, 2, 3, 4)]
    [page] = [rule for rule in read["groups"][0]["rules"] if rule.get("alert") == "ErrorBudgetBurnPage"]
    assert "> 0.0144 " in page["expr"]
    assert 'le=~"1([.]0)?"' in text
    assert 'le=~"0[.]25"' in text
    assert "0.0000144" in text, "99.9999 % loses no digit"


@pytest.mark.parametrize(("good", "bad", "fires"), [(1000, 0, False), (1000, 10, True), (0, 0, False)])
def test_prometheus_fires_exactly_when_the_budget_burns(tmp_path: Path, good: int, bad: int, fires: bool) -> None:
    names = {**NAMES, "operation": "charge card"}
    (tmp_path / "rules.yaml").write_text(prometheus_rules([(slo(1), names, {"route": "POST /charge"})]))
    labels = {
        "watchbill_slo": str(UUID(int=1)),
        "service": "payments",
        "operation": "charge card",
        "slo": "availability",
        "team": "payments",
        "severity": "critical",
        "tier": "page",
    }
    summary = "charge card of payments burns its error budget (99.9 % over 30d)"
    expected = [{"exp_labels": labels, "exp_annotations": {"summary": summary}}] if fires else []
    test = TEST.format(
        series=SERIES,
        good=good,
        bad=bad,
        expected=yaml.safe_dump(expected, default_flow_style=True),
    )
    (tmp_path / "test.yaml").write_text(test)
    done = promtool("test", "rules", "test.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout


def test_what_rules_cannot_say_is_left_out_with_its_reason_and_own_windows_are_written(tmp_path: Path) -> None:
    own = (AlertWindow(tier="page", burn=Decimal(10), long_seconds=1800, short_seconds=600),)
    month = Calendar(amount=1, unit="M", start="2026-01-01T00:00:00", zone="Europe/Berlin")
    text = prometheus_rules(
        [
            (msgspec.structs.replace(slo(number), measure=measure), NAMES, {"route": "POST /charge"})
            for number, measure in enumerate(
                (
                    Measure(alerts=own, calendar=month),
                    Measure(method="timeslices", slice_target=Decimal(95)),
                    Measure(source=PushedSource()),
                    Measure(degraded="bad"),
                ),
                start=1,
            )
        ]
    )
    (tmp_path / "rules.yaml").write_text(text)
    checked = promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr + checked.stdout
    [group] = yaml.safe_load(text)["groups"]
    assert [rule.get("record") for rule in group["rules"]] == [
        "slo:error:ratio_rate10m", "slo:error:ratio_rate30m", None,
    ]
    assert "> 0.01 " in group["rules"][-1]["expr"]
    assert [line.split(": ")[-1][:12] for line in text.splitlines() if line.startswith("# left out")] == [
        "it counts ti", "its counts d", "degraded ans",
    ]
