"""Odd input and awkward moments: one bad thing delays nobody else, and nothing waits for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.kernel.errors import Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Database

MINUTE = timedelta(minutes=1)


def test_a_notification_that_cannot_be_prepared_delays_no_other(stage: Stage) -> None:
    """paged.never_dropped"""
    with stage.db.transaction() as tx:
        due.schedule(tx, kind="notification.send", subject="nonsense", due_at=tx.now - MINUTE)
    stage.fire()
    assert stage.addresses() == ["alice"]
    with stage.db.transaction() as tx:
        kept = tx.execute(sa.text("SELECT last_error, attempts FROM due_row WHERE subject = 'nonsense'")).one()
    assert "ValueError" in kept.last_error
    assert kept.attempts > 0


def test_a_channel_that_breaks_counts_as_a_failed_try_and_the_next_method_follows(stage: Stage) -> None:
    """notification.failed"""

    def breaks(_message: object) -> paging.SendOutcome:
        raise RuntimeError("a defect in a channel")

    stage._send = paging.SendNotification(send=breaks, links=stage._send._links)
    stage.fire()
    stage.wait(3 * MINUTE)
    notifications = [n for n in stage.incident().pages[0].notifications if n.step == 0]
    assert [(n.state, n.attempts) for n in notifications] == [("failed", 5)]
    assert "a defect in a channel" in (notifications[0].error or "")


def test_an_alert_that_is_held_to_its_end_lets_a_reopened_incident_settle(stage: Stage) -> None:
    """alert.held, incident.settles"""
    stage.fire("a")
    stage.fire("b")
    stage.resolve("alice")
    stage.wait(5 * MINUTE)
    stage.recover("b")
    stage.fire("b")
    assert stage.incident().incident.state == "open"
    stage.recover("b")
    stage.wait(40 * MINUTE)
    assert stage.incident().incident.state == "resolved"


def test_an_alert_that_fires_again_after_its_hold_can_become_stale_again(stage: Stage) -> None:
    """alert.held, alert.stale"""
    stage.beat()
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    stage.resolve("alice")
    stage.wait(MINUTE)
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    stage.wait(40 * MINUTE)
    assert stage.incident().alerts[0].state == "stale"


def test_resolving_while_the_source_reports_asks_to_try_again(stage: Stage, database_url: str) -> None:
    stage.fire()
    caller = stage.caller("alice")
    other = Database(database_url, name="source", clock=stage.clock)
    with other.transaction() as reporting:
        reporting.execute(sa.text("SELECT id FROM alert FOR UPDATE"))
        with pytest.raises(Unavailable), stage.db.transaction() as tx:
            paging.resolve_incident(tx, number=1, caller=caller)
    other.dispose()
    stage.resolve("alice")
    assert stage.incident().incident.state == "resolved"


def test_a_zero_byte_in_an_event_is_shown_as_unknown_and_pages(stage: Stage) -> None:
    """PostgreSQL keeps no U+0000; refusing the event would lose a page for one byte."""
    stage.fire("a\0b", title="high\0errors", labels={"k\0": "v\0"}, links=[alerts.Link(title="\0", url="https://x")])
    assert stage.addresses() == ["alice"]
    assert stage.incident().alerts[0].title == "high\ufffderrors"
    stage.recover("a\0b")
    assert stage.incident().alerts[0].state == "resolved"


def test_an_expiry_at_the_end_of_time_is_kept(stage: Stage) -> None:
    stage.fire(expires_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert stage.addresses() == ["alice"]
