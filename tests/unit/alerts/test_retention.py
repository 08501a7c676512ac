"""What is forgotten after how long, and what never is."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from watchbill.features import alerts
from watchbill.features.alerts import store
from watchbill.kernel.clock import VirtualClock
from watchbill.processes.worker import forget
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

DAY = timedelta(days=1)


def post(db: Database, identity: str, action: str = "trigger", delivery_id: str | None = None) -> list[str]:
    with db.transaction() as tx:
        source = alerts.builtin_integration(tx, name="events")
        event = alerts.Event(identity=identity, action=action, title=identity, delivery_id=delivery_id)  # type: ignore[arg-type]
        return [each.outcome for each in alerts.accept_events(tx, integration_id=source.id, events=[event])]


def identities(db: Database) -> list[str]:
    with db.transaction() as tx:
        return sorted(tx.execute(sa.select(store.alert.c.identity)).scalars())


@pytest.fixture
def started_at(clock: VirtualClock) -> datetime:
    return clock.now()


def test_a_delivery_id_is_known_for_a_week_and_then_forgotten(
    virtual_db: Database, clock: VirtualClock, started_at: datetime
) -> None:
    post(virtual_db, "disk", delivery_id="one")
    clock.move_to(started_at + 7 * DAY)
    assert forget(virtual_db, alerts.forget_deliveries) == 0
    assert post(virtual_db, "disk", delivery_id="one") == ["duplicate"]
    clock.move_to(started_at + 7 * DAY + timedelta(seconds=1))
    assert forget(virtual_db, alerts.forget_deliveries) == 1
    assert post(virtual_db, "disk", delivery_id="one") == ["refreshed"]


def test_a_resolved_alert_is_kept_for_400_days_and_an_open_one_for_ever(
    virtual_db: Database, clock: VirtualClock, started_at: datetime
) -> None:
    post(virtual_db, "ended")
    post(virtual_db, "ended", "resolve")
    post(virtual_db, "open")
    clock.move_to(started_at + 400 * DAY)
    assert forget(virtual_db, alerts.forget_alerts) == 0
    clock.move_to(started_at + 401 * DAY)
    assert forget(virtual_db, alerts.forget_alerts) == 1
    assert identities(virtual_db) == ["open"]


def test_many_are_forgotten_in_small_batches_one_after_the_other(
    virtual_db: Database, clock: VirtualClock, started_at: datetime
) -> None:
    for number in range(5):
        post(virtual_db, f"{number}", delivery_id=f"{number}")
    clock.move_to(started_at + 8 * DAY)
    loop = Loop(
        "deliveries",
        lambda: forget(virtual_db, partial(alerts.forget_deliveries, limit=2)),
        idle_seconds=3600,
    )
    assert [loop.run_once() for _ in range(4)] == [0, 0, 0, 3600]
