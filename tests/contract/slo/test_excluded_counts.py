"""Time is excluded after the fact over counts in the real engine: budget, series and report agree, also back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.contract.slo.test_given_counts import NOW, objective
from tests.journeys.stage import ACTOR
from watchbill.features import identity, slo
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database


def test_days_old_minutes_leave_the_budget_and_the_series_of_the_real_engine(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    one = objective(db, "pushed: true")
    clock = VirtualClock(datetime.fromtimestamp(NOW, UTC))
    now = Database(database_url, clock=clock)
    bad_at = datetime.fromtimestamp(NOW, UTC) - timedelta(days=5)  # older than what is kept minute by minute
    bad_at = bad_at.replace(minute=7, second=0)
    counts = [(bad_at + timedelta(minutes=minute), 90.0, 100.0) for minute in range(20)]
    counts += [(datetime.fromtimestamp(NOW - 60 * minute, UTC), 1000.0, 1000.0) for minute in range(1, 100)]
    store.put_counts(
        operation_id=one.operation_id, objective=one.name, counts=counts, slice_seconds=60
    )
    evaluator = Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test")

    def figures() -> tuple[int, int, int, int]:
        clock.advance(timedelta(minutes=1))
        evaluator.evaluate_once()
        with now.transaction() as tx:
            state = slo.states(tx)[one.id]
            hour = bad_at.replace(minute=0)
            lines = slo.kept(tx, start=hour, end=hour + timedelta(hours=1))
        return state.bad, state.excluded_bad, lines[0].bad, lines[0].excluded_bad

    assert figures()[:2] == (200, 0)
    with now.transaction() as tx:
        two = [identity.ensure_person(tx, login=f"{name}@example.org").id for name in ("alice", "bob")]
        wanted = slo.Wanted(
            service_id=one.service_id,
            slo_id=one.id,
            environment="production",
            start_at=bad_at + timedelta(minutes=3),
            end_at=bad_at + timedelta(minutes=15),
        )
        made = slo.declare_exclusion(tx, wanted=wanted, reason="a broken probe", actor=ACTOR, person_id=two[0])
        slo.sign_exclusion(tx, exclusion_id=made.id, person_id=two[1], actor=ACTOR)
    assert figures() == (80, 120, 80, 120)
    with now.transaction() as tx:
        slo.revoke_exclusion(tx, exclusion_id=made.id, reason="it was not broken", actor=ACTOR)
    assert figures() == (200, 0, 200, 0)
    now.dispose()
