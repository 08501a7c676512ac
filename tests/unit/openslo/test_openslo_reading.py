"""OpenSLO, Sloth and Pyrra: what is read, what is refused and where."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from watchbill.manifest import File
from watchbill.manifest.openslo import Reading, read, write
from watchbill.manifest.openslo.spec import Span

FIXTURES = Path("/work/shared/fixtures/slo")

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(r{code="200"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: sum(r)}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999999}]
"""

COMPOSITE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: journey}
spec:
  service: shop
  timeWindow: [{duration: 1Q, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}]
  budgetingMethod: RatioTimeslices
  alertPolicies: [fast]
  objectives:
  - {indicatorRef: search, target: 0.99, timeSliceWindow: 5, compositeWeight: 2}
  - {indicatorRef: pay, targetPercent: 99.5, timeSliceWindow: 5m}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: search}
spec:
  ratioMetric:
    bad: {metricSource: {metricSourceRef: prom, spec: {query: a}}}
    total: {metricSource: {metricSourceRef: prom, spec: {query: b}}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: pay}
spec:
  ratioMetric: {rawType: failure, raw: {metricSource: {metricSourceRef: prom, spec: {query: c}}}}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {url: https://prometheus.example.org}}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast}
spec:
  conditions: [{conditionRef: fast-burn}]
  notificationTargets: [{targetRef: team}]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast-burn}
spec:
  severity: page
  condition: {kind: burnrate, op: lte, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: team}
spec: {target: email}
"""


def reading(*texts: str) -> Reading:
    return read([File(path=f"{index}.yaml", text=text, named=True) for index, text in enumerate(texts)])


def codes(found: Reading, severity: str = "error") -> list[str]:
    return [problem.code for problem in found.problems if problem.severity == severity]


def test_an_slo_is_read_with_its_exact_target() -> None:
    found = reading(SLO)
    assert not found.problems
    (slo,) = (one.spec for one in found.slos)
    assert (slo.service, slo.window.span, slo.goals[0].target) == ("shop", Span(28, "d"), Decimal("0.999999"))
    assert slo.indicator is not None
    assert slo.indicator.counter
    assert slo.indicator.good is not None
    assert slo.indicator.good.text == 'sum(r{code="200"})'


def test_references_are_followed_through_every_kind_and_a_composite_keeps_its_weights() -> None:
    found = reading(COMPOSITE)
    assert not codes(found)
    (slo,) = (one.spec for one in found.slos)
    assert slo.composite
    assert slo.window.zone == "Europe/Berlin"
    assert str(slo.window.span) == "1Q"
    assert [(goal.weight, goal.target, goal.slice_length) for goal in slo.goals] == [
        (Decimal(2), Decimal("0.99"), Span(5, "m")),
        (None, Decimal("0.995"), Span(5, "m")),
    ]
    assert [goal.indicator.name for goal in slo.goals if goal.indicator] == ["search", "pay"]
    assert slo.goals[0].indicator is not None
    assert slo.goals[0].indicator.bad is not None
    assert slo.goals[0].indicator.bad.kind == "Prometheus"
    assert [(one.tier, one.burn, one.long) for one in slo.alerts] == [("page", Decimal("14.4"), Span(1, "h"))]
    assert slo.tell == ["team"]
    assert codes(found, "warning") == ["openslo.slices", "openslo.op"]


def test_a_list_of_documents_is_read_like_many_documents() -> None:
    listed = "\n".join(f"- {line}" if number == 0 else f"  {line}" for number, line in enumerate(SLO.splitlines()))
    found = reading(listed + "\n" + listed.replace("checkout", "pay").replace("0.999999", "2"))
    assert [one.spec.name for one in found.slos] == ["checkout"]
    (problem,) = found.problems
    assert problem.place == "0.yaml:30:27"
    assert problem.field == "spec.objectives[0].target"


@pytest.mark.parametrize(
    ("change", "code", "place", "mend"),
    [
        (("kind: SLO", "kind: Slo"), "openslo.kind", "2:7", "did you mean 'SLO'?"),
        (("  service: shop", "  servise: shop"), "openslo.unknown_key", "5:3", "did you mean 'service'?"),
        (("target: 0.999999", "target: 1"), "openslo.target", "15:25", "1 (100 %) leaves no budget: write 0.999"),
        (("target: 0.999999", "target: 99.9"), "openslo.target", "15:25", "a percent goes into targetPercent: 99.9"),
        (("target: 0.999999", "target: 0.9, targetPercent: 90"), "openslo.target", "15:16", "write one of them"),
        (("target: 0.999999", "displayName: x"), "openslo.target", "15:16", "write one of them"),
        (("28d, isRolling: true", "4 weeks, isRolling: true"), "openslo.type", "13:27", "a duration such as"),
        (("isRolling: true", "isRolling: false"), "openslo.window", "13:16", "add calendar"),
        (("Occurrences", "Timeslices"), "openslo.slices", "15:16", "add timeSliceWindow: 1m"),
        (("Occurrences", "Occurences"), "openslo.type", "14:20", "did you mean 'Occurrences'?"),
        (("good:", "raw:"), "openslo.sli", "11:14", "keep raw, or the counts"),
        (("type: Prometheus, spec: {query: sum(r)}", "spec: {query: sum(r)}"), "openslo.missing", "12:31", "add type"),
        (
            ("28d, isRolling: true", "1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Berlin}"),
            "openslo.window",
            "13:84",
            "an IANA name",
        ),
        (
            ("28d, isRolling: true", "1m, calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}"),
            "openslo.window",
            "13:27",
            "1m is a minute, 1M a month",
        ),
        (("  timeWindow", "  indicatorRef: x\n  timeWindow"), "openslo.conflict", "13:17", "keep"),
        (("openslo/v1", "openslo/v3"), "openslo.version", "1:13", "known: openslo/v1"),
    ],
)
def test_every_mistake_is_told_with_its_place_and_its_mend(
    change: tuple[str, str], code: str, place: str, mend: str
) -> None:
    assert change[0] in SLO
    found = reading(SLO.replace(*change))
    errors = [problem for problem in found.problems if problem.severity == "error"]
    assert not found.slos
    assert errors, found.problems
    assert (errors[0].code, errors[0].place) == (code, f"0.yaml:{place}")
    assert mend in (errors[0].hint or "")


def test_a_reference_to_nothing_is_an_error_at_the_reference() -> None:
    found = reading(COMPOSITE.replace("indicatorRef: pay", "indicatorRef: pey"))
    (problem,) = (each for each in found.problems if each.severity == "error")
    assert (problem.code, problem.hint) == ("openslo.reference", "did you mean 'pay'?")
    assert problem.field == "spec.objectives[1].indicatorRef"


def test_v2alpha_is_read_with_its_own_keys_and_what_it_does_not_know_is_lint() -> None:
    found = reading("""\
