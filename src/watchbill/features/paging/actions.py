"""Use-cases of people: acknowledge, resolve, note, declare, test.

By link, screen, CLI or API they are these same functions.
"""

from __future__ import annotations

from uuid import UUID

from watchbill.features import alerts, catalog, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, logic, routing, store
from watchbill.features.paging.model import Page
from watchbill.features.paging.rights import (
    incident_of_page,
    lock_incident,
    require_responder,
    require_team,
    why_may_respond,
)
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Tx


def acknowledge_page(tx: Tx, *, page_id: UUID, caller: Caller, via: str = "api") -> Page:
    """Stop the page: nothing of this epoch is sent after this commits, beyond what is already in flight.

    Acknowledging an acknowledged page changes nothing and is not an error (two people tap at once);
    when the same person does it again, the time until they are asked again starts anew. Whoever is asked to take
    the page over accepts that by acknowledging.

    Raises:
        NotFound: no such page.
        Forbidden: the caller was not notified, is no member of the team, and does not respond here.
        Conflict: the page has ended.
    """
    page = store.lock_page(tx, page_id=page_id)
    if page is None:
        raise NotFound("there is no such page")
    incident = incident_of_page(tx, page.incident_id)
    why = why_may_respond(tx, page=page, caller=caller)
    if page.state == "ended":
        raise Conflict(
            f"this page has ended: {page.ended_because}", code="page_ended", hint="there is nothing left to do"
        )
    taking_over = page.handover_to is not None and page.handover_to == caller.person_id
    if page.state == "acknowledged" and page.acknowledged_by != caller.person_id and not taking_over:
        return page
    escalation.cancel_queued(tx, page_id=page.id)
    until = tx.now + page.acknowledge_for
    acknowledged = store.change_page(
        tx,
        page,
        **{
            **escalation.AFRESH,
            "state": "acknowledged",
            "held_because": None,
            "acknowledged_by": caller.person_id,
            "acknowledged_at": tx.now if taking_over else page.acknowledged_at or tx.now,
            "acknowledged_until": until,
            "due_at": until,
        },
    )
    due.schedule(
        tx,
        kind=escalation.ACKNOWLEDGEMENT_EXPIRES,
        subject=page.id,
        due_at=until,
        payload={"epoch": page.epoch},
    )
    escalation.explain(
        tx,
        acknowledged,
        incident,
        "page.handed_over" if taking_over else "page.acknowledged",
        actor=caller.actor,
        why=f"by {via}: {why}",
        data={"epoch": page.epoch, "until": until.isoformat(), "via": via},
    )
    return acknowledged


def acknowledge_incident(tx: Tx, *, number: int, caller: Caller, via: str = "api") -> list[Page]:
    """Acknowledge the caller's open pages of the incident: those they were notified of, or of their teams.

    Another team's page is acknowledged only by a responder who has none of their own left unanswered:
    one team's answer must not silence the other's page.

    Raises:
        Forbidden: there are open pages and the caller may acknowledge none of them.
        Conflict: the incident has no open page.
    """
    incident = incidents.incident_by_number(tx, number=number)
    pages = [p for p in store.pages_of(tx, incident_ids=[incident.id]) if p.state != "ended"]
    if not pages:
        raise Conflict(f"incident {number} has no open page", code="nothing_to_acknowledge")
    may: list[tuple[Page, str]] = []
    refusal: Forbidden | None = None
    for page in sorted(pages, key=lambda p: p.id):
        try:
            may.append((page, why_may_respond(tx, page=page, caller=caller)))
        except Forbidden as error:
            refusal = error
    if not may and refusal is not None:
        raise refusal
    own = [page for page, why in may if why != logic.AS_RESPONDER]
    unanswered = any(page.state == "escalating" for page in own)
    chosen = own if unanswered else [page for page, _ in may]
    return [acknowledge_page(tx, page_id=page.id, caller=caller, via=via) for page in chosen]


def resolve_incident(tx: Tx, *, number: int, caller: Caller, resolution: str = "", via: str = "api") -> Incident:
    """A person says it is over: pages end, and alerts that still fire are held for half an hour.

    Raises:
        Forbidden: the caller is no responder, no member of a paged team.
        Unavailable: a source reports on it at this very moment; nothing was changed.
    """
    routing.lock_response(tx)
    found = incidents.incident_by_number(tx, number=number)
    incident = lock_incident(tx, found.id)
    require_responder(tx, incident=incident, caller=caller)
    if incident.state == "resolved":
        return incident
    closed = incidents.close_incident(
        tx, incident=incident, actor=caller.actor, resolution=resolution.strip() or f"resolved by a person ({via})"
    )
    for page in store.lock_open_pages(tx, incident_id=incident.id):
        escalation.end_page(tx, page=page, incident=closed, because="incident resolved", actor=caller.actor)
    for alert in alerts.alerts_of_incident(tx, incident_id=incident.id):
        try:
            alerts.hold_alert(tx, alert_id=alert.id, actor=caller.actor)
        except alerts.BusyError as error:
            # Waiting for the source's delivery with the response lock held could be a circle.
            raise Unavailable(
                "a source reports on this incident at this very moment", code="busy", hint="try again"
            ) from error
    return closed


