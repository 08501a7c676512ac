"""Words of alerts: an event is one inbound message, an alert one episode of one identity."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

AlertState = Literal["firing", "resolved", "stale", "held"]
Urgency = Literal["page", "ticket"]
Severity = Literal["critical", "error", "warning", "info"]
Outcome = Literal["opened", "refreshed", "resolved", "duplicate", "ignored"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Something to open: a dashboard, a runbook, the source's own page."""

    title: str
    url: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One inbound message of any format, normalised.

    ``identity`` is the source's stable key, else a hash of the labels; never rendered text.
    ``occurred_at`` is the source's own time; ``expires_at`` when the source's silence means the
    alert is stale; ``delivery_id`` the sender's id of this delivery, for exact repeats.
    ``declares`` says that users are known to be hurt (a page-tier burn of an operation).
    """

    identity: str
    action: Literal["trigger", "resolve"]
    title: str
    description: str = ""
    severity: Severity = "error"
    urgency: Urgency = "page"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    links: list[Link] = []
    environment: str = "production"
    service: str | None = None
    operation: str | None = None
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    delivery_id: str | None = None
    declares: bool = False


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event, in the order they were given."""

    identity: str
    outcome: Outcome
    alert_id: UUID | None
    reason: str = ""


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """A source of events; its key is kept as a hash only."""

    id: UUID
    name: str
    format: str
    service_id: UUID | None
    created_at: datetime
    last_event_at: datetime | None = None
    revoked_at: datetime | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of one identity. ``muted_because`` is a reason beside the state: shown, counted, not paged."""

    id: UUID
    integration_id: UUID
    identity: str
    state: AlertState
    urgency: Urgency
    severity: Severity
    title: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
    links: list[Link]
    environment: str
    service_name: str | None
    service_id: UUID | None
    team_id: UUID | None
    operation: str | None
    declares: bool
    incident_id: UUID | None
    muted_because: str | None
    started_at: datetime
    last_event_at: datetime
    source_at: datetime
    expires_at: datetime | None
    stale_at: datetime | None
    held_at: datetime | None
    resolved_at: datetime | None
    resolved_because: str | None
    refreshes: int

    @property
    def is_open(self) -> bool:
        """Anything but resolved."""
        return self.state != "resolved"
