"""Use-cases of people: acknowledge, resolve, note, declare, test.

By link, screen, CLI or API they are these same functions.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from watchbill.features import alerts, catalog, identity, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, logic, routing, store
from watchbill.features.paging.model import Page
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Tx


def acknowledge_page(tx: Tx, *, page_id: UUID, caller: Caller, via: str = "api") -> Page:
    """Stop the page: nothing of this epoch is sent after this commits, beyond what is already in flight.

    Acknowledging an acknowledged page changes nothing and is not an error (two people tap at once);
    when the same person does it again, the time until they are asked again starts anew.

    Raises:
        NotFound: no such page.
        Forbidden: the caller was not notified, is no member of the team, and does not respond here.
        Conflict: the page has ended.
    """
    page = store.lock_page(tx, page_id=page_id)
    if page is None:
        raise NotFound("there is no such page")
    incident = _incident(tx, page.incident_id)
    why = _may_respond(tx, page=page, caller=caller)
    if page.state == "ended":
        raise Conflict(
            f"this page has ended: {page.ended_because}", code="page_ended", hint="there is nothing left to do"
        )
    if page.state == "acknowledged" and page.acknowledged_by != caller.person_id:
        return page
    escalation.cancel_queued(tx, page_id=page.id)
    until = tx.now + page.acknowledge_for
    acknowledged = store.change_page(
        tx,
        page,
        state="acknowledged",
        acknowledged_by=caller.person_id,
        acknowledged_at=page.acknowledged_at or tx.now,
        acknowledged_until=until,
        due_at=until,
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
        "page.acknowledged",
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
            may.append((page, _may_respond(tx, page=page, caller=caller)))
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
    incident = _lock(tx, found.id)
    _may_act(tx, incident=incident, caller=caller)
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
    incident = _lock(tx, incidents.incident_by_number(tx, number=number).id)
    _may_act(tx, incident=incident, caller=caller)
    if incident.state == "open":
        return incident
    opened = incidents.reopen_incident(tx, incident=incident, actor=caller.actor, why=why or "reopened by a person")
    escalation.open_page(tx, incident=opened, team_id=opened.team_id, reason="reopened")
    return opened


def declare(tx: Tx, *, number: int, caller: Caller, why: str = "") -> Incident:
    """A person says that users are hurt. Severity follows; a worse one starts acknowledged pages again."""
    routing.lock_response(tx)
    incident = _lock(tx, incidents.incident_by_number(tx, number=number).id)
    _may_act(tx, incident=incident, caller=caller)
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
    return raised


def add_note(tx: Tx, *, number: int, caller: Caller, text: str) -> Incident:
    """Write a line into the timeline.

    Raises:
        Invalid: empty, or over 10,000 characters.
    """
    incident = incidents.incident_by_number(tx, number=number)
    _may_act(tx, incident=incident, caller=caller)
    if not text.strip():
        raise Invalid("the note is empty", field="text", hint="write what you saw or did")
    if len(text) > 10_000:
        raise Invalid("the note is longer than 10,000 characters", field="text", hint="link to a longer text instead")
    incidents.add_note(tx, incident=incident, actor=caller.actor, text=text.strip())
    return incident


def page_team_for_test(tx: Tx, *, team_id: UUID, caller: Caller) -> Incident:
    """A test page: the real escalation of a team, said to be a test. Resolve it when it has arrived."""
    team = catalog.team(tx, id=team_id)
    _may_act_for_teams(tx, caller=caller, team_ids={team_id})
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
    escalation.open_page(tx, incident=incident, team_id=team_id, reason="a test of reaching you")
    return incident


def expire_acknowledgement(tx: Tx, *, page_id: UUID, epoch: int) -> None:
    """Acknowledged but not resolved in time: asked again, from the current on-call."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is None or page.state != "acknowledged" or page.epoch != epoch or page.acknowledged_until is None:
        return
    if page.acknowledged_until > tx.now:
        return
    incident = _incident(tx, page.incident_id)
    minutes = int(timedelta(seconds=page.policy.acknowledge_for_seconds).total_seconds() // 60)
    escalation.begin_epoch(tx, page=page, incident=incident, reason=f"acknowledged {minutes} min ago and not resolved")


def take_due_step(tx: Tx, *, page_id: UUID) -> None:
    """The page's due row: take its next step, if it still escalates and is really due."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is None or page.state != "escalating":
        return
    if page.due_at is not None and page.due_at > tx.now:
        due.schedule(tx, kind=escalation.STEP, subject=page.id, due_at=page.due_at)
        return
    escalation.take_step(tx, page=page, incident=_incident(tx, page.incident_id))


def review_page(tx: Tx, *, page_id: UUID) -> None:
    """The due row after a failed notification."""
    page = store.lock_page_or_busy(tx, page_id=page_id)
    if page is not None:
        escalation.review_step(tx, page=page, incident=_incident(tx, page.incident_id))


def _may_respond(tx: Tx, *, page: Page, caller: Caller) -> str:
    """Why the caller may acknowledge this page.

    Raises:
        Forbidden: with who may.
    """
    if caller.kind == "token":
        if caller.role in ("responder", "admin") and caller.token_team_id in (None, page.team_id):
            return f"with the token '{caller.name}'"
        raise Forbidden(
            f"the token '{caller.name}' may not acknowledge this page",
            hint="use one with role responder, of this team or of none",
        )
    members: dict[UUID, str] = {}
    if page.team_id is not None:
        members = {m.person_id: m.role for m in catalog.members(tx, team_ids=[page.team_id]).get(page.team_id, [])}
    why = caller.person_id and logic.may_acknowledge(
        person_id=caller.person_id,
        notified=store.notified_people(tx, page_id=page.id),
        members=members,
        responders=store.responders_of(tx, incident_id=page.incident_id),
    )
    if why:
        return why
    shadow = caller.person_id is not None and members.get(caller.person_id) == "shadow"
    raise Forbidden(
        "a shadow watches and may not acknowledge"
        if shadow
        else "only who was notified, the owning team and responders of this incident may acknowledge it",
        hint="ask the person on call, or a lead to add you to the team",
    )


def _may_act(tx: Tx, *, incident: Incident, caller: Caller) -> None:
    """Raises Forbidden unless the caller responds here, belongs to a paged team, or administers."""
    pages = store.pages_of(tx, incident_ids=[incident.id])
    if caller.person_id is not None:
        notified = set().union(*(store.notified_people(tx, page_id=p.id) for p in pages)) if pages else set()
        if caller.person_id in notified | store.responders_of(tx, incident_id=incident.id):
            return
    _may_act_for_teams(tx, caller=caller, team_ids={incident.team_id, *(p.team_id for p in pages)})


def _may_act_for_teams(tx: Tx, *, caller: Caller, team_ids: set[UUID | None]) -> None:
    if caller.role == "admin" and caller.token_team_id is None:
        return
    if caller.kind == "token" and caller.role == "responder" and caller.token_team_id in {None, *team_ids}:
        return
    if caller.person_id is not None:
        known = [t for t in team_ids if t is not None]
        for members in catalog.members(tx, team_ids=known).values():
            if any(m.person_id == caller.person_id and m.role != "shadow" for m in members):
                return
    raise Forbidden(
        "only responders, members of the paged teams and administrators may do this",
        hint="ask the person on call",
    )


def _incident(tx: Tx, incident_id: UUID) -> Incident:
    found = incidents.incident_by_id(tx, incident_id=incident_id)
    if found is None:
        raise NotFound("the incident of this page is gone", code="incident_gone")
    return found


def _lock(tx: Tx, incident_id: UUID) -> Incident:
    locked = incidents.lock_incident(tx, incident_id=incident_id)
    if locked is None:
        raise NotFound("there is no such incident")
    return locked


def person_caller(tx: Tx, *, person_id: UUID) -> Caller:
    """The caller a signed link speaks for.

    Raises:
        Forbidden: the person is gone or no longer active.
    """
    found = identity.people(tx, ids=[person_id]).get(person_id)
    if found is None or not found.active:
        raise Forbidden("this link belongs to a person who is no longer here")
    return Caller(
        kind="person",
        id=found.id,
        name=found.name,
        role=found.role,
        person_id=found.id,
        team_ids=catalog.team_ids_of(tx, person_id=found.id, shadows=False),
    )