def reopen_incident(tx: Tx, *, number: int, caller: Caller, why: str = "") -> Incident:
    """Undo a resolution: the owner's page begins anew."""
    routing.lock_response(tx)
    incident = lock_incident(tx, incidents.incident_by_number(tx, number=number).id)
    require_responder(tx, incident=incident, caller=caller)
    if incident.state == "open":
        return incident
    if incident.merged_into is not None:
        raise Conflict(
            f"incident {number} is part of another one", code="incident_merged", hint="take them apart: `unmerge`"
        )
    opened = incidents.reopen_incident(tx, incident=incident, actor=caller.actor, why=why or "reopened by a person")
    escalation.open_page(tx, incident=opened, team_id=opened.team_id, reason="reopened")
    return opened


def declare(tx: Tx, *, number: int, caller: Caller, why: str = "") -> Incident:
    """A person says that users are hurt. Severity follows; a worse one starts acknowledged pages again."""
    routing.lock_response(tx)
    incident = lock_incident(tx, incidents.incident_by_number(tx, number=number).id)
    require_responder(tx, incident=incident, caller=caller)
    if incident.state == "resolved":
        raise Conflict(f"incident {number} is resolved", code="incident_resolved", hint="reopen it first")
    if incident.phase == "declared":
        return incident
    declared = incidents.declare_incident(tx, incident=incident, actor=caller.actor, why=why or "declared by a person")
    tiers = [
        catalog.service(tx, id=s).tier
        for s in incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, [])
    ]
    raised = incidents.raise_severity(
        tx,
        incident=declared,
        severity=incidents.severity_of(tier=min(tiers, default=3), declared=True),
        why="users are hurt",
    )
    if incidents.is_worse(raised.severity, incident.severity):
        for page in store.lock_open_pages(tx, incident_id=incident.id):
            if page.state == "acknowledged" and page.acknowledged_by != caller.person_id:
                escalation.begin_epoch(tx, page=page, incident=raised, reason=f"severity raised to {raised.severity}")
            escalation.reconsider_held(tx, page=page, incident=raised, why=f"severity raised to {raised.severity}")
    return raised


def add_note(tx: Tx, *, number: int, caller: Caller, text: str) -> Incident:
    """Write a line into the timeline.

    Raises:
        Invalid: empty, or over 10,000 characters.
    """
    incident = incidents.incident_by_number(tx, number=number)
    require_responder(tx, incident=incident, caller=caller)
    if not text.strip():
        raise Invalid("the note is empty", field="text", hint="write what you saw or did")
    if len(text) > 10_000:
        raise Invalid("the note is longer than 10,000 characters", field="text", hint="link to a longer text instead")
    incidents.add_note(tx, incident=incident, actor=caller.actor, text=text.strip())
    return incident


def page_team_for_test(tx: Tx, *, team_id: UUID, caller: Caller) -> Incident:
    """A test page: the real escalation of a team, said to be a test. Resolve it when it has arrived."""
    team = catalog.team(tx, id=team_id)
    require_team(tx, caller=caller, team_ids={team_id})
    incident = incidents.open_incident(
        tx,
        title=f"Test page for team {team.name}: please acknowledge",
        severity="sev4",
        environment="production",
        service_id=None,
        team_id=team_id,
        unowned=False,
    )
    incidents.add_note(tx, incident=incident, actor=caller.actor, text="This is a test page; nothing is broken.")
    escalation.open_page(tx, incident=incident, team_id=team_id, reason="a test of reaching you", harmed=())
    return incident


def expire_acknowledgement(tx: Tx, *, page_id: UUID, epoch: int) -> None:
    """Acknowledged but not resolved in time: asked again, from the current on-call."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is None or page.state != "acknowledged" or page.epoch != epoch or page.acknowledged_until is None:
        return
    if page.acknowledged_until > tx.now:
        return
    incident = incident_of_page(tx, page.incident_id)
    if page.snoozed:
        reason = "snoozed until now and not resolved"
    elif page.handover_to is not None and page.handover_until is not None and page.handover_until <= tx.now:
        reason = "hand-over not accepted in time"
    else:
        reason = f"acknowledged {page.policy.acknowledge_for_seconds // 60} min ago and not resolved"
    escalation.begin_epoch(tx, page=page, incident=incident, reason=reason)


def take_due_step(tx: Tx, *, page_id: UUID) -> None:
    """The page's due row: take its next step, or let a held page go, if it is really due."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is None or page.state not in ("escalating", "held"):
        return
    if page.due_at is not None and page.due_at > tx.now:
        due.schedule(tx, kind=escalation.STEP, subject=page.id, due_at=page.due_at)
        return
    if page.state == "held":
        incident = incident_of_page(tx, page.incident_id)
        escalation.reconsider_held(tx, page=page, incident=incident, why="the next working day has begun")
        return
    escalation.take_step(tx, page=page, incident=incident_of_page(tx, page.incident_id))


def call_again(tx: Tx, *, page_id: UUID, epoch: int, step: int) -> None:
    """The due row of a step that calls until somebody answers."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is not None:
        incident = incident_of_page(tx, page.incident_id)
        escalation.call_again(tx, page=page, incident=incident, epoch=epoch, number=step)


def review_page(tx: Tx, *, page_id: UUID) -> None:
    """The due row after a failed notification."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is not None:
        escalation.review_step(tx, page=page, incident=incident_of_page(tx, page.incident_id))
