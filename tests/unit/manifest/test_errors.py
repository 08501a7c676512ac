"""Everything that can be wrong in a manifest, with its exact place and a way to mend it."""

from __future__ import annotations

import pytest

from watchbill.manifest import File, validate

TEAM = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  members: [alice@example.org, bob@example.org]
"""
SERVICE = """\
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-api}
spec:
  owner: payments
"""


def team(spec: str = "", metadata: str = "{name: payments}") -> str:
    """A Team whose lines after ``spec:`` (line 4) are these."""
    head = f"apiVersion: watchbill/v1\nkind: Team\nmetadata: {metadata}\nspec:\n"
    return head + (spec or "  members: [alice@example.org, bob@example.org]\n")


def service(spec: str = "  owner: payments\n", metadata: str = "{name: payments-api}") -> str:
    """The team, then a Service whose spec starts in line 11."""
    return f"{TEAM}---\napiVersion: watchbill/v1\nkind: Service\nmetadata: {metadata}\nspec:\n{spec}"


MEMBERS = "  members: [alice@example.org, bob@example.org]\n"

CASES = {
    "an unknown key": (
        team("  membres: [alice@example.org]\n"),
        "f.yaml:5:3",
        "spec.membres",
        "did you mean 'members'",
    ),
    "an unknown key deep inside": (
        team(MEMBERS + "  onCall:\n    rotation: {evry: 1w}\n"),
        "f.yaml:7:16",
        "spec.onCall.rotation.evry",
        "did you mean 'every'",
    ),
    "a mapping where a list belongs": (team("  members: {alice: 1}\n"), "f.yaml:5:12", "spec.members", "a list"),
    "one name where a list belongs": (team("  members: alice\n"), "f.yaml:5:12", "spec.members", "[alice]"),
    "a number out of range": (service("  owner: payments\n  tier: 5\n"), "f.yaml:12:9", "spec.tier", "from 1"),
    "a word for a number": (service("  owner: payments\n  tier: high\n"), "f.yaml:12:9", "spec.tier", "from 1"),
    "a boolean of YAML 1.1": (team(MEMBERS + "  fallback: yes\n"), "f.yaml:6:13", "spec.fallback", "write true"),
    "an unknown role": (
        team("  members:\n    - {login: alice, role: led}\n"),
        "f.yaml:6:28",
        "spec.members[0].role",
        "did you mean 'lead'",
    ),
    "a login that cannot be one": (team("  members: ['a b']\n"), "f.yaml:5:13", "spec.members[0]", "a login"),
    "a member twice": (
        team("  members: [alice@example.org, Alice@example.org]\n"),
        "f.yaml:5:32",
        "spec.members[1]",
        "once",
    ),
    "a time zone that is not one": (
        team(MEMBERS + "  timeZone: Europe/Berln\n"),
        "f.yaml:6:13",
        "spec.timeZone",
        "Europe/Berlin",
    ),
    "a rotation member outside the team": (
        team(MEMBERS + "  onCall:\n    rotation:\n      members: [charlie@example.org]\n"),
        "f.yaml:8:17",
        "spec.onCall.rotation.members[0]",
        "add charlie@example.org",
    ),
    "a handoff that cannot be": (
        team(MEMBERS + "  onCall:\n    rotation: {handoff: 'Mon 25:00'}\n"),
        "f.yaml:7:25",
        "spec.onCall.rotation.handoff",
        "",
    ),
    "an escalation to somebody unknown": (
        team(MEMBERS + "  escalation:\n    steps:\n      - notify: [on-call, person:dana@example.org]\n"),
        "f.yaml:8:27",
        "spec.escalation.steps[0].notify[1]",
        "a member of a team",
    ),
    "an escalation to something unknown": (
        team(MEMBERS + "  escalation:\n    steps:\n      - notify: [oncall]\n"),
        "f.yaml:8:18",
        "spec.escalation.steps[0].notify[0]",
        "did you mean 'on-call'",
    ),
    "a wait that is no duration": (
        team(MEMBERS + "  escalation:\n    steps:\n      - {notify: [team], wait: 5 minutes}\n"),
        "f.yaml:8:32",
        "spec.escalation.steps[0].wait",
        "5m",
    ),
    "a service without owner": (service("  tier: 3\n"), "f.yaml:11:3", "spec.owner", "owner: payments"),
    "an owner that names no team": (service("  owner: paymens\n"), "f.yaml:11:10", "spec.owner", "'payments'"),
    "a dependency on nothing": (
        service("  owner: payments\n  dependsOn: [ledger]\n"),
        "f.yaml:12:15",
        "spec.dependsOn[0]",
        "name ledger",
    ),
    "a dependency on itself": (
        service("  owner: payments\n  dependsOn: [payments-api]\n"),
        "f.yaml:12:15",
        "spec.dependsOn[0]",
        "remove",
    ),
    "a target of 100": (
        service("  owner: payments\n  operations:\n    - {name: pay, objectives: [{name: a, target: 100}]}\n"),
        "f.yaml:13:50",
        "spec.operations[0].objectives[0].target",
        "99.9",
    ),
    "a target that is no number": (
        service("  owner: payments\n  operations:\n    - {name: pay, objectives: [{name: a, target: most}]}\n"),
        "f.yaml:13:50",
        "spec.operations[0].objectives[0].target",
        "99.9",
    ),
    "latency without a threshold": (
        service("  owner: payments\n  operations:\n    - {name: pay, objectives: [{name: latency, target: 99}]}\n"),
        "f.yaml:13:32",
        "spec.operations[0].objectives[0]",
        "threshold: 300ms",
    ),
    "an operation twice": (
        service("  owner: payments\n  operations: [{name: pay}, {name: pay}]\n"),
        "f.yaml:12:36",
        "spec.operations[1].name",
        "own name",
    ),
    "a name in capitals": (team(metadata="{name: Payments}"), "f.yaml:3:18", "metadata.name", "lower-case"),
    "two teams of one name": (TEAM + "---\n" + TEAM, "f.yaml:9:18", "metadata.name", "f.yaml:3:18"),
    "a former name that is still in use": (
        TEAM + "---\n" + team(metadata="{name: money, formerly: [payments]}"),
        "f.yaml:9:36",
        "metadata.formerly[0]",
        "remove one",
    ),
    "two fallback teams": (
        team(MEMBERS + "  fallback: true\n") + "---\n" + team(MEMBERS + "  fallback: true\n", "{name: ops}"),
        "f.yaml:13:13",
        "spec.fallback",
        "only one",
    ),
    "an unknown kind": (TEAM.replace("Team", "Taem"), "f.yaml:2:7", "kind", "did you mean 'Team'"),
    "a version of the future": (TEAM.replace("/v1", "/v9"), "f.yaml:1:13", "apiVersion", "watchbill/v1"),
    "no apiVersion": (TEAM.removeprefix("apiVersion: watchbill/v1\n"), "f.yaml:1:1", "apiVersion", "watchbill/v1"),
    "a key twice": (team(MEMBERS + "  members: []\n"), "f.yaml:6:3", "spec.members", "line 5"),
    "a tab": (team("\tmembers: []\n"), "f.yaml:5:1", None, "tabs"),
    "an unclosed bracket": (team("  members: [alice\n"), "f.yaml:6:1", None, "not closed"),
    "nothing at all": ("# nothing\n", "f.yaml:1:1", None, "apiVersion: watchbill/v1"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_error_says_where_what_and_how_to_mend_it(name: str) -> None:
    text, place, field, hint = CASES[name]
    _, problems = validate([File(path="f.yaml", text=text, named=True)])
    errors = [problem for problem in problems if problem.severity == "error"]
    assert [(error.place, error.field) for error in errors] == [(place, field)]
    assert hint in (errors[0].hint or "")


def test_all_errors_are_said_at_once() -> None:
    files = [
        File(path="a.yaml", text=team("  membres: []\n  fallback: maybe\n"), named=True),
        File(path="b.yaml", text=SERVICE.replace("  owner: payments", "  tier: 9"), named=True),
    ]
    _, problems = validate(files)
    assert [problem.place for problem in problems if problem.severity == "error"] == [
        "a.yaml:5:3",
        "a.yaml:6:13",
        "b.yaml:5:3",
        "b.yaml:5:9",
    ]


def test_a_team_without_members_is_a_loud_warning_and_with_strict_an_error() -> None:
    files = [File(path="f.yaml", text=team("  members: []\n"))]
    assert [(p.code, p.severity) for p in validate(files)[1]] == [("manifest.unreachable", "warning")]
    assert [(p.code, p.severity) for p in validate(files, strict=True)[1]] == [("manifest.unreachable", "error")]


def test_a_name_described_elsewhere_is_a_warning_when_the_world_is_larger_than_the_files() -> None:
    _, problems = validate([File(path="f.yaml", text=SERVICE)], external=True)
    assert [problem.severity for problem in problems] == ["warning"]


def test_yaml_of_others_is_passed_over() -> None:
    chart = File(path="chart.yaml", text="apiVersion: apps/v1\nkind: Deployment\nname: {{ .Values.name }}\n")
    bundle, problems = validate([chart, File(path="f.yaml", text=TEAM)])
    assert (len(bundle.teams), problems) == (1, [])


def test_twenty_lines_are_valid_without_a_warning() -> None:
    bundle, problems = validate([File(path="f.yaml", text=f"{TEAM}---\n{SERVICE}")])
    assert problems == []
    assert [item.name for item in bundle.services] == ["payments-api"]


def test_plain_scalars_mean_what_the_field_wants() -> None:
    text = service(
        "  owner: payments\n  telemetry: {serviceName: 1e3}\n"
        "  operations:\n    - {name: on, match: {attributes: {http.status: 200, a: no}}, objectives:"
        " [{name: a, target: 99.950}]}\n",
        "{name: 007}",
    )
    bundle, problems = validate([File(path="f.yaml", text=text)])
    assert problems == []
    spec = bundle.services[0].manifest.spec
    assert bundle.services[0].name == "007"
    assert spec.telemetry is not None
    assert spec.telemetry.service_name == "1e3"
    operation = bundle.services[0].operations[0]
    assert (operation.name, operation.match.attributes) == ("on", {"http.status": "200", "a": "no"})
    assert operation.objectives is not None
    assert str(operation.objectives[0].target) == "99.950"
