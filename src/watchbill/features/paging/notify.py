"""Getting one page to one person over one channel: claim → perform → settle.

The channels themselves are handed in: paging knows what to say and to whom, not how a provider wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from watchbill.features import alerts, catalog, identity, incidents
from watchbill.features.incidents import Incident
from watchbill.features.paging import escalation, logic, store
from watchbill.features.paging.message import compose
from watchbill.features.paging.model import Message, Notification, Page, SendOutcome
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow

log = structlog.get_logger("watchbill.notify")

Send = Callable[[Message], SendOutcome]
"""A channel's way to send. Returns failures as values; ends within its own time limit."""


class Links(Protocol):
    """Makes the addresses that go into a message."""

    def acknowledge(self, *, person_id: UUID, page_id: UUID, now: datetime) -> str:
        """A signed link, bound to the person, the page and the action, that expires."""
        ...

    def incident(self, number: int) -> str:
        """The incident's page."""
        ...


class SendNotification:
    """The due rows ``notification.send``."""

    kind = escalation.SEND
    lease_for = timedelta(seconds=60)

    def __init__(self, *, send: Send, links: Links) -> None:
        self._send = send
        self._links = links

    def prepare(self, tx: Tx, row: DueRow) -> Message | None:
        """What to send, or None when it must not go out any more (acknowledged, ended, or a newer epoch)."""
        found = _current(tx, row)
        if found is None:
            return None
        notification, page = found
        incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
        person = identity.people(tx, ids=[notification.person_id]).get(notification.person_id)
        if incident is None or person is None:
            log.error("a notification without its incident or person", notification=str(notification.id))
            return None
        team = catalog.team(tx, id=page.team_id).name if page.team_id else "fallback"
        return compose(
            notification=notification,
            page=page,
            incident=incident,
            alerts=alerts.alerts_of_incident(tx, incident_id=incident.id),
            team_name=team,
            person_name=person.name,
            acknowledge_url=self._links.acknowledge(person_id=person.id, page_id=page.id, now=tx.now),
            incident_url=self._links.incident(incident.number),
        )

    def perform(self, job: Message) -> SendOutcome:
        return self._send(job)

    def settle(self, tx: Tx, row: DueRow, _job: Message, outcome: SendOutcome) -> None:
        """Write what happened; a permanent failure moves on to the person's next method at once."""
        notification = store.notification_by_id(tx, notification_id=UUID(row.subject))
        if notification is None:
            return
        if outcome.sent:
            _sent(tx, notification, outcome)
        elif notification.state == "queued":
            _failed(tx, notification, outcome)


def _current(tx: Tx, row: DueRow) -> tuple[Notification, Page] | None:
    notification = store.notification_by_id(tx, notification_id=UUID(row.subject))
    if notification is None or notification.state != "queued":
        return None
    page = store.page_by_id(tx, page_id=notification.page_id)
    if page is None or not logic.is_current(page, epoch=notification.epoch):
        store.change_notification(tx, notification.id, state="cancelled", settled_at=tx.now)
        return None
    return notification, page


def _sent(tx: Tx, notification: Notification, outcome: SendOutcome) -> None:
    store.change_notification(
        tx,
        notification.id,
        state="sent",
        sent_at=tx.now,
        settled_at=tx.now,
        attempts=notification.attempts + 1,
        error=None,
        provider_ref=outcome.provider_ref or None,
    )
    _explain(tx, notification, "notification.sent", why=f"by {notification.channel}")


def _failed(tx: Tx, notification: Notification, outcome: SendOutcome) -> None:
    """Write it down, and have the page reviewed: who is left to reach is decided with the page locked."""
    attempts = notification.attempts + 1
    wait = None if outcome.permanent else logic.retry_after(attempts)
    error = outcome.error[:2000] or "failed without a reason"
    if wait is None:
        store.change_notification(
            tx, notification.id, state="failed", attempts=attempts, error=error, settled_at=tx.now
        )
        _explain(tx, notification, "notification.failed", why=f"{notification.channel}: {error[:300]}")
    else:
        store.change_notification(tx, notification.id, attempts=attempts, error=error, due_at=tx.now + wait)
        due.schedule(tx, kind=escalation.SEND, subject=notification.id, due_at=tx.now + wait)
        seconds = int(wait.total_seconds())
        _explain(
            tx,
            notification,
            "notification.delayed",
            why=f"{notification.channel}: {error[:300]}; tried again in {seconds} s",
        )
    due.schedule(tx, kind=escalation.REVIEW, subject=notification.page_id, due_at=tx.now)


def _explain(tx: Tx, notification: Notification, name: str, *, why: str) -> None:
    page = store.page_by_id(tx, page_id=notification.page_id)
    if page is not None:
        escalation.explain(
            tx,
            page,
            _incident(tx, page),
            name,
            why=why,
            data={
                "notification_id": str(notification.id),
                "person_id": str(notification.person_id),
                "channel": notification.channel,
                "epoch": notification.epoch,
                "step": notification.step,
            },
        )


def _incident(tx: Tx, page: Page) -> Incident:
    incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
    if incident is None:
        raise LookupError(f"page {page.id} has no incident")
    return incident
