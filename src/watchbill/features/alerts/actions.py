"""What happens to an alert after it was accepted: expiry, holds, its incident."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.alerts import logic, store
from watchbill.features.alerts.accepting import EXPIRE, ROUTE
from watchbill.features.alerts.model import Alert
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, system

HOLD_ENDS = "alert.hold_ends"
"""Due row: half an hour after a person resolved it."""

ABSENT_AFTER = timedelta(seconds=60)


def expire_alert(tx: Tx, *, alert_id: UUID, acknowledged: bool) -> None:
    """The source has been silent past its expiry: firing → stale; stale for a day and acknowledged → resolved.

    Called by the due row, which is put back when it is not time yet: because intake itself was away
    (our own downtime does not count), or because somebody is still being looked for.
    """
    alert = store.lock_alert(tx, alert_id=alert_id)
    if alert is None or alert.expires_at is None:
        return
    if alert.state == "firing":
        stale_at = _stale_at(tx, alert, alert.expires_at)
        if stale_at <= tx.now:
            _set(tx, alert, state="stale", stale_at=tx.now)
            _explain(tx, alert, "alert.stale", "its source is silent; that is not recovery")
            stale_at = tx.now + logic.STALE_FOR
        due.schedule(tx, kind=EXPIRE, subject=alert.id, due_at=stale_at)
    elif alert.state == "stale" and acknowledged:
        _set(tx, alert, state="resolved", resolved_at=tx.now, resolved_because="expired")
        _explain(tx, alert, "alert.resolved", "expired: silent for 24 hours, its incident acknowledged")
        due.schedule(tx, kind=ROUTE, subject=alert.id, due_at=tx.now)
    elif alert.state == "stale":
        due.schedule(tx, kind=EXPIRE, subject=alert.id, due_at=tx.now + timedelta(hours=1))


def _stale_at(tx: Tx, alert: Alert, expires_at: datetime) -> datetime:
    """When its silence becomes staleness; a minute from now while intake itself is away."""
    beat_at, resumed_at = store.intake_resumed_at(tx)
    if beat_at is not None and tx.now - beat_at > ABSENT_AFTER:
        return tx.now + ABSENT_AFTER
    return logic.stale_due(expires_at, alert.last_event_at, resumed_at)


def hold_alert(tx: Tx, *, alert_id: UUID, actor: Actor) -> None:
    """A person resolved it: held until the source says resolved, or it still fires in half an hour."""
    alert = store.lock_alert(tx, alert_id=alert_id)
    if alert is None or alert.state not in ("firing", "stale"):
        return
    _set(tx, alert, state="held", held_at=tx.now)
    _explain(tx, alert, "alert.held", "resolved by a person; watched for 30 minutes", actor=actor)
    due.schedule(tx, kind=HOLD_ENDS, subject=alert.id, due_at=tx.now + logic.HOLD_FOR)


def end_hold(tx: Tx, *, alert_id: UUID) -> Alert | None:
    """Half an hour later: firing again when the source still fires, else resolved. Returns it when it fires."""
    alert = store.lock_alert(tx, alert_id=alert_id)
    if alert is None or alert.state != "held" or alert.held_at is None:
        return None
    if logic.after_hold(alert.held_at, alert.last_event_at) == "resolved":
        _set(tx, alert, state="resolved", resolved_at=tx.now, resolved_because="resolved by a person")
        _explain(tx, alert, "alert.resolved", "resolved by a person; its source has not fired since")
        due.schedule(tx, kind=ROUTE, subject=alert.id, due_at=tx.now)  # its incident may be open again, and end now
        return None
    _set(tx, alert, state="firing", held_at=None)
    if alert.expires_at is not None:
        due.schedule(tx, kind=EXPIRE, subject=alert.id, due_at=max(tx.now, alert.expires_at))
    _explain(tx, alert, "alert.still_firing", "resolved by a person 30 minutes ago, and still firing")
    return msgspec.structs.replace(alert, state="firing", held_at=None)


def attach_alert(
    tx: Tx,
    *,
    alert_id: UUID,
    service_id: UUID | None,
    team_id: UUID | None,
    incident_id: UUID | None,
    muted_because: str | None,
) -> None:
    """Write where routing took the alert."""
    tx.execute(
        sa.update(store.alert)
        .where(store.alert.c.id == alert_id)
        .values(service_id=service_id, team_id=team_id, incident_id=incident_id, muted_because=muted_because)
    )


def move_alerts(tx: Tx, *, from_incident: UUID, to_incident: UUID, only: Sequence[UUID] | None = None) -> list[UUID]:
    """Make the alerts of one incident (``only`` these) members of another; returns which moved."""
    statement = sa.update(store.alert).where(store.alert.c.incident_id == from_incident)
    if only is not None:
        statement = statement.where(store.alert.c.id.in_(only))
    moved = tx.execute(statement.values(incident_id=to_incident).returning(store.alert.c.id)).scalars()
    return sorted(moved)


def _set(tx: Tx, alert: Alert, **values: Any) -> None:
    tx.execute(sa.update(store.alert).where(store.alert.c.id == alert.id).values(**values))


def _explain(tx: Tx, alert: Alert, name: str, why: str, actor: Actor | None = None) -> None:
    ledger.append(
        tx,
        name=name,
        actor=actor or system("pager"),
        subject=("alert", alert.id),
        incident_id=alert.incident_id,
        team_id=alert.team_id,
        why=why,
        data={"title": alert.title},
    )


def beat_intake(tx: Tx) -> None:
    """Say that intake is alive; notices when it was away. The server calls it every ten seconds."""
    statement = insert(store.intake_beat).values(one=True, beat_at=tx.now, resumed_at=tx.now)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["one"],
            set_={
                "beat_at": tx.now,
                "resumed_at": sa.case(
                    (store.intake_beat.c.beat_at < tx.now - ABSENT_AFTER, tx.now),
                    else_=store.intake_beat.c.resumed_at,
                ),
            },
        )
    )


def open_alerts(
    tx: Tx, *, team_ids: Sequence[UUID] | None = None, urgency: str | None = None, limit: int = 200
) -> list[Alert]:
    """Alerts that are not resolved, newest first."""
    query = sa.select(store.alert).where(store.alert.c.state != "resolved")
    if team_ids is not None:
        query = query.where(store.alert.c.team_id.in_(team_ids))
    if urgency is not None:
        query = query.where(store.alert.c.urgency == urgency)
    rows = tx.execute(query.order_by(store.alert.c.started_at.desc()).limit(limit))
    return [store.to_alert(row) for row in rows]


def alerts_of_incident(tx: Tx, *, incident_id: UUID) -> list[Alert]:
    """Members of an incident, oldest first."""
    rows = tx.execute(store.OF_INCIDENT, {"incident_id": incident_id})
    return [store.to_alert(row) for row in rows]


def previous_incident(tx: Tx, *, alert: Alert) -> UUID | None:
    """The incident that the identity's last ended episode belonged to."""
    found: UUID | None = tx.execute(
        sa.select(store.alert.c.incident_id)
        .where(
            store.alert.c.integration_id == alert.integration_id,
            store.alert.c.identity == alert.identity,
            store.alert.c.id != alert.id,
            store.alert.c.incident_id.is_not(None),
        )
        .order_by(store.alert.c.started_at.desc())
        .limit(1)
    ).scalar()
    return found
