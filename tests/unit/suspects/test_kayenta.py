"""The judge agrees with Kayenta's own classifier suite, and with small cases of ours where that is not at hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from watchbill.features.suspects.kayenta import Effect, MetricJudgement, MetricRule, classify, prepare, score

SUITE = Path("/work/shared/fixtures/engines/kayenta/classifier_suite.json")


def _cases() -> list[dict[str, Any]]:
    if not SUITE.exists():
        return []
    cases = json.loads(SUITE.read_text())
    return [case for case in cases if "MannWhitney" in case["classifier"] and case["asserts"]]


def _rule(case: dict[str, Any]) -> MetricRule:
    made, call = case["classifier"], case["call"]

    def number(name: str) -> float:
        found = re.search(rf"{name} = ([\d.]+)", made)
        assert found is not None
        return float(found[1])

    def effect(name: str) -> Effect | None:
        found = re.search(rf"{name}\s*=\s*\(([\d.]+), ([\d.]+)\)", made)
        return Effect(measure=measure, decrease=float(found[1]), increase=float(found[2])) if found else None

    measure: Any = "cles" if "cles" in made else "mean ratio"
    direction = re.search(r"MetricDirection\.(\w+)", call)
    assert direction is not None
    return MetricRule(
        direction=direction[1].lower(),  # type: ignore[arg-type]  # one of the three words of a direction
        missing="zero" if "Replace" in call else "remove",
        tolerance=number("tolerance"),
        confidence=number("confLevel"),
        effect=effect("effectSizeThresholds") or Effect(measure=measure),
        critical="isCriticalMetric = true" in call,
        critical_effect=effect("criticalThresholds"),
    )


@pytest.mark.skipif(not SUITE.exists(), reason="the suite's data is not here")
@pytest.mark.parametrize("case", _cases(), ids=lambda case: str(case["name"]))
def test_a_golden_case_of_kayenta_is_judged_the_same(case: dict[str, Any]) -> None:
    found = classify(case["control"], case["experiment"], _rule(case))
    for wanted in case["asserts"]:
        if "classification ==" in wanted:
            assert found.classification.replace(" ", "") == wanted.rsplit("== ")[1].lower(), wanted
        elif wanted.endswith("result.critical"):
            assert found.critical is not wanted.startswith("!"), wanted
        elif "isNaN" in wanted:
            assert math.isnan(found.deviation), wanted
        else:
            assert found.deviation == float(wanted.rsplit("== ")[1]), wanted


@pytest.mark.skipif(not SUITE.exists(), reason="the suite's data is not here")
def test_all_golden_cases_are_looked_at() -> None:
    assert len(_cases()) == 33


CALM = [10.0, 11.0, 9.5, 10.4, 10.8, 9.9, 10.1, 10.6, 9.7, 10.2]
DOUBLED = [20.1, 21.3, 19.4, 20.8, 22.0, 19.9, 20.5, 21.1, 19.8, 20.2]


def test_twice_as_much_is_high_and_the_reason_has_the_numbers() -> None:
    found = classify(CALM, DOUBLED, MetricRule(effect=Effect(increase=1.2)))
    assert found.classification == "high"
    assert found.reason.startswith("high: shifted by 10.2 (")


def test_a_shift_below_the_effect_size_passes() -> None:
    slightly = [value + 1.5 for value in CALM]
    assert classify(CALM, slightly, MetricRule()).classification == "high"
    assert classify(CALM, slightly, MetricRule(effect=Effect(increase=1.2))).classification == "pass"


def test_gaps_are_left_out_or_count_as_zero_as_the_rule_says() -> None:
    gaps = [math.nan, 4.0, math.nan]
    assert prepare(gaps, MetricRule()) == [4.0]
    assert prepare(gaps, MetricRule(missing="zero")) == [0.0, 4.0, 0.0]


def test_an_outlier_far_outside_the_quartiles_is_left_out_of_many_values() -> None:
    values = CALM * 20 + [9000.0]
    kept = prepare(values, MetricRule(outliers="remove"))
    assert max(kept) < 12


def _judged(classification: Any, *, critical: bool = False) -> MetricJudgement:
    return MetricJudgement(classification=classification, reason=classification, deviation=1.0, critical=critical)


def test_groups_without_a_weight_share_what_the_others_leave() -> None:
    metrics = [(("errors",), _judged("high")), (("latency",), _judged("pass")), (("saturation",), _judged("pass"))]
    found = score(metrics, weights={"errors": 50})
    assert (found.score, found.judgement) == (50.0, "marginal")


def test_a_failed_critical_metric_fails_everything() -> None:
    found = score([(("errors",), _judged("high", critical=True)), (("latency",), _judged("pass"))])
    assert (found.score, found.judgement) == (0.0, "fail")


def test_half_without_data_is_a_failure_and_nothing_at_all_is_no_judgement() -> None:
    assert score([(("a",), _judged("pass")), (("b",), _judged("no data"))]).judgement == "fail"
    assert score([(("a",), _judged("no data"))]).judgement == "no data"
