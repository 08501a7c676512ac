"""Objectives by the calendar and with alerts of their own, from the manifest through the real engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from tests.contract.slo.test_given_counts import objective
from watchbill.features import slo
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database


def test_a_new_period_of_the_calendar_begins_with_a_whole_budget(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    one = objective(db, "pushed: true", "calendar: {every: 1M, start: 2026-01-01, timeZone: Europe/Berlin}")
    assert one.window_seconds == 30 * 86_400
    turn = datetime(2026, 3, 31, 22, tzinfo=UTC)  # midnight in Berlin, summer time
    clock = VirtualClock(turn - timedelta(minutes=3))
    now = Database(database_url, clock=clock)
    evaluator = Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test")

    def push(minutes: int, good: int, total: int) -> None:
        slices = [(clock.now() - timedelta(minutes=back), float(good), float(total)) for back in range(1, minutes + 1)]
        store.put_counts(operation_id=one.operation_id, objective=one.name, slice_seconds=60, counts=slices)

    def state() -> slo.StateRow:
        evaluator.evaluate_once()
        with now.transaction() as tx:
            return slo.states(tx)[one.id]

    push(60, 995, 1000)
    before = state()
    assert (before.bad, before.total) == (300, 60_000)
    assert before.budget_remaining == -4, "five times what 99.9 % allows"
    clock.advance(timedelta(minutes=7))
    push(3, 1000, 1000)
    after = state()
    assert (after.bad, after.total, after.budget_remaining) == (0, 3000, 1)
    now.dispose()


def test_alerts_by_share_of_budget_become_burns_of_the_window(db: Database) -> None:
    one = objective(
        db,
        "window: 28d",
        "alerts:",
        "  - {tier: page, budget: 2, window: 1h}",
        "  - {tier: ticket, burn: 1.5, window: 1d, short: 1h}",
    )
    assert one.alerts is not None
    assert [Fraction(alert.burn) for alert in one.alerts] == [Fraction(1344, 100), Fraction(3, 2)]
    with db.transaction() as tx:
        assert slo.slo_detail(tx, id=one.id).dropped == []
