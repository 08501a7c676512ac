"""Integrations: the keys by which other tools send alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.features import alerts, catalog, identity
from watchbill.features.identity import Caller
from watchbill.intake.changes import signatures
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
Format = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_PATHS = {"prometheus": "/in/{key}/api/v2/alerts", "events": "/api/v1/events"}


class IntegrationView(msgspec.Struct, frozen=True, kw_only=True):
    """A source of events; ``service`` gets what names no service itself."""

    name: str
    format: str
    service: str | None
    created_at: datetime
    last_event_at: datetime | None


class NewIntegration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``format`` is the tool's own: prometheus, events, …"""

    name: Name
    format: Format
    service: str | None = None


class CreatedIntegration(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tool sends to. The key is in the URL or goes as ``Authorization: Bearer``; it is never shown again.

    ``secret`` is what github, gitlab, flux and argocd sign their deliveries with, or send along; null for others.
    """

    name: str
    format: str
    key: str
    url: str
    secret: str | None = None


@get("/integrations", sync_to_thread=True)
def list_integrations(caller: GivenCaller, db: GivenDb) -> list[IntegrationView]:
    """All sources by name."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = alerts.integrations(tx)
        services = {item.service_id for item in found if item.service_id is not None}
        names = {service_id: catalog.service(tx, id=service_id).name for service_id in services}
    return [
        IntegrationView(
            name=item.name,
            format=item.format,
            service=names.get(item.service_id) if item.service_id else None,
            created_at=item.created_at,
            last_event_at=item.last_event_at,
        )
        for item in found
    ]


@post("/integrations", sync_to_thread=True)
def create_integration(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, data: JSONBody[NewIntegration]
) -> CreatedIntegration:
    """Make a key: admins any, members of a team for a service of theirs."""
    with db.transaction() as tx:
        service_id = _check(tx, caller, data.service)
        made, key = alerts.create_integration(
            tx, name=data.name, format=data.format, service_id=service_id, actor=caller.actor
        )
    path = _PATHS.get(data.format, "/in/{key}/" + data.format).format(key=key)
    secret = signatures.secret_of(settings.secret_keys, made.id) if data.format in signatures.SIGNED else None
    return CreatedIntegration(
        name=made.name, format=made.format, key=key, url=settings.base_url + path, secret=secret
    )


@delete("/integrations/{name:str}", sync_to_thread=True)
def revoke_integration(caller: GivenCaller, db: GivenDb, name: FromPath[str]) -> None:
    """End a key at once; alerts it opened stay (admins)."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        alerts.revoke_integration(tx, name=name, actor=caller.actor)


def _check(tx: Tx, caller: Caller, service_name: str | None) -> UUID | None:
    if service_name is None:
        identity.require(caller, "administer")
        return None
    service = catalog.service_by_name(tx, name=service_name)
    if service is None:
        raise NotFound(f"there is no service '{service_name}'", field="service", hint="see `watchbill service list`")
    identity.require(with_teams(tx, caller), "manage_team", service.team_id)
    return service.id


handlers = [list_integrations, create_integration, revoke_integration]
