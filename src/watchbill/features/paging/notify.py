"""Getting one page to one person (or team channel) over one channel: claim → perform → settle.

The channels themselves are handed in: paging knows what to say and to whom, not how a provider wants it. In a storm one
message carries many notifications; each of them is settled by itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from watchbill.features import alerts, catalog, identity, incidents
from watchbill.features.incidents import EvidenceAction, Incident
from watchbill.features.paging import escalation, logic, outbox, sending, store
from watchbill.features.paging.message import Evidence, bundle, compose
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


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One notification and what it is about, as it was when the row was claimed."""

    notification: Notification
    page: Page
    incident: Incident


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A message and the notifications it carries, the one that leads first."""

    message: Message
    items: tuple[Item, ...]


class SendNotification:
    """The due rows ``notification.send``."""

    kind = escalation.SEND
    lease_for = timedelta(seconds=60)

    def __init__(self, *, send: Send, links: Links) -> None:
        self._send = send
        self._links = links

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """What to send, or None when it must not go out now.

        1. Acknowledged, ended or of an older epoch: cancelled. Carried by another's message: nothing to do here.
        2. In a storm: held for the next message to the address. Channel throttled: put off until its turn.
        3. Else it goes out now, and takes with it what the storm holds for the same address.
        """
        found = store.notification_with_page(tx, notification_id=UUID(row.subject))
        if found is None or found[0].state != "queued":
            self._lead_anew(tx, leader=UUID(row.subject))
            return None
        notification, page = found
        if notification.bundle_id is not None:
            leader = store.notification_by_id(tx, notification_id=notification.bundle_id)
            if leader is not None and leader.state == "queued":
                return None
            store.change_notification(tx, notification.id, bundle_id=None)
        if not logic.is_current(page, epoch=notification.epoch, person_id=notification.person_id):
            store.change_notification(tx, notification.id, state="cancelled", settled_at=tx.now)
            self._lead_anew(tx, leader=notification.id)
            return None
        incident = _incident(tx, page)
        if self._is_put_off(tx, row, notification, incident):
            return None
        items = [Item(notification=notification, page=page, incident=incident)]
        for member, of_page in outbox.carried_by(tx, notification_id=notification.id):
            if logic.is_current(of_page, epoch=member.epoch, person_id=member.person_id):
                items.append(Item(notification=member, page=of_page, incident=_incident(tx, of_page)))
            else:
                store.change_notification(tx, member.id, state="cancelled", settled_at=tx.now)
        outbox.mark_sending(
            tx,
            ids=[item.notification.id for item in items],
            about={item.notification.id: _about(item.incident) for item in items},
        )
        messages = [self._compose(tx, item) for item in items]
        return Job(message=bundle(messages, incidents=[item.incident for item in items]), items=tuple(items))

    def _is_put_off(self, tx: Tx, row: DueRow, notification: Notification, incident: Incident) -> bool:
        """Held by a storm, or by its channel's throttle; its due row says until when."""
        if notification.sending_at is not None or outbox.SLOT in row.payload:
            return False
        if notification.person_id is not None:
            recent = outbox.recent(tx, channel=notification.channel, address=notification.address)
            until = sending.hold_until(now=tx.now, about=_about(incident), recent=recent)
            if until is not None:
                store.change_notification(tx, notification.id, due_at=until)
                due.schedule(tx, kind=self.kind, subject=notification.id, due_at=until, payload={outbox.HELD: True})
                return True
            if recent or outbox.HELD in row.payload:
                outbox.carry(tx, row, notification)
        at = outbox.take_slot(tx, channel=notification.channel)
        if at > tx.now:
            due.schedule(tx, kind=self.kind, subject=notification.id, due_at=at, payload={outbox.SLOT: True})
            return True
        return False

    def _lead_anew(self, tx: Tx, *, leader: UUID) -> None:
        """What this one's message would have carried does not wait for it any longer."""
        members = [member.id for member, _ in outbox.carried_by(tx, notification_id=leader)]
        if members:
            outbox.lead_by(tx, leader=members[0], members=members)
            due.schedule(tx, kind=self.kind, subject=members[0], due_at=tx.now, payload={outbox.SLOT: True})

    def _compose(self, tx: Tx, item: Item) -> Message:
        page, incident = item.page, item.incident
        incident_url = self._links.incident(incident.number)
        name, acknowledge_url, evidence = "everybody here", incident_url, []
        if item.notification.person_id is not None:
            person = identity.people(tx, ids=[item.notification.person_id]).get(item.notification.person_id)
            if person is None:
                raise LookupError(f"notification {item.notification.id} has lost its person")
            name = person.name or person.login
            acknowledge_url = self._links.acknowledge(person_id=person.id, page_id=page.id, now=tx.now)
            evidence = self._evidence(tx, incident, person.id)
        return compose(
            notification=item.notification,
            page=page,
            incident=incident,
            alerts=alerts.alerts_of_incident(tx, incident_id=incident.id),
            team_name=catalog.team(tx, id=page.team_id).name if page.team_id else "fallback",
            person_name=name,
            acknowledge_url=acknowledge_url,
            incident_url=incident_url,
            evidence=evidence,
        )

    def _evidence(self, tx: Tx, incident: Incident, person_id: UUID) -> list[Evidence]:
        found = []
        for line in incidents.evidence_of(tx, incident_id=incident.id):
            url = label = reply = ""
            if line.action is not None:
                label, reply = line.action.label, line.action.reply
                url = self._links.action(person_id=person_id, incident_id=incident.id, action=line.action, now=tx.now)
            found.append(Evidence(line.text, label, url, reply))
        return found

    def perform(self, job: Job) -> SendOutcome:
        """Send it. A channel that breaks has failed to send: the try counts, and the next method follows."""
        try:
            return self._send(job.message)
        except Exception as error:
            log.exception("the channel broke", channel=job.message.channel)
            return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")

    def settle(self, tx: Tx, _row: DueRow, job: Job, outcome: SendOutcome) -> None:
        """Write what happened to each notification; after a failure their pages are reviewed."""
        if outcome.sent:
            for item in job.items:
                _sent(tx, item, outcome, carried=item is not job.items[0])
            return
        again = [item.notification.id for item in job.items if _failed(tx, item, outcome, job.items[0])]
        if again:
            outbox.lead_by(tx, leader=again[0], members=again)
            at = tx.now + (_wait(job.items[0], outcome) or timedelta())
            due.schedule(tx, kind=self.kind, subject=again[0], due_at=at, payload={outbox.SLOT: True})


