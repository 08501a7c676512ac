"""Getting one page to one person over one channel: claim → perform → settle.

The channels themselves are handed in: paging knows what to say and to whom, not how a provider wants it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from watchbill.features import alerts, catalog, identity, incidents
from watchbill.features.incidents import EvidenceAction, Incident
from watchbill.features.paging import escalation, logic, store
from watchbill.features.paging.message import Evidence, compose
from watchbill.features.paging.model import Notification, Page
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.messages import Message, Send, SendOutcome

log = structlog.get_logger("watchbill.notify")


class Links(Protocol):
    """Makes the addresses that go into a message."""

    def acknowledge(self, *, person_id: UUID, page_id: UUID, now: datetime) -> str:
        """A signed link, bound to the person, the page and the action, that expires."""
        ...

    def incident(self, number: int) -> str:
        """The incident's page."""
        ...

    def action(self, *, person_id: UUID, incident_id: UUID, action: EvidenceAction, now: datetime) -> str:
        """A signed link to what can be done about a line of evidence."""
        ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and what it is about as it was when the row was claimed."""

    message: Message
    notification: Notification
    page: Page
    incident: Incident


class SendNotification:
    """The due rows ``notification.send``."""

    kind = escalation.SEND
    lease_for = timedelta(seconds=60)

    def __init__(self, *, send: Send, links: Links) -> None:
        self._send = send
        self._links = links

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """What to send, or None when it must not go out any more (acknowledged, ended, or a newer epoch)."""
        found = store.notification_with_page(tx, notification_id=UUID(row.subject))
        if found is None or found[0].state != "queued":
            return None
        notification, page = found
        if not logic.is_current(page, epoch=notification.epoch):
            store.change_notification(tx, notification.id, state="cancelled", settled_at=tx.now)
            return None
        incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
        person = identity.people(tx, ids=[notification.person_id]).get(notification.person_id)
        if incident is None or person is None:
            raise LookupError(f"notification {notification.id} has lost its incident or person")
        message = compose(
            notification=notification,
            page=page,
            incident=incident,
            alerts=alerts.alerts_of_incident(tx, incident_id=incident.id),
            team_name=catalog.team(tx, id=page.team_id).name if page.team_id else "fallback",
            person_name=person.name or person.login,
            acknowledge_url=self._links.acknowledge(person_id=person.id, page_id=page.id, now=tx.now),
            incident_url=self._links.incident(incident.number),
            evidence=self._evidence(tx, incident, person.id),
        )
        return Job(message=message, notification=notification, page=page, incident=incident)

    def _evidence(self, tx: Tx, incident: Incident, person_id: UUID) -> list[Evidence]:
        found = []
        for line in incidents.evidence_of(tx, incident_id=incident.id):
            url = label = ""
            if line.action is not None:
                label = line.action.label
                url = self._links.action(person_id=person_id, incident_id=incident.id, action=line.action, now=tx.now)
            found.append(Evidence(line.text, label, url))
        return found

    def perform(self, job: Job) -> SendOutcome:
        """Send it. A channel that breaks has failed to send: the try counts, and the next method follows."""
        try:
            return self._send(job.message)
        except Exception as error:
            log.exception("the channel broke", channel=job.message.channel)
            return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")

    def settle(self, tx: Tx, _row: DueRow, job: Job, outcome: SendOutcome) -> None:
        """Write what happened; after a failure the page is reviewed."""
        if outcome.sent:
            _sent(tx, job, outcome)
        else:
            _failed(tx, job, outcome)


def _sent(tx: Tx, job: Job, outcome: SendOutcome) -> None:
    """It went out; that is written even when it was acknowledged meanwhile."""
    store.change_notification(
        tx,
        job.notification.id,
        state="sent",
        sent_at=tx.now,
        settled_at=tx.now,
        attempts=job.notification.attempts + 1,
        error=None,
        provider_ref=outcome.provider_ref or None,
    )
    _explain(tx, job, "notification.sent", why=f"by {job.notification.channel}")


def _failed(tx: Tx, job: Job, outcome: SendOutcome) -> None:
    """Write it down, and have the page reviewed: who is left to reach is decided with the page locked."""
    notification = job.notification
    attempts = notification.attempts + 1
    wait = None if outcome.permanent else logic.retry_after(attempts)
    error = outcome.error[:2000] or "failed without a reason"
    if wait is None:
        said = f"{notification.channel}: {error[:300]}"
        changed = store.change_notification(
            tx,
            notification.id,
            only_queued=True,
            state="failed",
            attempts=attempts,
            error=error,
            settled_at=tx.now,
        )
    else:
        said = f"{notification.channel}: {error[:300]}; tried again in {int(wait.total_seconds())} s"
        changed = store.change_notification(
            tx, notification.id, only_queued=True, attempts=attempts, error=error, due_at=tx.now + wait
        )
        if changed:
            due.schedule(tx, kind=escalation.SEND, subject=notification.id, due_at=tx.now + wait)
    if changed:
        _explain(tx, job, "notification.failed" if wait is None else "notification.delayed", why=said)
        due.schedule(tx, kind=escalation.REVIEW, subject=notification.page_id, due_at=tx.now)


def _explain(tx: Tx, job: Job, name: str, *, why: str) -> None:
    notification = job.notification
    escalation.explain(
        tx,
        job.page,
        job.incident,
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
