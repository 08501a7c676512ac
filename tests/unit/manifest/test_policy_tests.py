"""`watchbill policy test`: what a policy does, said beforehand, on the pager's own decisions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from watchbill.cli.app import app
from watchbill.kernel.errors import Invalid
from watchbill.manifest import File, validate
from watchbill.manifest.policy import Rehearsal, Verdict, read_tests, run_test

MANIFESTS = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  timeZone: Europe/Berlin
  members: [alice@example.org, bob@example.org, carol@example.org]
  onCall:
    rotation: {every: 1w, handoff: "Mon 09:00", startsAt: 2026-03-02}
  escalation:
    hold: {tiers: [4]}
    steps:
      - {notify: [on-call], wait: 5m, callEvery: 2m}
      - {notify: [next-on-call, "channel:room"], wait: 5m}
      - {notify: [round-robin], wait: 10m, during: office-hours}
    repeatLast: 0
---
apiVersion: watchbill/v1
kind: Team
metadata: {name: platform}
spec: {fallback: true, members: [dana@example.org, erin@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec: {owner: payments, tier: 2}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: reports}
spec: {owner: payments, tier: 4}
"""
NIGHT = "alert: {service: payments, at: 2026-03-07T03:00, timeZone: Europe/Berlin}"


def run(test: str) -> Verdict:
    bundle, _ = validate([File(path="team.yaml", text=MANIFESTS)])
    text = "policyTests:\n  - name: a test\n" + "".join(f"    {line}\n" for line in test.strip().splitlines())
    (placed,) = read_tests([File(path="tests.yaml", text=text)])
    return run_test(placed, Rehearsal(bundle))


def test_the_primary_is_called_until_the_second_answers() -> None:
    """page.escalating, page.acknowledged"""
    verdict = run(f"""
{NIGHT}
acknowledge: {{after: 5m30s, by: bob@example.org}}
until: 30m
expect:
  - {{after: 0m, notify: [alice@example.org]}}
  - {{after: 2m, notify: [alice@example.org]}}
  - {{after: 4m, notify: [alice@example.org]}}
  - {{after: 5m, notify: [bob@example.org], channels: [room]}}
""")
    assert verdict.passed, verdict.diff


def test_a_held_page_goes_out_on_the_next_working_day_in_the_policys_zone() -> None:
    """page.held, page.zone"""
    verdict = run("""
alert: {service: reports, at: 2026-03-27T18:00, timeZone: Europe/Berlin}
expect:
  - {after: 0m, held: 2026-03-30T09:00}
  - {after: 62h, notify: [bob@example.org]}
""")
    assert verdict.passed, f"the clock goes forward that night: 62 hours, not 63: {verdict.diff}"


def test_out_of_its_hours_a_step_is_skipped_and_the_fallback_is_reached() -> None:
    """page.zone, page.escalating"""
    verdict = run(f"""
{NIGHT}
unreachable: [alice@example.org]
expect:
  - {{after: 0m, skipped: nobody there can be reached}}
  - {{after: 0m, notify: [bob@example.org], channels: [room]}}
  - {{after: 5m, skipped: outside office hours}}
  - {{after: 5m, notify: [dana@example.org, erin@example.org], fallback: true}}
""")
    assert verdict.passed, verdict.diff


def test_an_acknowledgement_expires_and_a_snooze_lasts_as_long_as_it_says() -> None:
    """page.epoch"""
    verdict = run(f"""
{NIGHT}
acknowledge:
  - {{after: 1m, by: alice@example.org}}
  - {{after: 31m30s, by: alice@example.org, for: 2h}}
resolve: 3h
until: 4h
expect:
  - {{after: 0m, notify: [alice@example.org]}}
  - {{after: 31m, again: not resolved}}
  - {{after: 31m, notify: [alice@example.org]}}
  - {{after: 2h31m30s, again: snoozed}}
  - {{after: 2h31m30s, notify: [alice@example.org]}}
""")
    late = [line for line in verdict.diff if not line.startswith("  ")]
    assert not any(line.startswith("- ") for line in late), verdict.diff
    assert all("+2h" in line for line in late), "after the snooze it escalates until it is resolved"