def _incident(tx: Tx, page: Page) -> Incident:
    incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
    if incident is None:
        raise LookupError(f"page {page.id} has lost its incident")
    return incident


def _about(incident: Incident) -> UUID:
    return incident.service_id or incident.id


def _sent(tx: Tx, item: Item, outcome: SendOutcome, *, carried: bool) -> None:
    """It went out; that is written even when it was acknowledged meanwhile."""
    store.change_notification(
        tx,
        item.notification.id,
        state="sent",
        sent_at=tx.now,
        settled_at=tx.now,
        attempts=item.notification.attempts + 1,
        error=None,
        provider_ref=outcome.provider_ref or None,
    )
    why = f"by {item.notification.channel}"
    _explain(tx, item, "notification.sent", why=f"{why}, in one message with others" if carried else why)


def _wait(leading: Item, outcome: SendOutcome) -> timedelta | None:
    if outcome.permanent:
        return None
    return sending.wait_before_retry(
        attempts=leading.notification.attempts + 1,
        key=leading.notification.id,
        retry_after_seconds=outcome.retry_after_seconds,
    )


def _failed(tx: Tx, item: Item, outcome: SendOutcome, leading: Item) -> bool:
    """Write it down, and have the page reviewed: who is left to reach is decided with the page locked.

    True when it is to be tried again.
    """
    notification = item.notification
    wait = _wait(leading, outcome)
    error = outcome.error[:2000] or "failed without a reason"
    values = {"attempts": notification.attempts + 1, "error": error}
    said = f"{notification.channel}: {error[:300]}"
    if wait is None:
        values |= {"state": "failed", "settled_at": tx.now, "bundle_id": None}
    else:
        values |= {"due_at": tx.now + wait}
        said += f"; tried again in {int(wait.total_seconds())} s"
    if not store.change_notification(tx, notification.id, only_queued=True, **values):
        return False
    _explain(tx, item, "notification.failed" if wait is None else "notification.delayed", why=said)
    due.schedule(tx, kind=escalation.REVIEW, subject=notification.page_id, due_at=tx.now)
    return wait is not None


def _explain(tx: Tx, item: Item, name: str, *, why: str) -> None:
    notification = item.notification
    escalation.explain(
        tx,
        item.page,
        item.incident,
        name,
        why=why,
        data={
            "notification_id": str(notification.id),
            **({"person_id": str(notification.person_id)} if notification.person_id else {}),
            **({"team_channel_id": str(notification.team_channel_id)} if notification.team_channel_id else {}),
            "channel": notification.channel,
            "epoch": notification.epoch,
            "step": notification.step,
        },
    )
