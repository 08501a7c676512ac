"""What screens, API and CLI read of incidents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from watchbill.features import alerts, incidents
from watchbill.features.incidents import Incident
from watchbill.features.paging import store
from watchbill.features.paging.model import IncidentDetail, Page, PageDetail
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx


class IncidentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as one line of a list, with its pages."""

    incident: Incident
    pages: list[Page]
    service_ids: list[UUID]


def incident_list(
    tx: Tx,
    *,
    state: str | None = None,
    team_id: UUID | None = None,
    team_ids: Sequence[UUID] | None = None,
    service_id: UUID | None = None,
    limit: int = 100,
) -> list[IncidentLine]:
    """Incidents newest first, each with its pages."""
    teams = [team_id] if team_id is not None else team_ids
    found = incidents.incident_list(tx, state=state, team_ids=teams, service_id=service_id, limit=limit)
    pages: dict[UUID, list[Page]] = {}
    for page in store.pages_of(tx, incident_ids=[i.id for i in found]):
        pages.setdefault(page.incident_id, []).append(page)
    services = incidents.services_of(tx, incident_ids=[i.id for i in found])
    return [IncidentLine(incident=i, pages=pages.get(i.id, []), service_ids=services.get(i.id, [])) for i in found]


def incident_detail(tx: Tx, *, number: int) -> IncidentDetail:
    """Everything about one incident.

    Raises:
        NotFound: there is none with this number.
    """
    incident = incidents.incident_by_number(tx, number=number)
    pages = store.pages_of(tx, incident_ids=[incident.id])
    absorbed = incidents.merged_into(tx, incident_id=incident.id)
    sent = store.notifications_of(tx, page_ids=[page.id for page in pages])
    return IncidentDetail(
        incident=incident,
        service_ids=incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, []),
        alerts=alerts.alerts_of_incident(tx, incident_id=incident.id),
        pages=[PageDetail(page=page, notifications=[n for n in sent if n.page_id == page.id]) for page in pages],
        timeline=_timeline(tx, [incident, *absorbed]),
        absorbed=list(absorbed),
    )


def _timeline(tx: Tx, found: Sequence[Incident]) -> list[ledger.Entry]:
    """The entries of an incident and of those that were merged into it, oldest first."""
    entries = [entry for each in found for entry in ledger.entries(tx, incident_id=each.id, limit=2000)]
    return sorted(entries, key=lambda entry: entry.id)


def page_with_incident(tx: Tx, *, page_id: UUID) -> tuple[Page, Incident] | None:
    """A page and its incident, for the screen behind a signed link."""
    page = store.page_by_id(tx, page_id=page_id)
    if page is None:
        return None
    incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
    return (page, incident) if incident else None
