"""Words of paging: a page is one team's escalation run in one incident; a notification is one page to
one person over one channel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.alerts import Alert
from watchbill.features.incidents import Incident
from watchbill.runtime.ledger import Entry

PageState = Literal["held", "escalating", "acknowledged", "ended"]
NotificationState = Literal["queued", "sent", "delivered", "failed", "cancelled"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to notify, and how long to wait for an acknowledgement before the next step.

    ``notify`` holds ``on-call``, ``next-on-call``, ``team``, ``leads`` and ``person:<login>``.
    """

    notify: tuple[str, ...]
    wait_seconds: int = 300


class EscalationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The steps in order. The last repeats ``repeat_last`` times, then the organisation's fallback is paged."""

    steps: tuple[Step, ...] = (
        Step(notify=("on-call",)),
        Step(notify=("next-on-call",)),
        Step(notify=("team",)),
    )
    repeat_last: int = 3
    acknowledge_for_seconds: int = 1800
    fallback_wait_seconds: int = 300


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """``step`` is the number of the next step to take (0-based; past the policy's end it repeats, then falls back)."""

    id: UUID
    incident_id: UUID
    team_id: UUID | None
    state: PageState
    epoch: int
    step: int
    due_at: datetime | None
    policy: EscalationPolicy
    reason: str
    created_at: datetime
    acknowledged_by: UUID | None
    acknowledged_at: datetime | None
    acknowledged_until: datetime | None
    ended_at: datetime | None
    ended_because: str | None

    @property
    def acknowledge_for(self) -> timedelta:
        return timedelta(seconds=self.policy.acknowledge_for_seconds)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """``due_at`` is when it may go out; ``attempts`` counts tries at the provider.

    ``person_id`` is None when a team's channel is told (``team_channel_id``). ``sending_at`` is when it was first
    handed to its channel, ``about`` the service (else the incident) it was about, and ``bundle_id`` the
    notification whose message carries this one too.
    """

    id: UUID
    page_id: UUID
    epoch: int
    step: int
    person_id: UUID | None
    channel: str
    address: str
    state: NotificationState
    attempts: int
    error: str | None
    provider_ref: str | None
    queued_at: datetime
    due_at: datetime
    sent_at: datetime | None
    settled_at: datetime | None
    team_channel_id: UUID | None = None
    sending_at: datetime | None = None
    about: UUID | None = None
    bundle_id: UUID | None = None


class PageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A page with everything sent for it."""

    page: Page
    notifications: list[Notification]


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the screen and the API show of one incident. ``timeline`` is oldest first."""

    incident: Incident
    service_ids: list[UUID]
    alerts: list[Alert]
    pages: list[PageDetail]
    timeline: list[Entry]
