"""Who may do what about a page or an incident, and the rows that such a use-case holds."""

from __future__ import annotations

from uuid import UUID

from watchbill.features import catalog, identity, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import logic, store
from watchbill.features.paging.model import Page
from watchbill.kernel.errors import Forbidden, NotFound
from watchbill.runtime.db import Tx


def why_may_respond(tx: Tx, *, page: Page, caller: Caller) -> str:
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


def require_responder(tx: Tx, *, incident: Incident, caller: Caller) -> None:
    """Raises Forbidden unless the caller responds here, belongs to a paged team, or administers."""
    pages = store.pages_of(tx, incident_ids=[incident.id])
    if caller.person_id is not None:
        notified = set().union(*(store.notified_people(tx, page_id=p.id) for p in pages)) if pages else set()
        if caller.person_id in notified | store.responders_of(tx, incident_id=incident.id):
            return
    require_team(tx, caller=caller, team_ids={incident.team_id, *(p.team_id for p in pages)})


def require_team(tx: Tx, *, caller: Caller, team_ids: set[UUID | None]) -> None:
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


def incident_of_page(tx: Tx, incident_id: UUID) -> Incident:
    found = incidents.incident_by_id(tx, incident_id=incident_id)
    if found is None:
        raise NotFound("the incident of this page is gone", code="incident_gone")
    return found


def lock_incident(tx: Tx, incident_id: UUID) -> Incident:
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
