"""A real Prometheus with a rule of its own sends to a real server of ours: `docs/guides/connect-prometheus.md`."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.journeys.stage import Stage
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import alerts
from watchbill.intake.http import intake_router
from watchbill.kernel.clock import SystemClock
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="the program 'prometheus' is not installed (Debian: apt install prometheus)"
)

CONFIG = """\
global: {{evaluation_interval: 1s, scrape_interval: 60s}}
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - scheme: http
      path_prefix: /in/{key}
      api_version: v2
      static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
RULES = """\
groups:
  - name: payments
    rules:
      - alert: HighErrors
        expr: {expression}
        labels: {{service: payments, severity: critical}}
        annotations: {{summary: Payments answers with errors}}
"""


@pytest.fixture
def stage(db: Database) -> Stage:
    stage = Stage(db, SystemClock())  # type: ignore[arg-type]  # real time: only `work` is used
    stage.team("payments", "alice", "bob")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    return stage


@pytest.fixture
def key(db: Database) -> str:
    with db.transaction() as tx:
        _, key = alerts.create_integration(tx, name="prometheus", format="prometheus", actor=ledger.system("test"))
    return key


@pytest.fixture
def port(database_url: str, tmp_path: Path) -> Iterator[int]:
    """Our server behind a real socket, over the test's PostgreSQL."""
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    settings = Settings(home=tmp_path, database_url=database_url, secret_key="k" * 40)
    app = create_app(settings=settings, lanes=lanes, handlers=[intake_router()])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started, "our server is up")
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()
    lanes.close()


@contextmanager
def prometheus(folder: Path, *, key: str, port: int, expression: str) -> Iterator[str]:
    """A Prometheus of our own, stopped at the end; yields its address."""
    assert PROMETHEUS is not None
    (folder / "prometheus.yml").write_text(CONFIG.format(key=key, port=port))
    write_rule(folder, expression)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--web.enable-lifecycle",
                "--rules.alert.resend-delay=1s",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


def write_rule(folder: Path, expression: str) -> None:
    (folder / "rules.yml").write_text(RULES.format(expression=expression))


def eventually(see: Callable[[], object], what: str, *, within_seconds: float = 30) -> None:
    end = time.monotonic() + within_seconds
    while not see():
        assert time.monotonic() < end, f"not within {within_seconds} s: {what}"
        time.sleep(0.1)


def test_a_rule_of_a_real_prometheus_opens_an_incident_and_its_end_resolves_the_alert(
    stage: Stage, db: Database, key: str, port: int, tmp_path: Path
) -> None:
    """alert.firing, alert.refreshed, alert.resolved, paged.owner"""

    def fired() -> list[alerts.Alert]:
        with db.transaction() as tx:
            return alerts.open_alerts(tx)

    with prometheus(tmp_path, key=key, port=port, expression="vector(1)") as address:
        eventually(fired, "the alert arrives")
        stage.work()
        incident = stage.incident()
        assert incident.incident.title == "Payments answers with errors"
        assert incident.alerts[0].labels == {"alertname": "HighErrors", "service": "payments", "severity": "critical"}
        assert stage.addresses() == ["alice"]

        eventually(lambda: fired()[0].refreshes > 0, "Prometheus repeats it")
        stage.work()
        assert stage.addresses() == ["alice"], "a repeat pages nobody anew"

        write_rule(tmp_path, "vector(1) > 2")
        httpx.post(f"{address}/-/reload", trust_env=False).raise_for_status()
        eventually(lambda: not fired(), "the alert ends")
    stage.work()
    ended = stage.incident()
    assert (ended.alerts[0].state, ended.alerts[0].resolved_because) == ("resolved", "resolved by its source")
    assert ended.incident.settle_at is not None
