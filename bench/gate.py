"""The gate's answer in a catalog of 10,000 services."""

from __future__ import annotations

import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from bench.results import Result
from watchbill.features import catalog, gates
from watchbill.features.catalog.store import operation, service, service_dependency, team
from watchbill.features.slo.store import slo, slo_evaluator, slo_state
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger, migrate
from watchbill.runtime.bulk import insert_many
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

SERVICES = 10_000
ASKED = 300


def run() -> list[Result]:
    """Fresh PostgreSQL, 10,000 services with an SLO and a dependency each; the 99th percentile of 300 answers."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            db = Database(url, name="bench")
            try:
                return [_measure(db)]
            finally:
                db.dispose()
        finally:
            postgres.stop()


def _measure(db: Database) -> Result:
    _prepare(db)
    took: list[float] = []
    for place in range(ASKED):
        name = f"service-{place * 31 % SERVICES}"
        began = time.perf_counter()
        with db.transaction() as tx:
            found = catalog.service_by_name(tx, name=name)
            assert found is not None
            decision, _ = gates.ask_gate(tx, service=found, environment="production", actor=ledger.system("bench"))
        took.append((time.perf_counter() - began) * 1000)
        assert decision.answer in ("go", "no-go")
    return Result(
        name="gate",
        value=statistics.quantiles(took, n=100)[98],
        unit="ms",
        better="lower",
        limit="99th percentile at 10,000 services, 50 ms",
        limit_value=50,
    )


def _prepare(db: Database) -> None:
    with db.transaction() as tx:
        owner = new_id()
        stamp = {"source": "bench", "spec": {}, "spec_hash": "", "created_at": tx.now, "updated_at": tx.now}
        insert_many(tx, team, [{"id": owner, "name": "payments", "title": "Payments", "fallback": False, **stamp,
                                "former_names": []}])  # fmt: skip
        ids = [new_id() for _ in range(SERVICES)]
        insert_many(
            tx,
            service,
            [
                {"id": id, "name": f"service-{at}", "title": f"Service {at}", "former_names": [],
                 "telemetry_name": f"service-{at}", "team_id": owner, "tier": 2, **stamp}
                for at, id in enumerate(ids)
            ],
        )  # fmt: skip
        operations = [new_id() for _ in ids]
        insert_many(
            tx,
            operation,
            [
                {"id": each, "service_id": id, "name": "all", "match": {}, "environment": "production", "position": 0}
                for each, id in zip(operations, ids, strict=True)
            ],
        )
        insert_many(
            tx,
            service_dependency,
            [{"service_id": id, "depends_on_id": ids[at - 1]} for at, id in enumerate(ids)],
        )
        slos = [new_id() for _ in ids]
        insert_many(
            tx,
            slo,
            [
                {"id": each, "operation_id": operations[at], "service_id": ids[at], "name": "availability",
                 "target": Decimal("99.9"), "window_seconds": 2_592_000, "threshold_ms": None,
                 "environment": "production", "created_at": tx.now, "changed_at": tx.now, "removed_at": None}
                for at, each in enumerate(slos)
            ],
        )  # fmt: skip
        insert_many(
            tx,
            slo_state,
            [
                {"slo_id": each, "state": "ok", "tier": None, "cause": None, "reason": "", "since_at": tx.now,
                 "evaluated_at": tx.now, "budget_remaining": Decimal("-0.1" if at % 10 == 0 else "0.8"), "bad": 10,
                 "total": 100_000, "burn": 0.2, "exhausted_at": None, "windows": [], "memory": {}}
                for at, each in enumerate(slos)
            ],
        )  # fmt: skip
        tx.execute(
            sa.insert(slo_evaluator).values(
                one=True, holder=new_id(), lease_until=tx.now, evaluated_at=tx.now, slice_seconds=60
            )
        )
        tx.execute(sa.text("ANALYZE"))
