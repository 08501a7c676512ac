"""Incidents: what is going on, and what people do about it."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.api.incident_views import (
    IncidentDetailView,
    IncidentView,
    Names,
    detail_view,
    incident_view,
    with_people,
)
from watchbill.features import catalog, paging
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

__all__ = ["ACT", "Names", "Number", "Text", "Why", "handlers", "with_people"]

Text = Annotated[str, msgspec.Meta(max_length=10_000)]
ACT = {"lane": "act"}


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
            incident_view(line.incident, line.pages, line.service_ids, names=names, settings=settings) for line in found
        ]


@get("/incidents/{number:int}", sync_to_thread=True)
def show_incident(db: GivenDb, settings: GivenSettings, number: Number) -> IncidentDetailView:
    """One incident: alerts, pages, notifications and the timeline."""
    with db.transaction() as tx:
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/acknowledge", sync_to_thread=True, opt=ACT, status_code=200)
def acknowledge_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number
) -> IncidentDetailView:
    """Acknowledge every open page of it that you may."""
    with db.transaction() as tx:
        paging.acknowledge_incident(tx, number=number, caller=caller)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/resolve", sync_to_thread=True, opt=ACT, status_code=200)
def resolve_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Resolve it: its pages end; alerts that still fire are watched for half an hour."""
    with db.transaction() as tx:
        paging.resolve_incident(tx, number=number, caller=caller, resolution=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/reopen", sync_to_thread=True, opt=ACT, status_code=200)
def reopen_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Undo a resolution: the owner is paged again."""
    with db.transaction() as tx:
        paging.reopen_incident(tx, number=number, caller=caller, why=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/declare", sync_to_thread=True, opt=ACT, status_code=200)
def declare_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Say that users are hurt; from now on only a person resolves it."""
    with db.transaction() as tx:
        paging.declare(tx, number=number, caller=caller, why=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/notes", sync_to_thread=True, opt=ACT, status_code=201)
def add_note(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Note]
) -> IncidentDetailView:
    """Write a line into the timeline."""
    with db.transaction() as tx:
        paging.add_note(tx, number=number, caller=caller, text=data.text)
        return detail_view(tx, number, settings)


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
