"""The weekly report of objectives by the calendar and by time slices: what counts of them, as people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.contract.slo.test_given_counts import SHOP
from watchbill.features import slo
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

TURN = datetime(2026, 3, 31, 22, tzinfo=UTC)  # midnight in Berlin, summer time: a new month
OBJECTIVES = """        - name: month
          target: 99.5
          pushed: true
          calendar: {every: 1M, start: 2026-01-01, timeZone: Europe/Berlin}
        - {name: slices, target: 95, pushed: true, timeSlices: {target: 90, length: 5m}}
        - {name: weighted, target: 95, pushed: true, timeSlices: {length: 5m, weighted: true}}
"""


def test_a_report_over_the_turn_of_a_month_counts_both_sides_and_slices_as_slices(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    """One hour before the turn and one after; ten minutes of each fail, wholly before it and by half after it."""
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP + OBJECTIVES)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        slos = {view.slo.name: view.slo for view in slo.slos(tx)}
    now = Database(database_url, clock=VirtualClock(TURN + timedelta(hours=1)))
    minutes = [TURN + timedelta(minutes=minute) for minute in range(-60, 60)]
    bad = dict.fromkeys(range(-40, -30), 100) | dict.fromkeys(range(20, 30), 50)
    for one in slos.values():
        counts = [(at, 100.0 - bad.get(index - 60, 0), 100.0) for index, at in enumerate(minutes)]
        store.put_counts(operation_id=one.operation_id, objective=one.name, slice_seconds=60, counts=counts)
    Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test").evaluate_once()
    with now.transaction() as tx:
        lines = slo.kept(tx, start=TURN - timedelta(days=7), end=TURN + timedelta(hours=2))
        states = slo.states(tx)
    now.dispose()
    found = {line.view.slo.name: (line.bad, line.total, line.achieved, line.spent, line.kept) for line in lines}
    assert found == {
        "month": (1500, 12_000, Decimal("87.50000"), Decimal("25.0000"), False),
        "slices": (4, 24, Decimal("83.33333"), Decimal("3.3333"), False),
        "weighted": (3, 24, Decimal("87.50000"), Decimal("2.5000"), False),
    }
    assert [line.view.slo.name for line in lines] == ["month", "slices", "weighted"], "the worst first"
    new_month = states[slos["month"].id]
    assert (new_month.bad, new_month.total) == (500, 6000), "its budget is of the new month alone"