def test_what_is_wrong_with_a_test_is_said_with_its_place() -> None:
    with pytest.raises(Invalid) as wrong:
        run("""
alert: {service: paymnets, at: 2026-03-07T03:00, timeZone: Europe/Berln}
unreachable: [alcie@example.org]
expect:
  - {after: 0m}
""")
    said = {problem.field: (problem.place, problem.hint) for problem in wrong.value.problems}
    assert said["policyTests.0.alert.service"] == ("tests.yaml:3:22", "did you mean 'payments'?")
    assert said["policyTests.0.unreachable.0"][1] == "did you mean 'alice@example.org'?"
    assert {"policyTests.0.alert.timeZone", "policyTests.0.expect.0"} <= set(said)
    with pytest.raises(Invalid) as unread:
        read_tests([File(path="t.yaml", text="policyTests:\n  - {name: x, alrt: {}}\n")])
    assert all(problem.place and problem.place.startswith("t.yaml:2:") for problem in unread.value.problems)


def test_the_command_says_what_differs_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text(MANIFESTS)
    tests = tmp_path / "policy.yaml"
    tests.write_text(
        f"policyTests:\n  - name: wrong\n    {NIGHT}\n    expect: [{{after: 0m, notify: [bob@example.org]}}]\n"
    )
    shown = CliRunner().invoke(app, ["policy", "test", str(tmp_path)])
    assert shown.exit_code == 1
    assert "- +0m notify bob@example.org" in shown.output
    assert "+ +0m notify alice@example.org" in shown.output
    found = json.loads(CliRunner().invoke(app, ["policy", "test", str(tmp_path), "--json"]).output)
    assert (found["passed"], found["failed"]) == (0, 1)
    assert CliRunner().invoke(app, ["policy", "test", str(tmp_path / "team.yaml")]).exit_code == 2


@pytest.mark.parametrize(
    ("escalation", "place", "words"),
    [
        ("{steps: []}", "m.yaml:7:15", "steps"),
        ("{steps: [{notify: []}]}", "m.yaml:7:25", "notify"),
        ("{steps: [{notify: [on-call], wait: 0s}]}", "m.yaml:7:42", "0s"),
        ("{steps: [{notify: [on-call], callEvery: 5s}]}", "m.yaml:7:47", "5s"),
        ("{steps: [{notify: ['team:serach']}]}", "m.yaml:7:26", "no team 'serach'"),
        ("{steps: [{notify: ['layer:second']}]}", "m.yaml:7:26", "no layer or slot 'second'"),
        ("{steps: [{notify: ['person:ghost@example.org']}]}", "m.yaml:7:26", "nobody is known"),
        ("{timeZone: Europe/Berln}", "m.yaml:7:18", "not a time zone"),
        ("{officeHours: [{days: [funday]}]}", "m.yaml:7:29", "not a weekday"),
        ("{steps: [{notify: [team], during: [{from: '25:00'}]}]}", "m.yaml:7:49", "not a time of the day"),
        ("{hold: {tiers: [9]}}", "m.yaml:7:23", "9"),
    ],
)
def test_what_cannot_be_followed_is_an_error_with_its_place(escalation: str, place: str, words: str) -> None:
    text = f"""apiVersion: watchbill/v1
kind: Team
metadata: {{name: search}}
spec:
  members: [frank@example.org, gina@example.org]
  fallback: true
  escalation: {escalation}
"""
    _, problems = validate([File(path="m.yaml", text=text)])
    errors = [problem for problem in problems if problem.severity == "error"]
    assert errors, "it was accepted"
    assert words in f"{errors[0].message} {errors[0].field}"
    assert errors[0].place.rsplit(":", 1)[0] == place.rsplit(":", 1)[0]  # type: ignore[union-attr]  every one of these has a place
