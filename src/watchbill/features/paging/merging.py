"""Two incidents that are one trouble: merge them, both timelines kept, and take them apart again."""

from __future__ import annotations

from uuid import UUID

import msgspec

from watchbill.features import alerts, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, routing, store
from watchbill.features.paging.model import Page
from watchbill.features.paging.rights import lock_incident, require_responder
from watchbill.kernel.errors import Conflict, Invalid
from watchbill.runtime.db import Tx


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge moved: alerts and pages by id, and the services that were new to the other incident."""

    alerts: list[UUID] = []
    pages: list[UUID] = []
    services: list[UUID] = []


def merge_incident(tx: Tx, *, number: int, into: int, caller: Caller, why: str = "") -> Incident:
    """Make incident ``number`` part of incident ``into``; returns the latter.

    1. Its alerts and services move. Severity is the worse of the two; declared if one of them was.
    2. A page of a team that has one there too ends "merged"; others move and go on as they are. A page that somebody
       else acknowledged there begins a new epoch, since another service joined.
    3. It is resolved as merged. Its timeline stays its own, and is shown with the other's.

    Raises:
        Invalid: the same incident twice. Conflict: one of them is resolved. Forbidden: not a responder of both.
    """
    if number == into:
        raise Invalid("an incident cannot be merged into itself", field="into", hint="name the other incident")
    routing.lock_response(tx)
    ids = sorted(incidents.incident_by_number(tx, number=each).id for each in (number, into))
    locked = {found.number: found for found in (lock_incident(tx, id) for id in ids)}
    source, target = locked[number], locked[into]
    for incident in (source, target):
        require_responder(tx, incident=incident, caller=caller)
        if incident.state == "resolved":
            raise Conflict(f"incident {incident.number} is resolved", code="incident_resolved", hint="reopen it first")
    before = incidents.services_of(tx, incident_ids=ids)
    new = [each for each in before.get(source.id, []) if each not in before.get(target.id, [])]
    moved_pages = _move_pages(tx, source, target, caller)
    moved = Moved(
        alerts=alerts.move_alerts(tx, from_incident=source.id, to_incident=target.id),
        pages=moved_pages,
        services=new,
    )
    for service_id in new:
        incidents.join_service(tx, incident=target, service_id=service_id)
    incidents.mark_merged(
        tx, incident=source, into=target, moved=msgspec.to_builtins(moved), actor=caller.actor, why=why
    )
    target = incidents.stop_settling(tx, incident=target)
    if source.phase == "declared":
        said = f"incident {number}, which was declared, was merged into it"
        target = incidents.declare_incident(tx, incident=target, actor=caller.actor, why=said)
    target = incidents.raise_severity(tx, incident=target, severity=source.severity, why=f"merged with {number}")
    _renew(tx, target, caller, joined=bool(new), moved=moved_pages, number=number)
    return target


def _move_pages(tx: Tx, source: Incident, target: Incident, caller: Caller) -> list[UUID]:
    there = {page.team_id for page in store.lock_open_pages(tx, incident_id=target.id)}
    moved: list[UUID] = []
    for page in store.lock_open_pages(tx, incident_id=source.id):
        if page.team_id in there:
            because = f"merged into incident {target.number}"
            escalation.end_page(tx, page=page, incident=source, because=because, actor=caller.actor)
        else:
            store.change_page(tx, page, incident_id=target.id)
            moved.append(page.id)
    return moved


def _renew(tx: Tx, target: Incident, caller: Caller, *, joined: bool, moved: list[UUID], number: int) -> None:
    """Whoever acknowledged the incident did not see what was merged into it; whoever merges has."""
    why = f"another service joined: incident {number} was merged"
    for page in store.lock_open_pages(tx, incident_id=target.id):
        escalation.reconsider_held(tx, page=page, incident=target, why=why)
        others = page.state == "acknowledged" and page.acknowledged_by != caller.person_id
        if joined and others and page.id not in moved:
            escalation.begin_epoch(tx, page=page, incident=target, reason=why)


def unmerge_incident(tx: Tx, *, number: int, caller: Caller, why: str = "") -> Incident:
    """Take a merged incident apart again: it is open, its alerts and its pages that still run come back.

    Where nothing of it is being paged then, its team's page begins anew. What happened meanwhile stays where it
    happened.

    Raises:
        Conflict: it was not merged, or the other incident is resolved. Forbidden: not a responder of both.
    """
    routing.lock_response(tx)
    source = lock_incident(tx, incidents.incident_by_number(tx, number=number).id)
    if source.merged_into is None:
        raise Conflict(f"incident {number} was not merged", code="not_merged", hint="there is nothing to take apart")
    target = lock_incident(tx, source.merged_into)
    for incident in (source, target):
        require_responder(tx, incident=incident, caller=caller)
    if target.state == "resolved":
        raise Conflict(
            f"incident {target.number} is resolved, and this one with it",
            code="incident_resolved",
            hint=f"reopen {target.number} first",
        )
    raw = incidents.unmark_merged(tx, incident=source, into=target, actor=caller.actor, why=why)
    moved = msgspec.convert(raw, Moved)
    opened = lock_incident(tx, source.id)
    alerts.move_alerts(tx, from_incident=target.id, to_incident=source.id, only=moved.alerts)
    incidents.leave_services(tx, incident=target, service_ids=moved.services)
    back: list[Page] = []
    for page in store.lock_open_pages(tx, incident_id=target.id):
        if page.id in moved.pages:
            back.append(store.change_page(tx, page, incident_id=source.id))
    if not back:
        escalation.open_page(
            tx, incident=opened, team_id=opened.team_id, reason=f"taken apart from incident {target.number}"
        )
    return opened
