"""``POST /api/v1/events``: Watchbill's own format for alerts, for anything that can send JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, post
from litestar.params import JSONBody

from watchbill.api.given import GivenDb
from watchbill.features import alerts, identity
from watchbill.features.alerts import Event, Integration, Link
from watchbill.intake.accept import accept
from watchbill.kernel.clock import as_utc
from watchbill.kernel.errors import Forbidden, Invalid, Unauthenticated
from watchbill.runtime.db import Tx

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Labels = dict[Annotated[str, msgspec.Meta(max_length=255)], Annotated[str, msgspec.Meta(max_length=8192)]]


class EventLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to open from the incident."""

    title: Short
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://", max_length=2048)]


class PostedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event. ``identity`` is the source's stable key: the same one again is the same alert.

    ``action`` trigger or resolve; ``service`` a name of the catalog; ``expires_at`` when silence
    shall count as stale; ``delivery_id`` makes an exact repeat harmless.
    """

    identity: Name
    title: Short = ""
    action: Literal["trigger", "resolve"] = "trigger"
    description: Annotated[str, msgspec.Meta(max_length=16_384)] = ""
    severity: Literal["critical", "error", "warning", "info"] = "error"
    urgency: Literal["page", "ticket"] = "page"
    service: Name | None = None
    operation: Name | None = None
    environment: Name = "production"
    labels: Labels = {}
    links: Annotated[list[EventLink], msgspec.Meta(max_length=20)] = []
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    delivery_id: Name | None = None


class AcceptedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event."""

    identity: str
    outcome: str
    alert_id: UUID | None
    reason: str


class AcceptedEvents(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each event, in the order sent. When you read this, all of them are stored durably."""

    accepted: list[AcceptedEvent]


Body = PostedEvent | Annotated[list[PostedEvent], msgspec.Meta(min_length=1, max_length=1000)]


@post("/events", sync_to_thread=True, opt={"lane": "intake", "public": True}, status_code=202, security=[{"token": []}])
def post_events(request: Request[Any, Any, Any], db: GivenDb, data: JSONBody[Body]) -> AcceptedEvents:
    """Send one event or up to 1,000. The bearer is an integration's key, or a token that may respond.

    202 means stored durably. 503 comes with Retry-After: send it again.
    """
    posted = data if isinstance(data, list) else [data]
    if not posted:
        raise Invalid("the list is empty", hint="send one event, or a list of 1 to 1,000")
    events = [to_event(event, position) for position, event in enumerate(posted)]
    secret = _bearer(request)

    def source(tx: Tx) -> Integration:
        return _source(tx, secret)

    done = accept(db, source=source, events=events)
    return AcceptedEvents(
        accepted=[
            AcceptedEvent(identity=a.identity, outcome=a.outcome, alert_id=a.alert_id, reason=a.reason) for a in done
        ]
    )


def to_event(posted: PostedEvent, position: int) -> Event:
    """The event as the alerts feature takes it.

    Raises:
        Invalid: a time without a zone.
    """
    try:
        occurred_at = as_utc(posted.occurred_at) if posted.occurred_at else None
        expires_at = as_utc(posted.expires_at) if posted.expires_at else None
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field=f"[{position}]", hint="write 2026-11-23T21:00:00Z") from error
    return Event(
        identity=posted.identity,
        action=posted.action,
        title=posted.title or posted.identity,
        description=posted.description,
        severity=posted.severity,
        urgency=posted.urgency,
        labels=posted.labels,
        links=[Link(title=link.title, url=link.url) for link in posted.links],
        environment=posted.environment,
        service=posted.service,
        operation=posted.operation,
        occurred_at=occurred_at,
        expires_at=expires_at,
        delivery_id=posted.delivery_id,
    )


def _bearer(request: Request[Any, Any, Any]) -> str:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip() or len(secret) > 512 or not secret.isascii():
        raise Unauthenticated(
            "no key was sent",
            hint="send 'Authorization: Bearer KEY'; `watchbill integration create NAME --format events` makes one",
        )
    return secret.strip()


def _source(tx: Tx, secret: str) -> Integration:
    """The integration whose key this is; a token that may respond posts as the built-in source ``events``."""
    if not secret.startswith(identity.SECRET_PREFIX):
        return alerts.integration_by_key(tx, key=secret)
    caller = identity.authenticate_token(tx, secret=secret)
    if caller.role not in ("responder", "admin"):
        raise Forbidden(f"the token '{caller.name}' only reads", hint="use one with role responder, or an integration")
    return alerts.builtin_integration(tx, name="events")


handlers = [post_events]
