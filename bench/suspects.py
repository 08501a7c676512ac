"""Suspects of an incident with 10,000 changes in its window: read from PostgreSQL, ranked, written."""

from __future__ import annotations

import random
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from bench.results import Result
from watchbill.features import alerts, catalog, incidents
from watchbill.features.catalog.actions import write_services, write_teams
from watchbill.features.changes import Change
from watchbill.features.changes import store as change_store
from watchbill.features.suspects import logic, paths, reads
from watchbill.features.suspects.model import TracedPath
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger, migrate
from watchbill.runtime.bulk import insert_many
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = ("suspects_rank_only",)
CHANGES, SERVICES, ROUNDS = 10_000, 1_000, 9
BENCH = ledger.system("bench")


def run() -> list[Result]:
    """A thousand services in a graph, ten changes of each within a day, and the incident of one that 60 lie below."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            db = Database(url, name="bench")
            try:
                return _measure(db)
            finally:
                db.dispose()
        finally:
            postgres.stop()


def _measure(db: Database) -> list[Result]:
    with db.transaction() as tx:
        incident = _fill(tx)
        path = _path(tx.now)
    whole, ranked = [], []
    for _ in range(ROUNDS):
        with db.transaction() as tx:
            began = time.perf_counter()
            onset_at = reads.onset_of(tx, incident=incident)
            candidates = reads.candidates_of(tx, incident=incident, onset_at=onset_at, path=path)
            read = time.perf_counter()
            found = logic.rank(candidates, incident_id=incident.id, onset_at=onset_at, now=tx.now, comparisons={})
            ranked.append(time.perf_counter() - read)
            whole.append(time.perf_counter() - began)
            assert found.suspects
    return [
        Result(
            name="suspects",
            value=round(sorted(whole)[ROUNDS // 2] * 1000, 1),
            unit="ms, 10,000 changes in the window",
            better="lower",
            limit="100 ms",
            limit_value=100.0,
        ),
        Result(
            name="suspects_rank_only",
            value=round(sorted(ranked)[ROUNDS // 2] * 1000, 1),
            unit="ms of it for the ranking itself",
            better="lower",
        ),
    ]


def _path(now: datetime) -> TracedPath:
    """What traces show: the graph as it is declared, and a hundred services that no manifest names."""
    edges = [(f"s{at}", f"s{below}") for at in range(SERVICES) for below in range(3 * at + 1, 3 * at + 4)]
    edges = [each for each in edges if int(each[1][1:]) < SERVICES]
    edges += [("s0", f"s{at}") for at in range(800, 900)]
    return paths.traced(edges, symptoms=["s0"], traces=400, looked_at=now)


def _fill(tx: Tx) -> incidents.Incident:
    dice = random.Random(5)
    team = new_id()
    write_teams(
        tx,
        writes=[
            catalog.TeamWrite(
                id=team, name="team", title="team", former_names=[], source="bench", spec={}, spec_hash="",
                fallback=False, members=[], added=True,
            )
        ],
        actor=BENCH,
    )  # fmt: skip
    ids = [new_id() for _ in range(SERVICES)]
    write_services(
        tx,
        writes=[
            catalog.ServiceWrite(
                id=id, name=f"s{at}", title=f"s{at}", former_names=[], telemetry_name=f"s{at}", team_id=team, tier=2,
                source="bench", spec={}, spec_hash="", operations=[], added=True,
                depends_on=[ids[below] for below in range(3 * at + 1, 3 * at + 4) if below < SERVICES],
            )
            for at, id in enumerate(ids)
        ],
        actor=BENCH,
    )  # fmt: skip
    integration = alerts.builtin_integration(tx, name="events")
    rows = []
    for at in range(CHANGES):
        moment = tx.now - timedelta(seconds=dice.uniform(1, 86_000))
        rows.append(
            change_store.columns_of(
                Change(
                    id=new_id(), service_id=ids[at % SERVICES], service_name=f"s{at % SERVICES}",
                    environment="production", kind="deploy", state="finished", title=f"Deploy {at}", version=f"v{at}",
                    previous_version=f"v{at - 1}", commits=[], author=None, approver=None, reversible="yes",
                    is_fix=False, started_at=moment, finished_at=moment, last_at=moment, start_seen=True,
                    source="bench", integration_id=integration.id, external_id=str(at), links=[], inferred=False,
                    note="", committed_at=None, rolled_back_by=None, created_at=tx.now, updated_at=tx.now,
                )
            )
        )  # fmt: skip
    insert_many(tx, change_store.change, rows)
    incident = incidents.open_incident(
        tx, title="it burns", severity="sev1", environment="production", service_id=ids[0], team_id=team, unowned=False
    )
    incidents.join_service(tx, incident=incident, service_id=ids[0])
    return incident
