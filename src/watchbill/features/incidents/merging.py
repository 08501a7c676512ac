"""What an incident keeps when it becomes part of another one, and when it leaves again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from watchbill.features.incidents import store
from watchbill.features.incidents.actions import SETTLE, change, explain
from watchbill.features.incidents.model import Incident
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


def mark_merged(
    tx: Tx, *, incident: Incident, into: Incident, moved: dict[str, Any], actor: Actor, why: str
) -> Incident:
    """Resolve ``incident`` as part of ``into``, and keep what ``moved``; both timelines say so."""
    due.cancel(tx, kind=SETTLE, subject=incident.id)
    merged = change(
        tx,
        incident,
        state="resolved",
        resolved_at=tx.now,
        settle_at=None,
        resolution=f"merged into incident {into.number}",
        resolved_by=actor.person_id,
        merged_into=into.id,
    )
    tx.execute(
        sa.insert(store.incident_merge).values(incident_id=incident.id, into_id=into.id, merged_at=tx.now, moved=moved)
    )
    explain(tx, merged, "incident.merged", actor=actor, why=why, data={"into": into.number})
    explain(tx, into, "incident.absorbed", actor=actor, why=why, data={"number": incident.number})
    return merged


def unmark_merged(tx: Tx, *, incident: Incident, into: Incident, actor: Actor, why: str) -> dict[str, Any]:
    """Open ``incident`` again on its own; returns what had moved."""
    merge = store.incident_merge
    moved: dict[str, Any] = tx.execute(
        sa.delete(merge).where(merge.c.incident_id == incident.id).returning(merge.c.moved)
    ).scalar_one()
    opened = change(tx, incident, state="open", resolved_at=None, resolution=None, resolved_by=None, merged_into=None)
    explain(tx, opened, "incident.unmerged", actor=actor, why=why, data={"from": into.number})
    explain(tx, into, "incident.released", actor=actor, why=why, data={"number": incident.number})
    return moved


def leave_services(tx: Tx, *, incident: Incident, service_ids: Collection[UUID]) -> None:
    """These services are no longer part of the incident."""
    members = store.incident_service
    if service_ids:
        tx.execute(
            sa.delete(members).where(members.c.incident_id == incident.id, members.c.service_id.in_(service_ids))
        )


def merged_into(tx: Tx, *, incident_id: UUID) -> Sequence[Incident]:
    """The incidents that are part of this one, in the order of their numbers."""
    rows = tx.execute(
        sa.select(store.incident).where(store.incident.c.merged_into == incident_id).order_by(store.incident.c.number)
    )
    return [store.to_incident(row) for row in rows]
