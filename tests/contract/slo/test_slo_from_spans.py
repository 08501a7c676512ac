"""From real spans in a real ClickHouse to a firing SLO in a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.contract.telemetry.test_counts import spans
from tests.journeys.stage import ACTOR, Stage
from watchbill.features import alerts, catalog, slo
from watchbill.features.catalog.actions import write_services
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.ids import new_id
from watchbill.runtime.db import Database


def test_failing_spans_page_and_a_restarted_observer_finds_its_counts_again(
    store: TelemetryStore, virtual_db: Database, clock: VirtualClock
) -> None:
    clock.move_to(datetime.now(UTC).replace(microsecond=0))
    stage, service_id = Stage(virtual_db, clock), new_id()
    stage.team("payments", "alice", "bob")
    with virtual_db.transaction() as tx:
        write_services(
            tx,
            writes=[
                catalog.ServiceWrite(
                    id=service_id,
                    name="payments",
                    title="Payments",
                    former_names=[],
                    telemetry_name="payments",
                    team_id=stage.teams["payments"],
                    tier=1,
                    source="test",
                    spec={},
                    spec_hash="",
                    operations=[
                        catalog.OperationWrite(
                            name="charge card", match={"spanName": "POST /charge"}, environment="production"
                        )
                    ],
                    depends_on=[],
                    added=True,
                )
            ],
            actor=ACTOR,
        )
        [operation] = catalog.operations(tx, service_ids=[service_id])
        objective = slo.ObjectiveSpec(
            operation_id=operation.id,
            service_id=service_id,
            name="availability",
            target=Decimal("99.9"),
            window=timedelta(days=1),
        )
        slo.sync_objectives(tx, service_id=service_id, objectives=[objective], actor=ACTOR)
    now = clock.now()
    for seconds in range(5, 60, 5):
        store.insert_traces([spans(20, at=now - timedelta(seconds=seconds))])
        failed = {"http.response.status_code": 500}
        store.insert_traces([spans(5, at=now - timedelta(seconds=seconds), attributes=failed)])

    def view() -> slo.SloView:
        with virtual_db.transaction() as tx:
            [found] = slo.slos(tx, service_id=service_id)
        return found

    def observer() -> Evaluator:
        return Evaluator(db=virtual_db, source=store, slice_seconds=5, base_url="http://watchbill.test")

    observer().evaluate_once()
    state = view().state
    assert state is not None
    assert (state.state, state.tier, state.bad, state.total) == ("firing", "page", 55, 275)
    with virtual_db.transaction() as tx:
        assert [alert.urgency for alert in alerts.open_alerts(tx)] == ["page"]
    clock.advance(timedelta(minutes=20))  # past what is derived anew: only the kept counts know
    observer().evaluate_once()
    again = view().state
    assert again is not None
    assert (again.bad, again.total) == (55, 275)
    assert (again.state, again.since_at) == ("firing", state.since_at)
