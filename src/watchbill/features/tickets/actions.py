"""Follow an alert to its ticket: called by routing, in its transaction."""

from __future__ import annotations

from watchbill.features.alerts import Alert
from watchbill.features.tickets import store
from watchbill.runtime import due
from watchbill.runtime.db import Tx

SYNC = "ticket.sync"
"""Due row: the ticket of an alert is to say what the alert says; the subject is the alert's id."""


def follow(tx: Tx, alert: Alert) -> None:
    """Have the alert's ticket looked after, if it is to have one or has one. The caller holds the alert's row."""
    if (alert.is_open and alert.urgency == "ticket") or store.ticket_of_alert(tx, alert_id=alert.id) is not None:
        due.nudge(tx, kind=SYNC, subject=alert.id)
