"""Applying 10,000 services and 500 teams: the first time, and again unchanged."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.results import Result
from watchbill.manifest import File, Options, Outcome, apply_files
from watchbill.runtime import ledger, migrate
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = ("apply_new", "apply_unchanged")
TEAMS = 500
SERVICES = 10_000


def run() -> list[Result]:
    """Fresh PostgreSQL; one file per team, with its members and its twenty services, two objectives each."""
    files = [_file(number) for number in range(TEAMS)]
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            db = Database(url, name="bench")
            try:
                first, outcome = _apply(db, files)
                assert outcome.added == TEAMS + SERVICES
                again, outcome = _apply(db, files)
                assert (outcome.actions, outcome.unchanged) == ([], TEAMS + SERVICES)
            finally:
                db.dispose()
        finally:
            postgres.stop()
    what = f"{SERVICES:,} services and {TEAMS} teams"
    return [
        Result(name="apply_new", value=first, unit="s", better="lower", limit=f"{what}, 10 s", limit_value=10),
        Result(name="apply_unchanged", value=again, unit="s", better="lower", limit=f"{what}, 3 s", limit_value=3),
    ]


def _apply(db: Database, files: list[File]) -> tuple[float, Outcome]:
    began = time.perf_counter()
    with db.transaction() as tx:
        outcome = apply_files(tx, files=files, options=Options(source="bench"), actor=ledger.system("bench"))
    return time.perf_counter() - began, outcome


def _file(team: int) -> File:
    documents = [
        f"apiVersion: watchbill/v1\nkind: Team\nmetadata: {{name: team-{team}}}\nspec:\n"
        f"  members: [a{team}@example.org, b{team}@example.org, c{team}@example.org]\n"
    ]
    documents += [_service(number, team) for number in range(team, SERVICES, TEAMS)]
    return File(path=f"team-{team}/watchbill.yaml", text="---\n".join(documents))


def _service(number: int, team: int) -> str:
    return f"""\
apiVersion: watchbill/v1
kind: Service
metadata: {{name: service-{number}, title: Service {number}}}
spec:
  owner: team-{team}
  tier: {number % 4 + 1}
  dependsOn: [service-{(number + 1) % SERVICES}, service-{(number + 7) % SERVICES}]
  runbook: https://example.org/runbooks/{number}
  telemetry: {{serviceName: service-{number}}}
  operations:
    - name: place order
      match: {{route: "POST /orders"}}
      objectives:
        - {{name: availability, target: 99.95, window: 30d}}
        - {{name: latency, target: 99, threshold: 300ms, window: 30d}}
"""
