"""What the API shows of incidents, with people's, teams' and services' names in place of ids."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import catalog, identity, incidents, paging
from watchbill.features.alerts import Alert
from watchbill.features.incidents import Incident
from watchbill.features.paging import IncidentDetail, Page
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Tx


class PageView(msgspec.Struct, frozen=True, kw_only=True):
    """One team's page. ``step`` counts from 1; ``next_at`` is when something happens by itself.

    A held page says why in ``held_because``; ``snoozed`` is acknowledged until a time that a person chose;
    ``handover_to`` is asked to take it over.
    """

    id: UUID
    team: str | None
    state: str
    epoch: int
    step: int
    reason: str
    next_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    ended_because: str | None
    held_because: str | None
    snoozed: bool
    handover_to: str | None


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """One try to get a page to a person."""

    person: str
    channel: str
    state: str
    epoch: int
    step: int
    attempts: int
    error: str | None
    queued_at: datetime
    due_at: datetime
    sent_at: datetime | None


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """A member alert of an incident."""

    id: UUID
    title: str
    description: str
    state: str
    urgency: str
    severity: str
    service: str | None
    operation: str | None
    labels: dict[str, str]
    links: list[dict[str, str]]
    muted_because: str | None
    started_at: datetime
    last_event_at: datetime
    resolved_at: datetime | None


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    id: int
    at: datetime
    name: str
    by: str
    why: str
    data: dict[str, Any]


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as one line."""

    number: int
    id: UUID
    title: str
    state: str
    phase: str
    severity: str
    environment: str
    team: str | None
    services: list[str]
    unowned: bool
    opened_at: datetime
    declared_at: datetime | None
    resolved_at: datetime | None
    settle_at: datetime | None
    resolution: str | None
    merged_into: int | None
    url: str
    pages: list[PageView]


class IncidentDetailView(IncidentView, frozen=True, kw_only=True):
    """An incident with everything about it; ``absorbed`` are the numbers of those merged into it."""

    absorbed: list[int]
    alerts: list[AlertView]
    notifications: list[NotificationView]
    timeline: list[EntryView]


class Names:
    """Names for ids, each looked up once per request."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._people: dict[UUID, str] = {}
        self._teams: dict[UUID, str] = {}
        self._services: dict[UUID, str] = {}

    def person(self, person_id: UUID | None) -> str | None:
        """The person's name, else the login."""
        if person_id is None:
            return None
        if person_id not in self._people:
            found = identity.people(self._tx, ids=[person_id]).get(person_id)
            self._people[person_id] = (found.name or found.login) if found else "somebody erased"
        return self._people[person_id]

    def team(self, team_id: UUID | None) -> str | None:
        if team_id is None:
            return None
        if team_id not in self._teams:
            self._teams[team_id] = catalog.team(self._tx, id=team_id).name
        return self._teams[team_id]

    def service(self, service_id: UUID) -> str:
        if service_id not in self._services:
            self._services[service_id] = catalog.service(self._tx, id=service_id).name
        return self._services[service_id]

    def incident(self, incident_id: UUID | None) -> int | None:
        """The incident's number."""
        found = incidents.incident_by_id(self._tx, incident_id=incident_id) if incident_id else None
        return found.number if found else None

    def actor(self, kind: str, actor_id: str) -> str:
        """Who did it, for a reader."""
        if kind == "person":
            return self.person(UUID(actor_id)) or actor_id
        return actor_id if kind == "system" else kind


def detail_view(tx: Tx, number: int, settings: Settings) -> IncidentDetailView:
    detail: IncidentDetail = paging.incident_detail(tx, number=number)
    names = Names(tx)
    line = incident_view(
        detail.incident, [p.page for p in detail.pages], detail.service_ids, names=names, settings=settings
    )
    return IncidentDetailView(
        **msgspec.structs.asdict(line),
        absorbed=[each.number for each in detail.absorbed],
        alerts=[_alert_view(alert) for alert in detail.alerts],
        notifications=[
            NotificationView(
                person=names.person(n.person_id) or f"channel {n.channel}",
                channel=n.channel,
                state=n.state,
                epoch=n.epoch,
                step=n.step + 1,
                attempts=n.attempts,
                error=n.error,
                queued_at=n.queued_at,
                due_at=n.due_at,
                sent_at=n.sent_at,
            )
            for page in detail.pages
            for n in page.notifications
        ],
        timeline=[
            EntryView(
                id=entry.id,
                at=entry.at,
                name=entry.name,
                by=names.actor(entry.actor.kind, entry.actor.id),
                why=entry.why,
                data=with_people(entry.data, names),
            )
            for entry in detail.timeline
        ],
    )


def with_people(data: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The entry's data with people's names beside their ids, for readers; the ledger itself holds ids only."""
    shown = dict(data)
    if isinstance(shown.get("people"), list):
        shown["people_names"] = [names.person(UUID(p)) for p in shown["people"]]
    if isinstance(shown.get("person_id"), str):
        shown["person"] = names.person(UUID(shown["person_id"]))
    return shown


def incident_view(
    incident: Incident, pages: list[Page], service_ids: list[UUID], *, names: Names, settings: Settings
) -> IncidentView:
    return IncidentView(
        number=incident.number,
        id=incident.id,
        title=incident.title,
        state=incident.state,
        phase=incident.phase,
        severity=incident.severity,
        environment=incident.environment,
        team=names.team(incident.team_id),
        services=[names.service(s) for s in service_ids],
        unowned=incident.unowned,
        opened_at=incident.opened_at,
        declared_at=incident.declared_at,
        resolved_at=incident.resolved_at,
        settle_at=incident.settle_at,
        resolution=incident.resolution,
        merged_into=names.incident(incident.merged_into),
        url=f"{settings.base_url}/incidents/{incident.number}",
        pages=[
            PageView(
                id=page.id,
                team=names.team(page.team_id),
                state=page.state,
                epoch=page.epoch,
                step=page.step,
                reason=page.reason,
                next_at=page.due_at,
                acknowledged_by=names.person(page.acknowledged_by),
                acknowledged_at=page.acknowledged_at,
                ended_because=page.ended_because,
                held_because=page.held_because,
                snoozed=page.snoozed,
                handover_to=names.person(page.handover_to),
            )
            for page in pages
        ],
    )


def _alert_view(alert: Alert) -> AlertView:
    return AlertView(
        id=alert.id,
        title=alert.title,
        description=alert.description,
        state=alert.state,
        urgency=alert.urgency,
        severity=alert.severity,
        service=alert.service_name,
        operation=alert.operation,
        labels=alert.labels,
        links=[{"title": link.title, "url": link.url} for link in alert.links],
        muted_because=alert.muted_because,
        started_at=alert.started_at,
        last_event_at=alert.last_event_at,
        resolved_at=alert.resolved_at,
    )
