"""What is forgotten, and when: in small batches, so that intake never waits for it."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from watchbill.features.alerts import store
from watchbill.runtime.db import Tx

DELIVERIES_FOR = timedelta(days=7)
"""How long an exact repeat is known as one. No sender we know repeats a delivery for longer than hours."""
RESOLVED_FOR = timedelta(days=400)
"""How long resolved alerts are kept: a year, and the same month of the year before. Pages and notifications
are kept for ever.
"""
BATCH = 500


def forget_deliveries(tx: Tx, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` delivery ids older than `DELIVERIES_FOR`, the oldest first; returns how many."""
    delivery = store.delivery
    oldest = (
        sa.select(delivery.c.integration_id, delivery.c.delivery_id)
        .where(delivery.c.at < tx.now - DELIVERIES_FOR)
        .order_by(delivery.c.at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("oldest")
    )
    return tx.execute(
        sa.delete(delivery).where(
            delivery.c.integration_id == oldest.c.integration_id, delivery.c.delivery_id == oldest.c.delivery_id
        )
    ).rowcount


def forget_alerts(tx: Tx, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` alerts that were resolved more than `RESOLVED_FOR` ago; returns how many.

    An open alert is never forgotten, however old it is.
    """
    alert = store.alert
    oldest = (
        sa.select(alert.c.id)
        .where(alert.c.state == "resolved", alert.c.resolved_at < tx.now - RESOLVED_FOR)
        .order_by(alert.c.resolved_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("oldest")
    )
    return tx.execute(sa.delete(alert).where(alert.c.id == oldest.c.id)).rowcount
