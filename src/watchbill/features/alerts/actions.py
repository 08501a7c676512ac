"""Use-cases of alerts."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.alerts import logic, store
from watchbill.features.alerts.model import Accepted, Alert, Event, Integration
from watchbill.kernel.errors import Conflict, NotFound, Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, system

ROUTE = "alert.route"
"""Due row: take the alert to its owner (or, when it ended, see whether its incident can settle)."""
EXPIRE = "alert.expire"
"""Due row: the source's own expiry has passed."""
HOLD_ENDS = "alert.hold_ends"
"""Due row: half an hour after a person resolved it."""

BEAT_EVERY = timedelta(seconds=10)
ABSENT_AFTER = timedelta(seconds=60)


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


def create_integration(
    tx: Tx, *, name: str, format: str, actor: Actor, service_id: UUID | None = None
) -> tuple[Integration, str]:
    """Make a source of events; returns it with its key, which is shown only now.

    Raises:
        Conflict: the name is taken.
    """
    key = "wbi_" + secrets.token_urlsafe(24)
    created = Integration(id=new_id(), name=name, format=format, service_id=service_id, created_at=tx.now)
    statement = (
        insert(store.integration)
        .values(**msgspec.structs.asdict(created), key_hash=key_hash(key))
        .on_conflict_do_nothing()
        .returning(store.integration.c.id)
    )
    if tx.execute(statement).scalar() is None:
        raise Conflict(
            f"there is an integration named '{name}' already",
            field="name",
            hint="choose another name, or revoke that one first",
        )
    ledger.append(
        tx,
        name="integration.created",
        actor=actor,
        subject=("integration", created.id),
        data={"name": name, "format": format},
    )
    return created, key


def builtin_integration(tx: Tx, *, name: str) -> Integration:
    """The source for Watchbill's own alerts, such as ``slo`` or ``events``; made on first use, has no key."""
    row = tx.execute(sa.select(store.integration).where(store.integration.c.name == name)).one_or_none()
    if row is not None:
        return store.to_integration(row)
    made = Integration(id=new_id(), name=name, format="builtin", service_id=None, created_at=tx.now)
    tx.execute(insert(store.integration).values(**msgspec.structs.asdict(made)).on_conflict_do_nothing())
    row = tx.execute(sa.select(store.integration).where(store.integration.c.name == name)).one()
    return store.to_integration(row)


def key_hash(key: str) -> bytes:
    """Keys are 192 random bits, so a plain SHA-256 is enough: there is nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


def integration_by_key(tx: Tx, *, key: str) -> Integration:
    """The integration a key belongs to (looked up by its hash, so timing tells nothing).

    Raises:
        Unauthenticated: unknown or revoked.
    """
    row = tx.execute(
        sa.select(store.integration).where(
            store.integration.c.key_hash == key_hash(key), store.integration.c.revoked_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise Unauthenticated(
            "this integration key is unknown or revoked",
            hint="make one with `watchbill integration create NAME --format FORMAT`",
        )
    return store.to_integration(row)


def integrations(tx: Tx) -> list[Integration]:
    """All sources that are not revoked, by name."""
    rows = tx.execute(
        sa.select(store.integration).where(store.integration.c.revoked_at.is_(None)).order_by(store.integration.c.name)
    )
    return [store.to_integration(row) for row in rows]


def revoke_integration(tx: Tx, *, name: str, actor: Actor) -> None:
    """End a key at once; alerts it opened stay.

    Raises:
        NotFound: no such integration.
    """
    row = tx.execute(
        sa.update(store.integration)
        .where(store.integration.c.name == name, store.integration.c.revoked_at.is_(None))
        .values(
            revoked_at=tx.now, key_hash=None, name=store.integration.c.name + " (revoked " + str(new_id())[:13] + ")"
        )
        .returning(store.integration.c.id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no integration named '{name}'", hint="see `watchbill integration list`")
    ledger.append(tx, name="integration.revoked", actor=actor, subject=("integration", row.id), data={"name": name})


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
