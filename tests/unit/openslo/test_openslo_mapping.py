"""What an SLO of another format becomes here: operation, objectives, alerts, and queries that Prometheus takes."""

from __future__ import annotations

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.openslo.test_openslo_reading import COMPOSITE, SLO, reading
from watchbill import manifest
from watchbill.manifest import File, openslo


def objectives(*texts: str) -> list[dict[str, Any]]:
    [operation] = openslo.operations(reading(*texts))
    found: list[dict[str, Any]] = operation.data["objectives"]
    return found


def test_a_ratio_becomes_counts_over_the_window_with_its_exact_percent() -> None:
    [one] = objectives(SLO)
    assert (one["name"], one["target"], one["window"]) == ("availability", Decimal("99.9999"), "28d")
    assert one["prometheus"] == {
        "total": "sum(increase(r[$window]))",
        "good": 'sum(increase(r{code="200"}[$window]))',
    }


def test_a_composite_becomes_its_objectives_and_a_weight_divides_the_limits_of_its_alerts() -> None:
    counted = COMPOSITE.replace("bad: {metric", "counter: true\n    bad: {metric")
    search, pay = objectives(counted)
    assert search["alerts"] == [{"tier": "page", "burn": Decimal("7.2"), "window": "1h"}]
    assert pay["alerts"] == [{"tier": "page", "burn": Decimal("14.4"), "window": "1h"}]
    assert search["calendar"] == {"every": "1Q", "start": "2026-01-01", "timeZone": "Europe/Berlin"}
    assert search["timeSlices"] == {"length": "5m", "weighted": True}
    assert search["prometheus"]["server"] == "prom"
    assert pay["prometheus"]["bad"] == "1e6 * avg(avg_over_time((c)[$window:30s]))"


def test_a_value_against_a_threshold_counts_the_moments_it_holds() -> None:
    text = SLO.replace("Occurrences", "Timeslices").replace(
        "{target: 0.999999}", "{target: 0.99, op: lte, value: 0.3, timeSliceTarget: 0.9, timeSliceWindow: 1m}"
    )
    ratio = text[text.index("      ratioMetric") : text.index("  timeWindow")]
    text = text.replace(ratio, "      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p99}}}\n")
    [one] = objectives(text)
    assert one["prometheus"] == {
        "total": "sum(count_over_time((p99)[$window:30s]))",
        "good": "sum(sum_over_time(((p99) <= bool 0.3)[$window:30s]))",
    }
    assert one["timeSlices"] == {"length": "1m", "target": Decimal(90)}


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (("counter: true", "counter: false"), "openslo.query", "error"),
        (("target: 0.999999", "target: 0"), "openslo.target", "error"),
        (("type: Prometheus", "type: Datadog"), "openslo.source", "warning"),
    ],
)
def test_what_cannot_be_measured_is_said_at_its_objective(change: tuple[str, str], code: str, severity: str) -> None:
    found = reading(SLO.replace(*change))
    made = openslo.operations(found)
    [problem] = found.problems
    assert (problem.code, problem.severity, problem.field) == (code, severity, "spec.objectives[0]")
    assert bool(made) is (severity == "warning")
    assert severity == "error" or made[0].data["objectives"][0]["pushed"] is True


def test_slos_join_the_service_that_is_described_and_describe_one_that_has_an_owner() -> None:
    ours = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice], fallback: true}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: shop}
spec: {owner: payments}
"""
    owned = SLO.replace("name: checkout}", "name: pay, annotations: {watchbill/owner: payments, watchbill/tier: '1'}}")
    files = [
        File(path="watchbill.yaml", text=ours),
        File(path="slo.yaml", text=SLO),
        File(path="pay.yaml", text=owned.replace("service: shop", "service: Pay Desk")),
    ]
    bundle, problems = manifest.validate(files)
    assert [problem for problem in problems if problem.code.startswith("openslo")] == []
    services = {item.name: item for item in bundle.services}
    assert [operation.name for operation in services["shop"].operations] == ["all requests", "checkout"]
    assert services["pay-desk"].manifest.spec.tier == 1
    assert services["pay-desk"].manifest.spec.owner == "payments"


@pytest.mark.parametrize("named", [True, False])
def test_an_slo_of_a_service_that_nobody_owns_stops_an_apply_only_where_its_file_was_named(named: bool) -> None:
    _, problems = manifest.validate([File(path="slo.yaml", text=SLO, named=named)])
    [problem] = problems
    assert (problem.code, problem.place) == ("openslo.owner", "slo.yaml:5:12")
    assert problem.severity == ("error" if named else "warning")


def test_prometheus_understands_every_query_that_is_made(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus`")
    composite = COMPOSITE.replace("bad: {metric", "counter: true\n    bad: {metric")
    native = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: native}
spec:
  target: "99"
  window: 2w
  indicator: {latencyNative: {latency: 200ms, total: {metric: 'h{job="a"}'}}}
---
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: up}
spec: {target: "99", window: 2w, indicator: {boolGauge: {metric: 'up{job="a"}'}}}
"""
    queries = [
        query.replace("$window", "60s")
        for operation in openslo.operations(reading(SLO, composite, native))
        for one in operation.data["objectives"]
        for key, query in one["prometheus"].items()
        if key != "server"
    ]
    assert len(queries) == 10
    rules = [{"record": f"r{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    checked = subprocess.run(
        [tool, "check", "rules", "rules.yml"], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
