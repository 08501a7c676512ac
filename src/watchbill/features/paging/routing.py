"""From an alert to its owner: the pager's first commit.

Whoever touches alerts and incidents together takes the *response lock* first, so that two pagers
never open two incidents for one trouble and never wait for each other in a circle. An
acknowledgement needs only its page and never waits for this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from watchbill.features import alerts, catalog, incidents
from watchbill.features.alerts import Alert
from watchbill.features.catalog import Service
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, logic, store, world
from watchbill.kernel.errors import Unavailable
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import system

log = structlog.get_logger("watchbill.routing")

Adviser = Callable[[Tx, Incident], None]
"""Adds evidence to an incident that was just opened; what it raises is logged, and paging goes on."""

Follower = Callable[[Tx, Alert], None]
"""Told of every alert that was routed, as it is then; what it raises is logged, and paging goes on."""

_RESPONSE_LOCK = 0x57617463
"""The bytes of "Watc": one application-wide advisory lock."""


def lock_response(tx: Tx) -> None:
    """Take the response lock until the transaction ends."""
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _RESPONSE_LOCK})


def route_alert(
    tx: Tx,
    *,
    alert_id: UUID,
    settle_for: timedelta,
    advisers: Sequence[Adviser] = (),
    followers: Sequence[Follower] = (),
) -> None:
    """Take an alert to its owner, all in one commit; then tell those who follow alerts (tickets do).

    Raises:
        BusyError: another transaction holds the alert.
    """
    lock_response(tx)
    alert = alerts.lock_alert(tx, alert_id=alert_id)
    if alert is None:
        return
    _route(tx, alert=alert, settle_for=settle_for, advisers=advisers)
    if alert.is_open and alert.urgency == "page" and not alert.refreshes:
        return  # news to everybody: nobody follows it yet, and a storm of pages pays nothing for this
    for follow in followers:
        try:
            with tx.savepoint():
                follow(tx, alert)
        except Unavailable:
            raise
        except Exception:
            log.exception("a follower of alerts failed; paging goes on", alert=str(alert.id))


def _route(tx: Tx, *, alert: Alert, settle_for: timedelta, advisers: Sequence[Adviser]) -> None:
    """The alert's way, step by step.

    1. An alert that has ended may let its incident settle; nothing else.
    2. The owner is the team of its service; without one, the fallback team, shown as unowned.
    3. A muted alert (not production, or urgency ticket) is stored, shown and counted, not paged.
    4. It joins the incident it belongs to, or opens one, suspected; a page-tier burn of a tier-1
       operation declares it.
    5. The owner's page is opened with its first step; an acknowledged page begins a new epoch when
       another service joined or severity was raised.
    6. Advisers say what may be the cause of an incident that opened.
    """
    if alert.state == "held":
        return
    if alert.state == "resolved":
        if alert.incident_id is not None:
            consider_settling(tx, incident_id=alert.incident_id, settle_for=settle_for)
        return

    service = catalog.service_by_name(tx, name=alert.service_name) if alert.service_name else None
    if service is None and alert.service_id is not None:
        service = catalog.service(tx, id=alert.service_id)
    fallback = catalog.fallback_team(tx) if service is None else None
    team_id = service.team_id if service else (fallback.id if fallback else None)
    service_id = service.id if service else None

    muted = logic.muted_because(environment=alert.environment, urgency=alert.urgency)
    if muted is not None and alert.incident_id is None:
        alerts.attach_alert(
            tx, alert_id=alert.id, service_id=service_id, team_id=team_id, incident_id=None, muted_because=muted
        )
        tx.hint(incidents.LIVE, "alerts")
        return

    incident, reason, opened, joined_service = _find_incident(tx, alert=alert, service=service, team_id=team_id)
    alerts.attach_alert(
        tx, alert_id=alert.id, service_id=service_id, team_id=team_id, incident_id=incident.id, muted_because=None
    )
    incidents.explain(tx, incident, "alert.joined", why=reason, data={"title": alert.title, "alert_id": str(alert.id)})
    tier = _tier(service)
    hurt = alert.declares and tier == 1
    before = incident.severity
    if hurt:
        incident = incidents.declare_incident(
            tx, incident=incident, actor=system("slo"), why=f"users are hurt: {alert.title}"
        )
    incident = incidents.raise_severity(
        tx,
        incident=incident,
        severity=incidents.severity_of(tier=tier, declared=incident.phase == "declared"),
        why=alert.title,
    )
    raised = incidents.is_worse(incident.severity, before)
    _page(
        tx,
        incident=incident,
        team_id=team_id,
        alert=alert,
        opened=opened,
        raised=raised,
        joined_service=joined_service,
        service=service,
    )
    if opened:
        _ask_advisers(tx, incident, advisers)


def _ask_advisers(tx: Tx, incident: Incident, advisers: Sequence[Adviser]) -> None:
    for advise in advisers:
        try:
            with tx.savepoint():
                advise(tx, incident)
        except Unavailable:
            raise
        except Exception:
            log.exception("no advice; paging goes on", incident=incident.number)


def _tier(service: Service | None) -> int:
    """An unowned thing counts as tier 3: nobody has said that it matters more."""
    return service.tier if service else 3


def _find_incident(
    tx: Tx, *, alert: Alert, service: Service | None, team_id: UUID | None
) -> tuple[Incident, str, bool, bool]:
    """(the incident, locked; why it is this one; whether it was opened now; whether the service joined it now)."""
    service_id = service.id if service else None
    previous_id = alert.incident_id or alerts.previous_incident(tx, alert=alert)
    neighbours: frozenset[UUID] = frozenset()
    if service_id is not None:
        near = catalog.dependencies(tx, service_id=service_id)
        neighbours = near.depends_on | near.dependents
    candidates = incidents.lock_candidates(
        tx,
        service_ids=sorted({*neighbours, service_id} if service_id else neighbours),
        previous_incident_id=previous_id,
        resolved_after=tx.now - incidents.REOPEN_WITHIN,
    )
    join = incidents.choose_incident(
        candidates,
        services=incidents.services_of(tx, incident_ids=[c.id for c in candidates]),
        service_id=service_id,
        environment=alert.environment,
        previous_incident_id=previous_id,
        neighbours=neighbours,
        now=tx.now,
    )
    if join is None:
        incident = incidents.open_incident(
            tx,
            title=alert.title,
            severity=incidents.severity_of(tier=_tier(service), declared=False),
            environment=alert.environment,
            service_id=service_id,
            team_id=team_id,
            unowned=service_id is None,
        )
        reason = "it opened this incident"
    else:
        incident, reason = join.incident, join.why
        if join.reopens:
            incident = incidents.reopen_incident(
                tx, incident=incident, actor=system("pager"), why=f"{alert.title} fired again"
            )
        incident = incidents.stop_settling(tx, incident=incident)
    joined = service_id is not None and incidents.join_service(tx, incident=incident, service_id=service_id)
    return incident, reason, join is None, joined and join is not None


def _page(
    tx: Tx,
    *,
    incident: Incident,
    team_id: UUID | None,
    alert: Alert,
    opened: bool,
    raised: bool,
    joined_service: bool,
    service: Service | None,
) -> None:
    pages = [] if opened else store.lock_open_pages(tx, incident_id=incident.id)
    for page in pages:
        own = page.team_id == team_id
        if raised or joined_service:
            why = f"severity raised to {incident.severity}" if raised else f"another service joined: {alert.title}"
            escalation.reconsider_held(tx, page=page, incident=incident, why=why)
        if page.state != "acknowledged":
            continue
        if raised:
            escalation.begin_epoch(tx, page=page, incident=incident, reason=f"severity raised to {incident.severity}")
        elif own and joined_service:
            escalation.begin_epoch(tx, page=page, incident=incident, reason=f"another service joined: {alert.title}")
    if not any(page.team_id == team_id for page in pages):
        reason = (
            "no service fits this alert: you are the fallback team" if service is None else "your service is affected"
        )
        harmed = (world.harmed([service]) if service else ()) if opened else None
        escalation.open_page(tx, incident=incident, team_id=team_id, reason=reason, first=opened, harmed=harmed)


def consider_settling(tx: Tx, *, incident_id: UUID, settle_for: timedelta) -> None:
    """When every alert of the incident is resolved, let it settle."""
    incident = incidents.lock_incident(tx, incident_id=incident_id)
    if incident is None or incident.state == "resolved":
        return
    members = alerts.alerts_of_incident(tx, incident_id=incident_id)
    if members and not any(member.is_open for member in members):
        incidents.begin_settling(tx, incident=incident, settle_for=settle_for)


def settle_incident(tx: Tx, *, incident_id: UUID) -> None:
    """The settle time is over: an undeclared incident whose alerts all stayed resolved ends by itself."""
    lock_response(tx)
    incident = incidents.lock_incident(tx, incident_id=incident_id)
    if incident is None or incident.state == "resolved" or incident.phase == "declared":
        return
    if incident.settle_at is None or incident.settle_at > tx.now:
        return
    if any(member.is_open for member in alerts.alerts_of_incident(tx, incident_id=incident_id)):
        return
    closed = incidents.close_incident(
        tx, incident=incident, actor=system("pager"), resolution="every alert stayed resolved for the settle time"
    )
    for page in store.lock_open_pages(tx, incident_id=incident_id):
        escalation.end_page(tx, page=page, incident=closed, because="incident resolved", actor=system("pager"))


def fire_again(tx: Tx, *, alert: Alert) -> None:
    """A held alert still fires: its incident is open again and paging begins a new epoch."""
    if alert.incident_id is None:
        return
    incident = incidents.lock_incident(tx, incident_id=alert.incident_id)
    if incident is None:
        return
    reason = f"still firing: {alert.title}"
    incident = incidents.reopen_incident(tx, incident=incident, actor=system("pager"), why=reason)
    incident = incidents.stop_settling(tx, incident=incident)
    own = [p for p in store.lock_open_pages(tx, incident_id=incident.id) if p.team_id == alert.team_id]
    for page in own:
        if page.state != "held":
            escalation.begin_epoch(tx, page=page, incident=incident, reason=reason)
    if not own:
        escalation.open_page(tx, incident=incident, team_id=alert.team_id, reason=reason)