apiVersion: openslo.com/v2alpha
kind: SLO
metadata: {name: foo}
spec:
  serviceRef: foo
  colour: green
  sli:
    metadata: {name: foo-error}
    spec:
      ratioMetric:
        counter: true
        good: {dataSourceRef: dd, spec: {query: good}}
        total: {dataSourceSpec: {type: Prometheus}, spec: {query: total}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.98, labels: {a: b}}]
---
apiVersion: openslo.com/v2alpha
kind: DataSource
metadata: {name: dd}
spec: {type: Datadog}
""")
    (slo,) = (one.spec for one in found.slos)
    assert slo.service == "foo"
    assert slo.indicator is not None
    assert slo.indicator.good is not None
    assert slo.indicator.good.kind == "Datadog"
    assert [(problem.code, problem.severity) for problem in found.problems] == [("openslo.unknown_key", "warning")]


def test_sloth_files_are_read_with_the_windows_of_their_period() -> None:
    sloth = """\
version: prometheus/v1
service: myservice
labels: {owner: myteam}
slos:
- name: requests-availability
  objective: 99.9
  sli:
    events:
      error_query: sum(rate(http_total{code=~"5.."}[{{.window}}]))
      total_query: sum(rate(http_total[{{.window}}]))
  alerting:
    pageAlert: {labels: {severity: page}}
    ticket_alert: {disable: true}
"""
    windows = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 30d
  page:
    quick: {errorBudgetPercent: 1, shortWindow: 2m, longWindow: 30m}
    slow: {errorBudgetPercent: 2, shortWindow: 15m, longWindow: 3h}
  ticket:
    quick: {errorBudgetPercent: 5, shortWindow: 1h, longWindow: 12h}
    slow: {errorBudgetPercent: 5, shortWindow: 3h, longWindow: 36h}
"""
    found = reading(sloth, windows)
    (slo,) = (one.spec for one in found.slos)
    assert slo.goals[0].target == Decimal("0.999")
    assert [(one.tier, one.burn, str(one.long), str(one.short)) for one in slo.alerts] == [
        ("page", Decimal("14.4"), "30m", "2m"),
        ("page", Decimal("4.8"), "3h", "15m"),
    ]
    (problem,) = found.problems
    assert (problem.severity, problem.hint) == ("warning", "did you mean 'page_alert'?")


def test_pyrra_selectors_become_counts() -> None:
    found = reading("""\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api-latency, labels: {pyrra.dev/team: core, service: api}}
spec:
  target: "99.5"
  window: 2w
  indicator:
    latency:
      success: {metric: 'http_seconds_bucket{job="api",le="1"}'}
      total: {metric: 'http_seconds_count{job="api"} offset 5m'}
      grouping: [route]
""")
    (slo,) = (one.spec for one in found.slos)
    assert (slo.service, str(slo.window.span), slo.goals[0].target) == ("api", "2w", Decimal("0.995"))
    assert slo.indicator is not None
    assert slo.indicator.good is not None
    assert slo.indicator.total is not None
    assert slo.indicator.good.text == 'sum(increase(http_seconds_bucket{job="api",le=~"1([.]0)?"}[$window]))'
    assert slo.indicator.total.text == 'sum(increase(http_seconds_count{job="api"}[$window] offset 5m))'
    assert codes(found, "warning") == ["pyrra.grouping"]


@pytest.mark.skipif(not FIXTURES.exists(), reason="the sample specifications are not here")
def test_the_samples_of_the_projects_are_read_or_refused_as_their_own_tools_do() -> None:
    folder = FIXTURES / "openslo"
    found = {path.name: reading(path.read_text()) for path in sorted(folder.iterdir())}
    assert codes(found["unknown-field.yaml"]) == ["openslo.unknown_key"]
    assert not codes(found["v1.yaml"])
    assert len(found["v1.yaml"].slos) == 1
    assert not codes(found["v1alpha.yaml"])
    assert len(found["v1alpha.yaml"].slos) == 2
    for one in found.values():
        again = reading(write([slo.spec for slo in one.slos])) if one.slos else one
        assert [slo.spec for slo in again.slos] == [slo.spec for slo in one.slos]
    together = reading(*(path.read_text() for path in sorted((FIXTURES / "sloth").iterdir())))
    assert not codes(together)
    assert len(together.slos) == 1
