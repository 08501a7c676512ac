"""Words of paging: a page is one team's escalation run in one incident; a notification is one page to
one person over one channel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.alerts import Alert
from watchbill.features.incidents import Incident
from watchbill.features.oncall import Window
from watchbill.runtime.ledger import Entry

PageState = Literal["held", "escalating", "acknowledged", "ended"]
NotificationState = Literal["queued", "sent", "delivered", "failed", "cancelled"]

OFFICE_HOURS = (Window(days=(0, 1, 2, 3, 4), start_minute=9 * 60, minutes=8 * 60),)
"""Monday to Friday, 09:00 to 17:00."""


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of the week on the policy's wall clock; ``outside`` means all the time but these.

    ``office`` marks the office hours, which leave out public holidays.
    """

    windows: tuple[Window, ...]
    office: bool = False
    outside: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to notify, and how long to wait for an acknowledgement before the next step.

    ``notify`` holds ``on-call``, ``next-on-call``, ``layer:<name>``, ``team``, ``team:<name>``, ``leads``,
    ``round-robin``, ``person:<login>`` and ``channel:<name>``. With ``call_every_seconds`` its people are notified
    again and again until somebody acknowledges. ``during`` and ``tiers`` are conditions: where one does not hold,
    the step is skipped at once.
    """

    notify: tuple[str, ...]
    wait_seconds: int = 300
    call_every_seconds: int | None = None
    during: Hours | None = None
    tiers: tuple[int, ...] = ()


class EscalationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The steps in order. The last repeats ``repeat_last`` times, then the organisation's fallback is paged.

    Hours are read in ``time_zone``. Outside ``office_hours`` (never on days of the calendar ``holidays``) the pages
    of services whose tier is in ``hold_tiers`` wait for the next working day, unless the severity is
    ``pages_from`` or worse.
    """

    time_zone: str = "UTC"
    holidays: str = ""
    office_hours: tuple[Window, ...] = OFFICE_HOURS
    hold_tiers: tuple[int, ...] = ()
    pages_from: str = "sev2"
    steps: tuple[Step, ...] = (
        Step(notify=("on-call",)),
        Step(notify=("next-on-call",)),
        Step(notify=("team",)),
    )
    repeat_last: int = 3
    acknowledge_for_seconds: int = 1800
    fallback_wait_seconds: int = 300


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """``step`` is the number of the next step to take (0-based; past the policy's end it repeats, then falls back).

    ``tier`` is that of the most critical service harmed, as last decided. A held page has ``held_because`` and is
    due when it is released. ``snoozed``: acknowledged until a time that a person chose. ``handover_to`` was asked by
    ``handover_by`` to take it over, and has until ``handover_until``.
    """

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
    tier: int | None = None
    held_because: str | None = None
    snoozed: bool = False
    handover_to: UUID | None = None
    handover_by: UUID | None = None
    handover_until: datetime | None = None

    @property
    def acknowledge_for(self) -> timedelta:
        return timedelta(seconds=self.policy.acknowledge_for_seconds)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """``due_at`` is when it may go out; ``attempts`` counts tries at the provider.

    ``person_id`` is None when a team's channel is told (``team_channel_id``). ``sending_at`` is when it was first
    handed to its channel, ``about`` the service (else the incident) it was about, and ``bundle_id`` the
    notification whose message carries this one too. ``watching``: told along, and not asked to answer.
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
    watching: bool = False


class PageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A page with everything sent for it."""

    page: Page
    notifications: list[Notification]


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the screen and the API show of one incident.

    ``absorbed`` are those merged into it; ``timeline`` is theirs too, oldest first.
    """

    incident: Incident
    service_ids: list[UUID]
    alerts: list[Alert]
    pages: list[PageDetail]
    timeline: list[Entry]
    absorbed: list[Incident] = []
