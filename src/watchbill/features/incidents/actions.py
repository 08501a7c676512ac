"""Use-cases of incidents. Each change is one entry of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.incidents import logic, store
from watchbill.features.incidents.model import Incident, IncidentSeverity
from watchbill.kernel.errors import NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, system

SETTLE = "incident.settle"
"""Due row: every alert of an undeclared incident has been resolved for the settle time."""

LIVE = "watchbill_live"
"""The NOTIFY channel of live screens; the payload says only what changed, such as ``incident:17``."""


_INSERT = sa.insert(store.incident).returning(store.incident.c.number)


def open_incident(
    tx: Tx,
    *,
    title: str,
    severity: IncidentSeverity,
    environment: str,
    service_id: UUID | None,
    team_id: UUID | None,
    unowned: bool,
) -> Incident:
    """Open a suspected incident; the caller attaches alerts and pages in the same transaction."""
    opened = Incident(
        id=new_id(),
        number=0,
        title=title,
        phase="suspected",
        state="open",
        severity=severity,
        environment=environment,
        service_id=service_id,
        team_id=team_id,
        unowned=unowned,
        opened_at=tx.now,
        declared_at=None,
        resolved_at=None,
        settle_at=None,
        resolution=None,
        resolved_by=None,
    )
    columns = {name: value for name, value in msgspec.structs.asdict(opened).items() if name != "number"}
    inserted = tx.execute(_INSERT, columns)
    opened = msgspec.structs.replace(opened, number=inserted.scalar_one())
    why = "no service fits; the fallback team answers" if unowned else ""
    explain(tx, opened, "incident.opened", why=why, data={"title": title, "severity": severity})
    return opened


def join_service(tx: Tx, *, incident: Incident, service_id: UUID) -> bool:
    """Add a service to the incident; True when it was not in it before."""
    statement = (
        insert(store.incident_service)
        .values(incident_id=incident.id, service_id=service_id, joined_at=tx.now)
        .on_conflict_do_nothing()
        .returning(store.incident_service.c.service_id)
    )
    return tx.execute(statement).scalar() is not None


def declare_incident(tx: Tx, *, incident: Incident, actor: Actor, why: str) -> Incident:
    """Users are hurt: say so. From now on a person resolves it. Declaring twice changes nothing."""
    if incident.phase == "declared" or incident.state == "resolved":
        return incident
    declared = change(tx, incident, phase="declared", declared_at=tx.now, settle_at=None)
    due.cancel(tx, kind=SETTLE, subject=incident.id)
    explain(tx, declared, "incident.declared", actor=actor, why=why)
    return declared


def raise_severity(tx: Tx, *, incident: Incident, severity: IncidentSeverity, why: str) -> Incident:
    """Make it worse when ``severity`` is worse; never milder by a machine."""
    if not logic.is_worse(severity, incident.severity):
        return incident
    raised = change(tx, incident, severity=severity)
    explain(tx, raised, "incident.severity_raised", why=why, data={"from": incident.severity, "to": severity})
    return raised


def begin_settling(tx: Tx, *, incident: Incident, settle_for: timedelta) -> None:
    """All alerts are resolved: an undeclared incident ends by itself after the settle time."""
    if incident.state != "open" or incident.settle_at is not None:
        return
    settle_at = tx.now + settle_for
    settling = change(tx, incident, settle_at=settle_at)
    if incident.phase == "declared":
        explain(tx, settling, "incident.recovered", why="every alert is resolved; a person closes a declared incident")
        return
    due.schedule(tx, kind=SETTLE, subject=incident.id, due_at=settle_at)
    explain(tx, settling, "incident.settling", why="every alert is resolved", data={"until": settle_at.isoformat()})


def stop_settling(tx: Tx, *, incident: Incident) -> Incident:
    """An alert fires again: it is not over."""
    if incident.settle_at is None:
        return incident
    due.cancel(tx, kind=SETTLE, subject=incident.id)
    return change(tx, incident, settle_at=None)


def close_incident(tx: Tx, *, incident: Incident, actor: Actor, resolution: str) -> Incident:
    """Mark it resolved. Ending its pages is the caller's part (`paging.resolve_incident`)."""
    if incident.state == "resolved":
        return incident
    due.cancel(tx, kind=SETTLE, subject=incident.id)
    closed = change(
        tx,
        incident,
        state="resolved",
        resolved_at=tx.now,
        settle_at=None,
        resolution=resolution,
        resolved_by=actor.person_id,
    )
    explain(tx, closed, "incident.resolved", actor=actor, why=resolution)
    return closed


def reopen_incident(tx: Tx, *, incident: Incident, actor: Actor, why: str) -> Incident:
    """Open it again instead of starting anew."""
    if incident.state == "open":
        return incident
    opened = change(tx, incident, state="open", resolved_at=None, resolution=None, resolved_by=None)
    explain(tx, opened, "incident.reopened", actor=actor, why=why)
    return opened


def add_note(tx: Tx, *, incident: Incident, actor: Actor, text: str) -> None:
    """A line in the timeline, in a person's words."""
    explain(tx, incident, "incident.noted", actor=actor, why=text)


def change(tx: Tx, incident: Incident, **values: Any) -> Incident:
    """Write columns of a locked incident and tell the live screens."""
    tx.execute(sa.update(store.incident).where(store.incident.c.id == incident.id).values(**values))
    tx.hint(LIVE, f"incident:{incident.number}")
    return msgspec.structs.replace(incident, **values)


def explain(
    tx: Tx,
    incident: Incident,
    name: str,
    *,
    actor: Actor | None = None,
    why: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Append to the incident's timeline."""
    ledger.append(
        tx,
        name=name,
        actor=actor or system("pager"),
        subject=("incident", incident.id),
        incident_id=incident.id,
        team_id=incident.team_id,
        why=why,
        data=data,
    )
    tx.hint(LIVE, f"incident:{incident.number}")


def incident_by_number(tx: Tx, *, number: int) -> Incident:
    """The incident people call by this number.

    Raises:
        NotFound: there is none.
    """
    row = tx.execute(sa.select(store.incident).where(store.incident.c.number == number)).one_or_none()
    if row is None:
        raise NotFound(f"there is no incident {number}", hint="see `watchbill incident list`")
    return store.to_incident(row)


def incident_by_id(tx: Tx, *, incident_id: UUID) -> Incident | None:
    """The incident, without locking it."""
    row = tx.execute(store.BY_ID, {"incident_id": incident_id}).one_or_none()
    return store.to_incident(row) if row else None


def incident_list(
    tx: Tx,
    *,
    state: str | None = None,
    team_ids: Sequence[UUID] | None = None,
    service_id: UUID | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Incidents, newest first."""
    query = sa.select(store.incident)
    if state is not None:
        query = query.where(store.incident.c.state == state)
    if team_ids is not None:
        query = query.where(store.incident.c.team_id.in_(team_ids))
    if service_id is not None:
        members = sa.select(store.incident_service.c.incident_id).where(
            store.incident_service.c.service_id == service_id
        )
        query = query.where(store.incident.c.id.in_(members))
    rows = tx.execute(query.order_by(store.incident.c.opened_at.desc()).limit(limit))
    return [store.to_incident(row) for row in rows]
