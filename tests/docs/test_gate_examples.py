"""The pipelines in the guides run as they stand there, against a real server; their YAML is what its readers take."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from tests.serving import serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.cli.app import COMMANDS
from watchbill.cli.app import app as watchbill
from watchbill.features import identity
from watchbill.intake.changes import argocd
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
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
  gate: {away: closed}
"""
FREEZE = SHOP.replace(
    "{away: closed}",
    '{away: closed, freeze: [{name: the sale, start: "2020-01-01T00:00:00Z", end: "2099-01-01T00:00:00Z"}]}',
)


def examples(guide: str) -> list[dict[str, Any]]:
    text = (GUIDES / guide).read_text("utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


@pytest.mark.parametrize("guide", ["gate-a-deploy.md", "record-your-deploys.md"])
def test_every_yaml_example_parses_and_every_command_exists(guide: str) -> None:
    assert all(isinstance(block, dict) for block in examples(guide))
    named = set(re.findall(r"(?:^|[`&] |: )watchbill ([a-z-]+)", (GUIDES / guide).read_text("utf-8"), re.M))
    assert named <= {entry.name for entry in COMMANDS}


class Machine:
    """A pipeline's machine: its own home, and ``pip`` that finds everything installed."""

    def __init__(self, folder: Path, db: Database, token: str) -> None:
        self.folder, self.db, self.summary = folder, db, folder / "summary.md"
        pip = folder / "bin" / "pip"
        pip.parent.mkdir()
        pip.write_text("#!/bin/sh\nexit 0\n")
        pip.chmod(0o755)
        path = os.pathsep.join([str(pip.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {"PATH": path, "HOME": str(folder), "GITHUB_SHA": "84f2c1d09b7e5a", "WATCHBILL_TOKEN": token,
                            "GITHUB_STEP_SUMMARY": str(self.summary), "FIX": "", "NO_COLOR": "1"}  # fmt: skip

    def apply(self, text: str) -> None:
        with self.db.transaction() as tx:
            files = [File(path="shop.yaml", text=text)]
            apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False, cwd=self.folder
        )

    def gate(self, *options: str) -> tuple[int, dict[str, Any]]:
        ran = CliRunner().invoke(watchbill, ["gate", "payments", "--json", *options], env=self.environment)
        return ran.exit_code, json.loads(ran.stdout)


@pytest.fixture
def machine(db: Database, tmp_path: Path) -> Machine:
    with db.transaction() as tx:
        _, secret = identity.create_token(tx, name="pipeline", role="responder", actor=ledger.system("test"))
    made = Machine(tmp_path, db, secret)
    made.apply(FREEZE)
    return made


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[Any]:
    settings = Settings(home=tmp_path, database_url=database_url, secret_key="k" * 40)
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    yield create_app(settings=settings, lanes=lanes)
    lanes.close()


def test_the_pipelines_stop_while_the_gate_is_shut_and_go_on_when_it_opens(machine: Machine, app: Any) -> None:
    """gate.answers"""
    policy, workflow, job = examples("gate-a-deploy.md")
    assert policy["kind"] == "Service"
    gate = workflow["jobs"]["gate"]
    assert workflow["jobs"]["deploy"]["needs"] == "gate"
    [step] = [one["run"] for one in gate["steps"] if one.get("name") == "Ask"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (job["apiVersion"], job["kind"], job["spec"]["backoffLimit"]) == ("batch/v1", "Job", 0)
    with serving(app) as url:
        machine.environment["WATCHBILL_URL"] = url
        ran = machine.run("bash", "-e", "-c", step)  # as GitHub's runners call it
        assert ran.returncode == 1, ran.stderr
        assert "the freeze 'the sale' is on" in machine.summary.read_text("utf-8")
        assert machine.run(*container["command"]).returncode == 1
        machine.environment["FIX"] = "--fix"
        assert machine.run("bash", "-e", "-c", step).returncode == 0
        machine.apply(SHOP)
        assert machine.run(*container["command"]).returncode == 0, "nobody knows, and its tier's door is open"


def test_while_watchbill_is_away_the_door_of_the_policy_holds_and_the_ledger_hears_of_it(
    machine: Machine, app: Any
) -> None:
    """gate.unknown: Watchbill itself away, open or closed by the policy, and recorded."""
    machine.environment["WATCHBILL_URL"] = "http://127.0.0.1:9"
    code, answer = machine.gate()
    assert (code, answer["answer"], answer["proceed"]) == (0, "unknown", True)
    assert "the door is open (no policy is known here)" in answer["summary"]
    with serving(app) as url:
        machine.environment["WATCHBILL_URL"] = url
        assert machine.gate()[0] == 1
        machine.environment["WATCHBILL_URL"] = "http://127.0.0.1:9"
        code, answer = machine.gate("--version", "v84")
        assert (code, answer["summary"].partition("the door is ")[2]) == (
            1,
            "closed (by the policy of its last answer)",
        )
        assert machine.gate("--rollback")[0] == 0
        assert machine.gate("--when-away", "open")[0] == 0
        machine.environment["WATCHBILL_URL"] = url
        told = ["deploy", "start", "payments", "--version", "v84", "--json"]
        assert CliRunner().invoke(watchbill, told, env=machine.environment).exit_code == 0
    with machine.db.transaction() as tx:
        doors = [entry.data["door"] for entry in reversed(ledger.newest(tx, name_prefix="gate.away"))]
    assert doors == ["open", "closed", "open", "open"]


def test_argo_cds_template_gives_what_is_read_from_it() -> None:
    [config] = [block for block in examples("record-your-deploys.md") if block["kind"] == "ConfigMap"]
    template = yaml.safe_load(config["data"]["template.watchbill-sync"])["webhook"]["watchbill"]["body"]
    state = {"phase": "Succeeded", "startedAt": "2026-03-02T08:59:00Z", "finishedAt": "2026-03-02T09:00:00Z",
             "syncResult": {"revision": "84f2c1d09b7e5a84f2c1d09b7e5a84f2c1d09b7e"},
             "operation": {"initiatedBy": {"username": "<no value>"}}}  # fmt: skip
    source = {"repoURL": "https://github.com/acme/payments.git"}
    app = {"metadata": {"name": "payments"}, "status": {"operationState": state}, "spec": {"source": source}}
    context = {"app": app, "context": {"argocdUrl": "https://argocd.example.org"}}

    def read(match: re.Match[str]) -> str:
        value: Any = context
        for name in match[1].split("."):
            value = value[name]
        return str(value)

    body = re.sub(r"\{\{\s*\.([\w.]+)\s*\}\}", read, template)
    [told] = argocd.parse(body.encode(), {}).told
    report = msgspec.structs.asdict(told.report)
    assert told.repository == "https://github.com/acme/payments.git"
    assert (report["service"], report["state"], report["author"], report["environment"]) == (
        "payments", "finished", None, "production",
    )  # fmt: skip
    assert report["links"][0].url == "https://argocd.example.org/applications/payments"
