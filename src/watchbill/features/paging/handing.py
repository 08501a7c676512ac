"""Use-cases of people with one page: snooze it, hand it over, give it to somebody else, cancel it, page a team.

By link, screen, CLI or API they are these same functions. ``team`` names the page where an incident has several.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import catalog, identity, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, store
from watchbill.features.paging.model import Page, Step
from watchbill.features.paging.rights import incident_of_page, require_responder, why_may_respond
from watchbill.kernel.clock import format_instant
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from watchbill.runtime import due
from watchbill.runtime.db import Tx

LONGEST_SNOOZE = timedelta(days=7)
SHORTEST_SNOOZE = timedelta(minutes=1)
HANDOVER_FOR = timedelta(minutes=5)
"""How long whoever is asked to take a page over has to accept."""


def choose_page(tx: Tx, *, number: int, caller: Caller, team: str | None) -> tuple[Page, Incident]:
    """The open page that is meant, locked: that of ``team``, else the only one, else the caller's only one.

    Raises:
        Conflict: no page is open. Invalid: several are, and it is not clear which is meant. NotFound: no such team.
    """
    incident = incidents.incident_by_number(tx, number=number)
    found = [page for page in store.pages_of(tx, incident_ids=[incident.id]) if page.state != "ended"]
    if team is not None:
        wanted = _team(tx, team)
        found = [page for page in found if page.team_id == wanted]
    if not found:
        of_team = f" of team {team}" if team else ""
        raise Conflict(f"incident {number} has no open page{of_team}", code="no_open_page", hint="page a team first")
    mine = [page for page in found if page.acknowledged_by == caller.person_id or page.team_id in caller.team_ids]
    chosen = found if len(found) == 1 else mine
    if len(chosen) != 1:
        ids = {page.team_id for page in found if page.team_id}
        names = ", ".join(each.name for each in catalog.teams(tx, ids=ids))
        raise Invalid(f"incident {number} has {len(found)} open pages", field="team", hint=f"name one of: {names}")
    locked = store.lock_page(tx, page_id=chosen[0].id)
    if locked is None or locked.state == "ended":
        raise Conflict(f"the page of incident {number} has just ended", code="page_ended")
    return locked, incident_of_page(tx, locked.incident_id)


def snooze(
    tx: Tx, *, number: int, caller: Caller, until: datetime, team: str | None = None, why: str = "", via: str = "api"
) -> Page:
    """Acknowledge until a time of one's own choice; then a new epoch begins.

    Raises:
        Invalid: ``until`` is less than a minute or more than seven days ahead. Forbidden: not the caller's to answer.
    """
    page, _ = choose_page(tx, number=number, caller=caller, team=team)
    right = why_may_respond(tx, page=page, caller=caller)
    if not SHORTEST_SNOOZE <= until - tx.now <= LONGEST_SNOOZE:
        raise Invalid(
            "a snooze lasts from one minute to seven days", field="until", hint="give it to somebody else for longer"
        )
    escalation.cancel_queued(tx, page_id=page.id)
    mine = page.state == "acknowledged" and page.acknowledged_by == caller.person_id
    snoozed = store.change_page(
        tx,
        page,
        **{
            **escalation.AFRESH,
            "state": "acknowledged",
            "held_because": None,
            "acknowledged_by": caller.person_id,
            "acknowledged_at": page.acknowledged_at if mine else tx.now,
            "acknowledged_until": until,
            "snoozed": True,
            "due_at": until,
        },
    )
    _ask_again(tx, snoozed, until)
    _explain(tx, snoozed, caller, "page.snoozed", why=why or f"by {via}: {right}", until=format_instant(until))
    return snoozed


def hand_over(
    tx: Tx, *, number: int, caller: Caller, to: str, team: str | None = None, why: str = "", via: str = "api"
) -> Page:
    """Ask a person to take the page over. They accept by acknowledging; until then it stays with whoever has it,
    and when they have not accepted in five minutes a new epoch begins.

    Raises:
        NotFound: nobody has that login. Conflict: nobody has acknowledged the page, or the person cannot be reached.
        Forbidden: the caller does not respond here.
    """
    page, incident = choose_page(tx, number=number, caller=caller, team=team)
    require_responder(tx, incident=incident, caller=caller)
    person = _person(tx, to)
    if page.state != "acknowledged":
        raise Conflict(
            "nobody has acknowledged this page yet", code="not_acknowledged", hint="acknowledge it, or reassign it"
        )
    if person.id == page.acknowledged_by:
        raise Conflict(f"{person.name or person.login} has this page already", code="already_theirs")
    _refuse_shadow(tx, page, person)
    escalation.cancel_queued(tx, page_id=page.id)
    until = tx.now + HANDOVER_FOR
    offered = store.change_page(
        tx,
        page,
        handover_to=person.id,
        handover_by=caller.person_id,
        handover_until=until,
        acknowledged_until=until,
        snoozed=False,
        due_at=until,
    )
    if not escalation.notify_person(tx, page=offered, incident=incident, person_id=person.id):
        raise Conflict(
            f"{person.name or person.login} cannot be reached now", code="unreachable", hint="name somebody else"
        )
    _ask_again(tx, offered, until)
    data = {"person_id": str(person.id), "until": format_instant(until)}
    _explain(tx, offered, caller, "page.handover_offered", why=why or f"by {via}", **data)
    return offered


def decline_hand_over(tx: Tx, *, number: int, caller: Caller, team: str | None = None, why: str = "") -> Page:
    """End a hand-over that is not accepted yet.

    The person asked declines: a new epoch begins at once. Whoever asked takes it back: it stays with whoever has it.

    Raises:
        Conflict: nobody is asked to take it over. Forbidden: the caller is neither.
    """
    page, incident = choose_page(tx, number=number, caller=caller, team=team)
    if page.handover_to is None:
        raise Conflict("nobody is asked to take this page over", code="no_handover")
    asked = page.handover_to
    if caller.person_id == asked:
        _explain(tx, page, caller, "page.handover_declined", why=why, person_id=str(asked))
        return escalation.begin_epoch(tx, page=page, incident=incident, reason="hand-over declined")
    require_responder(tx, incident=incident, caller=caller)
    escalation.cancel_queued(tx, page_id=page.id)
    until = tx.now + page.acknowledge_for
    kept = store.change_page(
        tx, page, handover_to=None, handover_by=None, handover_until=None, acknowledged_until=until, due_at=until
    )
    _ask_again(tx, kept, until)
    _explain(tx, kept, caller, "page.handover_withdrawn", why=why, person_id=str(asked))
    return kept


def reassign(
    tx: Tx,
    *,
    number: int,
    caller: Caller,
    to_team: str | None = None,
    to_person: str | None = None,
    team: str | None = None,
    why: str = "",
) -> Page:
    """Give the page to another team, or first to a person. The old page ends "reassigned", a new one begins.

    A page that is given to a person asks them first, then goes by the team's own policy.

    Raises:
        Invalid: neither or both are named. NotFound: no such team or person. Conflict: that team has a page already.
        Forbidden: the caller does not respond here.
    """
    incidents.lock_incident(tx, incident_id=incidents.incident_by_number(tx, number=number).id)  # before its pages
    page, incident = choose_page(tx, number=number, caller=caller, team=team)
    require_responder(tx, incident=incident, caller=caller)
    if (to_team is None) == (to_person is None):
        raise Invalid("say one: a team or a person", field="to_team", hint="name to_team or to_person")
    policy = None
    said = f": {why}" if why else ""
    if to_team is not None:
        team_id: UUID | None = _team(tx, to_team)
        if team_id == page.team_id:
            raise Conflict(f"team {to_team} has this page already", code="already_theirs", hint="name a person of it")
        _refuse_second(tx, incident, to_team, team_id)
        name, data = f"team {to_team}", {"to_team": str(team_id)}
    else:
        person = _person(tx, to_person or "")
        _refuse_shadow(tx, page, person)
        team_id = page.team_id
        own = escalation.team_policy(tx, team_id=team_id) if team_id else page.policy
        policy = msgspec.structs.replace(own, steps=(Step(notify=(f"person:{person.login}",)), *own.steps))
        name, data = "another person", {"person_id": str(person.id)}
    _explain(tx, page, caller, "page.reassigned", why=why, **data)
    escalation.end_page(tx, page=page, incident=incident, because=f"reassigned to {name}{said}", actor=caller.actor)
    return escalation.open_page(
        tx, incident=incident, team_id=team_id, reason=f"reassigned to you{said}", policy=policy, actor=caller.actor
    )


def cancel_page(tx: Tx, *, number: int, caller: Caller, why: str, team: str | None = None) -> Page:
    """End the page without resolving the incident: nobody is asked any more. It can be paged again (`page_team`).

    Raises:
        Invalid: no reason is given. Forbidden: the caller does not respond here.
    """
    page, incident = choose_page(tx, number=number, caller=caller, team=team)
    require_responder(tx, incident=incident, caller=caller)
    if not why.strip():
        raise Invalid("cancelling needs a reason", field="why", hint="say why nobody needs to answer this")
    because = f"cancelled: {why.strip()}"
    return escalation.end_page(tx, page=page, incident=incident, because=because, actor=caller.actor)


def page_team(tx: Tx, *, number: int, caller: Caller, team: str, why: str = "") -> Page:
    """Page a team about this incident: one that is needed too, or one whose page was cancelled.

    Raises:
        Conflict: the incident is resolved, or the team has an open page. NotFound: no such team.
        Forbidden: the caller does not respond here.
    """
    incident = incidents.incident_by_number(tx, number=number)
    locked = incidents.lock_incident(tx, incident_id=incident.id) or incident
    require_responder(tx, incident=locked, caller=caller)
    if locked.state == "resolved":
        raise Conflict(f"incident {number} is resolved", code="incident_resolved", hint="reopen it first")
    team_id = _team(tx, team)
    _refuse_second(tx, locked, team, team_id)
    reason = why.strip() or "a responder asks for you"
    return escalation.open_page(tx, incident=locked, team_id=team_id, reason=reason, harmed=(), actor=caller.actor)


def _refuse_second(tx: Tx, incident: Incident, name: str, team_id: UUID | None) -> None:
    open_pages = store.lock_open_pages(tx, incident_id=incident.id)
    if any(each.team_id == team_id for each in open_pages):
        raise Conflict(
            f"team {name} has an open page in incident {incident.number}",
            code="already_paged",
            hint="a team has one page in an incident",
        )


def _refuse_shadow(tx: Tx, page: Page, person: identity.Person) -> None:
    members = catalog.members(tx, team_ids=[page.team_id])[page.team_id] if page.team_id else []
    if any(each.person_id == person.id and each.role == "shadow" for each in members):
        raise Forbidden(
            f"{person.name or person.login} is a shadow, and may not acknowledge", hint="name a member of the team"
        )


def _ask_again(tx: Tx, page: Page, until: datetime) -> None:
    kind = escalation.ACKNOWLEDGEMENT_EXPIRES
    due.schedule(tx, kind=kind, subject=page.id, due_at=until, payload={"epoch": page.epoch})


def _explain(tx: Tx, page: Page, caller: Caller, name: str, *, why: str, **data: Any) -> None:
    incident = incident_of_page(tx, page.incident_id)
    escalation.explain(
        tx, page, incident, name, actor=caller.actor, why=why.strip()[:1000], data={"epoch": page.epoch, **data}
    )


def _team(tx: Tx, name: str) -> UUID:
    found = catalog.team_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return found.id


def _person(tx: Tx, login: str) -> identity.Person:
    found = identity.person_by_login(tx, login=identity.normalise_login(login))
    if found is None or not found.active:
        raise NotFound(f"nobody is known as '{login}'", field="to", hint="see `watchbill person list`")
    return found
