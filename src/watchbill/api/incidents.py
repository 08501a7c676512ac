"""Incidents: what is going on, and what people do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.features import catalog, identity, paging
from watchbill.features.alerts import Alert
from watchbill.features.incidents import Incident
from watchbill.features.paging import IncidentDetail, Page
from watchbill.kernel.errors import NotFound
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Tx

Text = Annotated[str, msgspec.Meta(max_length=10_000)]
ACT = {"lane": "act"}


class PageView(msgspec.Struct, frozen=True, kw_only=True):
    """One team's page. ``step`` counts from 1; ``next_at`` is when something happens by itself."""

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
    url: str
    pages: list[PageView]


class IncidentDetailView(IncidentView, frozen=True, kw_only=True):
    """An incident with everything about it."""

    alerts: list[AlertView]
    notifications: list[NotificationView]
    timeline: list[EntryView]


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reason in a person's words; may be empty."""

    why: Text = ""


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line for the timeline."""

    text: Text


Number = Annotated[int, PathParameter(ge=1, le=2**53)]


@get("/incidents", sync_to_thread=True)
def list_incidents(
    *,
    db: GivenDb,
    settings: GivenSettings,
    in_state: Annotated[Literal["open", "resolved"] | None, QueryParameter(name="state")] = None,
    team: FromQuery[str | None] = None,
    service: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> list[IncidentView]:
    """Incidents, newest first; ``state``, ``team`` and ``service`` narrow them."""
    with db.transaction() as tx:
        found = paging.incident_list(
            tx, state=in_state, team_id=_team_id(tx, team), service_id=_service_id(tx, service), limit=limit
        )
        names = Names(tx)
        return [
            _incident_view(line.incident, line.pages, line.service_ids, names=names, settings=settings)
            for line in found
        ]


@get("/incidents/{number:int}", sync_to_thread=True)
def show_incident(db: GivenDb, settings: GivenSettings, number: Number) -> IncidentDetailView:
    """One incident: alerts, pages, notifications and the timeline."""
    with db.transaction() as tx:
        return _detail(tx, number, settings)


@post("/incidents/{number:int}/acknowledge", sync_to_thread=True, opt=ACT, status_code=200)
def acknowledge_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number
) -> IncidentDetailView:
    """Acknowledge every open page of it that you may."""
    with db.transaction() as tx:
        paging.acknowledge_incident(tx, number=number, caller=caller)
        return _detail(tx, number, settings)


@post("/incidents/{number:int}/resolve", sync_to_thread=True, opt=ACT, status_code=200)
def resolve_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Resolve it: its pages end; alerts that still fire are watched for half an hour."""
    with db.transaction() as tx:
        paging.resolve_incident(tx, number=number, caller=caller, resolution=data.why)
        return _detail(tx, number, settings)


@post("/incidents/{number:int}/reopen", sync_to_thread=True, opt=ACT, status_code=200)
def reopen_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Undo a resolution: the owner is paged again."""
    with db.transaction() as tx:
        paging.reopen_incident(tx, number=number, caller=caller, why=data.why)
        return _detail(tx, number, settings)


@post("/incidents/{number:int}/declare", sync_to_thread=True, opt=ACT, status_code=200)
def declare_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Say that users are hurt; from now on only a person resolves it."""
    with db.transaction() as tx:
        paging.declare(tx, number=number, caller=caller, why=data.why)
        return _detail(tx, number, settings)


@post("/incidents/{number:int}/notes", sync_to_thread=True, opt=ACT, status_code=201)
def add_note(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Note]
) -> IncidentDetailView:
    """Write a line into the timeline."""
    with db.transaction() as tx:
        paging.add_note(tx, number=number, caller=caller, text=data.text)
        return _detail(tx, number, settings)


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

    def actor(self, kind: str, actor_id: str) -> str:
        """Who did it, for a reader."""
        if kind == "person":
            return self.person(UUID(actor_id)) or actor_id
        return actor_id if kind == "system" else kind


def _detail(tx: Tx, number: int, settings: Settings) -> IncidentDetailView:
    detail: IncidentDetail = paging.incident_detail(tx, number=number)
    names = Names(tx)
    line = _incident_view(
        detail.incident, [p.page for p in detail.pages], detail.service_ids, names=names, settings=settings
    )
    return IncidentDetailView(
        **msgspec.structs.asdict(line),
        alerts=[_alert_view(alert) for alert in detail.alerts],
        notifications=[
            NotificationView(
                person=names.person(n.person_id) or "",
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


def _incident_view(
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


def _team_id(tx: Tx, name: str | None) -> UUID | None:
    if name is None:
        return None
    found = catalog.team_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return found.id


def _service_id(tx: Tx, name: str | None) -> UUID | None:
    if name is None:
        return None
    found = catalog.service_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no service '{name}'", field="service", hint="see `watchbill service list`")
    return found.id


handlers = [
    list_incidents,
    show_incident,
    acknowledge_incident,
    resolve_incident,
    reopen_incident,
    declare_incident,
    add_note,
]
