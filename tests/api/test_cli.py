"""The command line against a real server on a real port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from litestar import Litestar

from tests.serving import serving
from watchbill.features import identity
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def url(app: Litestar) -> Iterator[str]:
    with serving(app) as url:
        yield url


@pytest.fixture
def secret(db: Database) -> str:
    with db.transaction() as tx:
        return identity.create_token(tx, name="cli", role="admin", actor=ledger.system("test"))[1]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WATCHBILL_")}
        return subprocess.run(
            [sys.executable, "-m", "watchbill.cli.app", *arguments],
            env={**clean, "NO_COLOR": "1", "WATCHBILL_HOME": str(tmp_path / "nowhere"), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def test_a_token_is_made_on_the_machine_itself_without_a_token(
    url: str, secret: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "local.json").write_text(json.dumps({"url": url, "token": secret}))
    made = run("token", "create", "ci", "--role", "viewer", "--home", str(tmp_path), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["token"].startswith("wb_")


def test_an_integration_prints_its_key_and_url(url: str, secret: str, run: Run) -> None:
    made = run(
        "integration", "create", "prom", "--format", "prometheus", "--json", WATCHBILL_URL=url, WATCHBILL_TOKEN=secret
    )
    assert made.returncode == 0, made.stderr
    answer = json.loads(made.stdout)
    assert answer["key"] in answer["url"]


def test_an_invited_person_is_listed_and_reached(url: str, secret: str, run: Run) -> None:
    at = {"WATCHBILL_URL": url, "WATCHBILL_TOKEN": secret}
    assert "/invitation/" in run("person", "invite", "alice@example.org", **at).stdout
    assert "alice@example.org" in run("person", "list", **at).stdout
    added = run("contact", "add", "webhook", "https://example.org/x", "--person", "alice@example.org", **at)
    assert added.returncode == 0, added.stderr
    shown = json.loads(run("contact", "list", "--person", "alice@example.org", "--json", **at).stdout)
    assert [method["channel"] for method in shown] == ["email", "webhook"]


def test_status_exits_1_while_the_observer_is_down(url: str, secret: str, run: Run) -> None:
    told = run("status", "--json", WATCHBILL_URL=url, WATCHBILL_TOKEN=secret)
    assert told.returncode == 1
    processes = json.loads(told.stdout)["processes"]
    assert {"server", "pager", "observer", "worker"} == {process["name"] for process in processes}


def test_errors_say_what_where_and_how_to_mend_with_their_exit_code(url: str, run: Run) -> None:
    wrong = run("person", "list", WATCHBILL_URL=url, WATCHBILL_TOKEN="wb_wrong")
    assert (wrong.returncode, "mend:" in wrong.stderr) == (3, True)
    away = run("person", "list", WATCHBILL_URL="http://127.0.0.1:9", WATCHBILL_TOKEN="wb_wrong")
    assert (away.returncode, "mend:" in away.stderr) == (6, True)
    nowhere = run("person", "list")
    assert (nowhere.returncode, "watchbill up" in nowhere.stderr) == (4, True)
    assert run("incidnt").returncode == 2
    assert all("Traceback" not in result.stderr for result in (wrong, away, nowhere))


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from watchbill.cli.app import app, COMMANDS\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = [entry.module for entry in COMMANDS if entry.module in sys.modules]\n"
        "heavy = [name for name in ('sqlalchemy', 'litestar', 'httpx', 'rich') if name in sys.modules]\n"
        "assert not loaded and not heavy, (loaded, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "incident" in done.stdout
