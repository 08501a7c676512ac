"""Accepting a batch of events: the one commit before the 2xx."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features.alerts import logic, store
from watchbill.features.alerts.model import Accepted, Alert, Event
from watchbill.kernel.errors import Conflict
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

ROUTE = "alert.route"
"""Due row: take the alert to its owner (or, when it ended, see whether its incident can settle)."""
EXPIRE = "alert.expire"
"""Due row: the source's own expiry has passed."""

BEAT_EVERY = timedelta(seconds=10)


def accept_events(tx: Tx, *, integration_id: UUID, events: Sequence[Event]) -> list[Accepted]:
    """Take a batch of events; when the transaction commits, none of them can be lost.

    1. Exact repeats (same delivery id) are left out.
    2. The open alerts of the identities are locked, in order.
    3. Each event is decided on (`logic.decide`), in the order given.
    4. New, refreshed and resolved alerts are written, one statement each, with their due rows.
    """
    events = logic.storable(events)
    fresh = store.new_deliveries(
        tx, integration_id=integration_id, delivery_ids=[e.delivery_id for e in events if e.delivery_id]
    )
    identities = sorted({event.identity for event in events})
    open_alerts = store.lock_open(tx, integration_id=integration_id, identities=identities)
    batch = _Batch(tx, integration_id, open_alerts)
    seen: set[str] = set()
    for event in events:
        if event.delivery_id and (event.delivery_id not in fresh or event.delivery_id in seen):
            batch.accepted.append(
                Accepted(identity=event.identity, outcome="duplicate", alert_id=None, reason="delivered before")
            )
            continue
        seen.add(event.delivery_id or "")
        batch.add(event)
    batch.write()
    return batch.accepted


class _Batch:
    """The events of one call, folded identity by identity before anything is written."""

    def __init__(self, tx: Tx, integration_id: UUID, open_alerts: dict[str, Alert]) -> None:
        self.tx = tx
        self.integration_id = integration_id
        self.alerts = open_alerts
        self.opened: dict[UUID, Alert] = {}
        self.refreshed: dict[UUID, tuple[Alert, Event]] = {}
        self.resolved: dict[UUID, Alert] = {}
        self.woken: set[UUID] = set()
        self.accepted: list[Accepted] = []

    def add(self, event: Event) -> None:
        known = self.alerts.get(event.identity)
        decision = logic.decide(known.state if known else None, known.source_at if known else None, event, self.tx.now)
        alert_id = known.id if known else None
        if decision.outcome == "opened":
            opened = _new_alert(self.tx, self.integration_id, event)
            self.alerts[event.identity] = opened
            self.opened[opened.id] = opened
            alert_id = opened.id
        elif decision.outcome == "refreshed" and known is not None and decision.state is not None:
            if known.state == "stale" or known.urgency != event.urgency or known.declares != event.declares:
                self.woken.add(known.id)
            merged = _refreshed(self.tx, known, event, decision.state)
            self.alerts[event.identity] = merged
            if known.id in self.opened:
                self.opened[known.id] = merged
            else:
                self.refreshed[known.id] = (merged, event)
        elif decision.outcome == "resolved" and known is not None:
            del self.alerts[event.identity]
            self.refreshed.pop(known.id, None)
            if known.id in self.opened:
                # Began and ended within one delivery: written as history, and nobody is paged for it.
                self.opened[known.id] = msgspec.structs.replace(
                    known, state="resolved", resolved_at=self.tx.now, resolved_because="resolved by its source"
                )
            else:
                self.resolved[known.id] = known
        self.accepted.append(
            Accepted(identity=event.identity, outcome=decision.outcome, alert_id=alert_id, reason=decision.reason)
        )

    def write(self) -> None:
        tx = self.tx
        if self.resolved:
            # Before the inserts: the same delivery may hold a resolve and the next episode's trigger.
            store.resolve_alerts(tx, alert_ids=list(self.resolved), because="resolved by its source")
        inserted = store.insert_alerts(tx, rows=[_columns(a) for _, a in sorted(self.opened.items())])
        lost = [alert for alert_id, alert in self.opened.items() if alert_id not in inserted]
        if lost:
            # Another sender opened the same identity between our look and our insert: theirs stands,
            # and the sender is asked to send again, which then refreshes it.
            raise Conflict(
                "the same alert was opened by another delivery at this very moment",
                code="concurrent_delivery",
                hint="send it again",
            )
        store.refresh_alerts(tx, rows=[_refresh_columns(tx, a) for a, _ in self._in_order(self.refreshed)])
        routed = [*self.opened, *self.woken, *self.resolved]
        due.schedule_many(tx, kind=ROUTE, rows=[(str(alert_id), tx.now, {}) for alert_id in dict.fromkeys(routed)])
        expiring = [*self.opened.values(), *(alert for alert, _ in self.refreshed.values())]
        due.schedule_many(
            tx,
            kind=EXPIRE,
            rows=[
                (str(alert.id), alert.expires_at, {})
                for alert in expiring
                if alert.expires_at is not None and alert.is_open
            ],
        )
        for alert in self.opened.values():
            _note(tx, "alert.opened", self.integration_id, alert, why=alert.title)
        for alert in self.resolved.values():
            _note(tx, "alert.resolved", self.integration_id, alert, why="resolved by its source")
        if self.accepted:
            tx.execute(
                sa.update(store.integration)
                .where(
                    store.integration.c.id == self.integration_id,
                    sa.or_(
                        store.integration.c.last_event_at.is_(None),
                        store.integration.c.last_event_at < tx.now - BEAT_EVERY,
                    ),
                )
                .values(last_event_at=tx.now)
            )

    @staticmethod
    def _in_order(refreshed: dict[UUID, tuple[Alert, Event]]) -> list[tuple[Alert, Event]]:
        return [refreshed[alert_id] for alert_id in sorted(refreshed)]


