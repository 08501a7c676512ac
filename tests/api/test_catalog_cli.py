"""`apply`, `validate`, `init`, `team` and `service`, called as on a terminal, against a real server."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import Result
from litestar import Litestar
from litestar.testing import TestClient
from typer.testing import CliRunner

from watchbill.cli.app import app as watchbill
from watchbill.features import identity
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

MANIFEST = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  members: [alice@example.org, {login: bob@example.org, role: lead}]
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-api, title: Payments API}
spec:
  owner: payments
  operations:
    - name: charge card
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "deploy").mkdir(parents=True)
    (folder / "watchbill.yaml").write_text(MANIFEST)
    (folder / "deploy" / "chart.yaml").write_text("apiVersion: v2\nname: {{ .Chart }}\n")
    return folder


@pytest.fixture
def server(app: Litestar, db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with db.transaction() as tx:
        secret = identity.create_token(tx, name="cli", role="admin", actor=ledger.system("test"))[1]
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    monkeypatch.setenv("WATCHBILL_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("WATCHBILL_TOKEN", secret)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    running.should_exit = True
    thread.join(timeout=10)
    listening.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(watchbill, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("server")
def test_apply_prints_a_plan_and_a_second_time_nothing(shop: Path) -> None:
    planned = run("apply", shop, "--dry-run")
    assert "+ Service payments-api" in planned.output
    assert "Plan (source shop): 2 to add" in planned.output
    assert "Applied (source shop): 2 added" in run("apply", shop).output
    assert "0 added, 0 changed, 0 removed, 2 unchanged" in run("apply", shop).output


@pytest.mark.usefixtures("server")
def test_apply_shows_the_fields_that_change(shop: Path) -> None:
    run("apply", shop)
    (shop / "watchbill.yaml").write_text(MANIFEST.replace("owner: payments", "owner: payments\n  tier: 2"))
    output = run("apply", shop).output
    assert "~ Service payments-api\n    spec.tier: (none) → 2\n" in output


@pytest.mark.usefixtures("server")
def test_errors_have_their_places_and_exit_code_2(shop: Path) -> None:
    (shop / "watchbill.yaml").write_text(MANIFEST.replace("owner: payments", "owner: paymens"))
    for command in ("apply", "validate"):
        result = run(command, shop)
        assert result.exit_code == 2
        assert f"{shop}/watchbill.yaml:11:10: there is no team 'paymens'" in result.output
        assert "did you mean 'payments'?" in result.output


@pytest.mark.usefixtures("server")
def test_removing_a_lot_needs_a_yes(shop: Path) -> None:
    run("apply", shop)
    (shop / "watchbill.yaml").write_text(MANIFEST.split("---", maxsplit=1)[0])
    refused = run("apply", shop, "--prune")
    assert (refused.exit_code, "confirmation_needed" in refused.output) == (5, True)
    assert "- Service payments-api" in run("apply", shop, "--prune", "--yes").output


@pytest.mark.usefixtures("server")
def test_teams_and_services_are_listed_and_shown(shop: Path) -> None:
    run("apply", shop)
    teams = json.loads(run("team", "list", "--json").output)
    assert [(team["name"], team["services"]) for team in teams] == [("payments", 1)]
    assert teams[0]["on_call"] in {"alice@example.org", "bob@example.org"}
    assert "bob@example.org (lead)" in run("team", "show", "payments").output
    assert "Payments API" in run("service", "list", "--team", "payments").output
    shown = json.loads(run("service", "show", "payments-api", "--json").output)
    assert (shown["service"]["owner"], shown["on_call"]) == ("payments", teams[0]["on_call"])
    assert [operation["name"] for operation in shown["operations"]] == ["charge card"]
    assert run("service", "show", "nothing").exit_code == 4
    assert json.loads(run("evidence", "payments-api", "--json").output)["answer"] == "unknown"
    assert "it has told nothing of its protections yet" in run("evidence", "payments-api").output
    assert [one["service"] for one in json.loads(run("evidence", "--json").output)] == ["payments-api"]
    assert run("evidence", "nothing").exit_code == 4


def test_validate_needs_no_server_and_has_json(shop: Path) -> None:
    result = run("validate", shop, "--json")
    assert (result.exit_code, json.loads(result.output)) == (
        0,
        {"valid": True, "teams": 1, "services": 1, "problems": []},
    )


def test_a_folder_without_manifests_says_so(tmp_path: Path) -> None:
    result = run("validate", tmp_path)
    assert (result.exit_code, "watchbill init" in result.output) == (2, True)


def test_the_schema_is_printed() -> None:
    assert json.loads(run("schema").output)["title"] == "Watchbill manifest (watchbill/v1)"


@pytest.mark.parametrize(
    ("files", "options", "service", "team"),
    [
        ({}, [], "storefront", "storefront-team"),
        ({"pyproject.toml": '[project]\nname = "Pay_API"\n'}, [], "pay_api", "pay_api-team"),
        ({"package.json": '{"name": "@acme/web"}', ".github/CODEOWNERS": "* @acme/web-team\n"}, [], "web", "web-team"),
        (
            {
                "go.mod": "module github.com/acme/ledger/v2\n",
                "CODEOWNERS": "*  @acme/a\n/docs/ @acme/writers\n* @acme/b # x\n",
            },
            [],
            "ledger",
            "b",
        ),
        ({".gitlab/CODEOWNERS": "[Backend] @acme/backend\n*\n"}, [], "storefront", "backend"),
        (
            {
                "catalog-info.yaml": "apiVersion: backstage.io/v1alpha1\n"
                "kind: Component\nspec: {owner: group:default/money}\n"
            },
            ["--name", "pay"],
            "pay",
            "money",
        ),
    ],
    ids=["nothing", "pyproject", "package and GitHub", "go and last match", "GitLab section", "Backstage"],
)
def test_init_reads_the_repository_and_its_result_is_valid(
    tmp_path: Path, files: dict[str, str], options: list[str], service: str, team: str
) -> None:
    root = tmp_path / "storefront"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "config", "user.email", "alice@example.org"], check=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    made = json.loads(run("init", root, *options, "--json").output)
    assert (made["service"], made["team"]) == (service, team)
    assert (root / "docs" / "runbooks" / f"{service}.md").exists()
    assert run("validate", root / "watchbill.yaml").exit_code == 0
    again = run("init", root, *options)
    assert (again.exit_code, "--force" in again.output) == (5, True)
    assert run("init", root, *options, "--force").exit_code == 0


def test_the_api_takes_gzip_and_answers_nonsense_with_400(
    client: TestClient[Litestar], token: Callable[..., dict[str, str]]
) -> None:
    body: dict[str, Any] = {"source": "shop", "files": [{"path": "w.yaml", "text": MANIFEST}]}
    headers = {**token("admin"), "content-type": "application/json"}
    packed = gzip.compress(json.dumps(body).encode())
    done = client.post("/api/v1/apply", content=packed, headers={**headers, "content-encoding": "gzip"})
    assert (done.status_code, done.json()["added"]) == (200, 2)
    for content, encoding in ((b"{", ""), (b"nonsense", "gzip"), (b'{"source": ""}', "")):
        answer = client.post("/api/v1/apply", content=content, headers={**headers, "content-encoding": encoding})
        assert answer.status_code == 400
    assert client.get("/api/v1/schema").json()["title"].startswith("Watchbill")


def test_only_an_admin_adds_a_team(client: TestClient[Litestar], token: Callable[..., dict[str, str]]) -> None:
    body = {"source": "shop", "files": [{"path": "w.yaml", "text": MANIFEST}]}
    assert client.post("/api/v1/apply", json=body, headers=token("responder")).status_code == 403
    assert client.post("/api/v1/apply", json={**body, "dry_run": True}, headers=token("viewer")).status_code == 200