def _new_alert(tx: Tx, integration_id: UUID, event: Event) -> Alert:
    return Alert(
        id=new_id(),
        integration_id=integration_id,
        identity=event.identity,
        state="firing",
        urgency=event.urgency,
        severity=event.severity,
        title=event.title,
        description=event.description,
        labels=event.labels,
        annotations=event.annotations,
        links=event.links,
        environment=event.environment,
        service_name=event.service,
        service_id=None,
        team_id=None,
        operation=event.operation,
        declares=event.declares,
        incident_id=None,
        muted_because=None,
        started_at=tx.now,
        last_event_at=tx.now,
        source_at=event.occurred_at or tx.now,
        expires_at=event.expires_at,
        stale_at=None,
        held_at=None,
        resolved_at=None,
        resolved_because=None,
        refreshes=0,
    )


def _refreshed(tx: Tx, known: Alert, event: Event, state: Any) -> Alert:
    return msgspec.structs.replace(
        known,
        state=state,
        title=event.title,
        description=event.description,
        severity=event.severity,
        annotations=event.annotations,
        links=event.links,
        urgency=event.urgency,
        declares=event.declares,
        last_event_at=tx.now,
        source_at=max(known.source_at, event.occurred_at or tx.now),
        expires_at=event.expires_at,
        stale_at=None,
    )


def _columns(alert: Alert) -> dict[str, Any]:
    columns = msgspec.structs.asdict(alert)
    columns["links"] = msgspec.to_builtins(alert.links)
    return columns


def _refresh_columns(tx: Tx, alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.id,
        "new_state": alert.state,
        "new_title": alert.title,
        "new_description": alert.description,
        "new_severity": alert.severity,
        "new_annotations": alert.annotations,
        "new_links": msgspec.to_builtins(alert.links),
        "new_urgency": alert.urgency,
        "new_declares": alert.declares,
        "event_at": tx.now,
        "new_source_at": alert.source_at,
        "new_expires_at": alert.expires_at,
    }


def _note(tx: Tx, name: str, integration_id: UUID, alert: Alert, *, why: str) -> None:
    ledger.append(
        tx,
        name=name,
        actor=Actor("integration", str(integration_id)),
        subject=("alert", alert.id),
        incident_id=alert.incident_id,
        team_id=alert.team_id,
        why=why,
        data={"title": alert.title, "identity": alert.identity},
    )
