"""Answers that come back through a channel: a key, a button, a reply, and what became of a message.

Each acknowledges or resolves by the same use-case as the screen and the API, as the person who was notified (or, in a
team's channel, who pressed the button), and proves the method it came through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import identity, incidents
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import actions, escalation, outbox, rights, store
from watchbill.features.paging.model import Notification
from watchbill.kernel.errors import Conflict, Forbidden, NotFound, WatchbillError
from watchbill.runtime import due
from watchbill.runtime.db import Tx

AnswerAction = Literal["acknowledge", "resolve"]

_REPLY = re.compile(r"\s*(ack|acknowledge|a|resolve|resolved|r|res)\b[\s#:]*(all|\d{1,12})?\s*[.!]*\s*", re.I)
_RECENT = timedelta(hours=24)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What to say back; ``done`` when something was acknowledged or resolved (or had been already)."""

    done: bool
    text: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A text message understood: what to do, and for which incident (None: the latest)."""

    action: AnswerAction
    number: int | None = None
    everything: bool = False


def read_reply(text: str) -> Reply | None:
    """``ack 12``, ``ack``, ``ack all``, ``resolve 12``; None for anything else. Case and punctuation do not matter."""
    found = _REPLY.fullmatch(text)
    if found is None:
        return None
    which = (found.group(2) or "").lower()
    return Reply(
        action="acknowledge" if found.group(1).lower().startswith("a") else "resolve",
        number=int(which) if which.isdigit() else None,
        everything=which == "all",
    )


def answer_notification(
    tx: Tx, *, notification_id: UUID, action: AnswerAction, via: str, person_id: UUID | None = None
) -> Answered:
    """Act on the page of a notification, and on those its message carried.

    ``person_id`` is who answered in a team's channel; a notification of a person's own is answered by that person.
    """
    notification = store.notification_by_id(tx, notification_id=notification_id)
    if notification is None:
        return Answered(done=False, text="This message belongs to no page that is known here.")
    answering = notification.person_id or person_id
    if answering is None:
        return Answered(done=False, text="I do not know who you are: add this channel to your contact methods first.")
    caller = rights.person_caller(tx, person_id=answering)
    said, done = [], False
    for id in outbox.bundle_of(tx, notification_id=notification_id):
        one, text = _act(tx, notification_id=id, action=action, via=via, caller=caller)
        said.append(text)
        done = done or one
    if notification.person_id is not None:
        prove(tx, notification=notification)
    return Answered(done=done, text=" ".join(dict.fromkeys(said)))


def _act(tx: Tx, *, notification_id: UUID, action: AnswerAction, via: str, caller: Caller) -> tuple[bool, str]:
    found = store.notification_with_page(tx, notification_id=notification_id)
    incident = incidents.incident_by_id(tx, incident_id=found[1].incident_id) if found else None
    if found is None or incident is None:
        return False, "This page is gone."
    page, number = found[1], incident.number

    def acknowledge() -> str:
        answered = actions.acknowledge_page(tx, page_id=page.id, caller=caller, via=via)
        if answered.acknowledged_by != caller.person_id:
            return f"Incident {number} had been acknowledged already."
        return f"Incident {number} is acknowledged. It is yours."

    def resolve() -> str:
        actions.resolve_incident(tx, number=number, caller=caller, via=via)
        return f"Incident {number} is resolved."

    return _tried(tx, acknowledge if action == "acknowledge" else resolve, number)


def _tried(tx: Tx, act: Callable[[], str], number: int) -> tuple[bool, str]:
    try:
        with tx.savepoint():
            return True, act()
    except (Forbidden, Conflict, NotFound) as error:
        return False, f"Incident {number}: {error.problem.message}."


def answer_text(tx: Tx, *, channel: str, address: str, text: str, via: str) -> Answered:
    """A reply from an address: ``ack 12`` and the like, as whoever was notified there.

    Two people may share a number; whoever of them was notified of the incident answers.
    """
    reply = read_reply(text)
    if reply is None:
        return Answered(done=False, text="Reply 'ack 12' to acknowledge incident 12, or 'resolve 12'.")
    latest = notified_at(tx, channel=channel, address=address, number=reply.number)
    if latest is None:
        which = f"incident {reply.number}" if reply.number is not None else "a page"
        return Answered(done=False, text=f"Nothing was sent to this number about {which} in the last day.")
    if reply.number is None and not reply.everything:
        bundled = outbox.bundle_of(tx, notification_id=latest.bundle_id or latest.id)
        if len(bundled) > 1:
            return Answered(done=False, text=f"The last message was about {len(bundled)} pages: reply 'ack all'.")
    if reply.number is not None and latest.person_id is not None:
        caller = rights.person_caller(tx, person_id=latest.person_id)
        done, said = _act(tx, notification_id=latest.id, action=reply.action, via=via, caller=caller)
        prove(tx, notification=latest)
        return Answered(done=done, text=said)
    return answer_notification(tx, notification_id=latest.bundle_id or latest.id, action=reply.action, via=via)


def notified_at(tx: Tx, *, channel: str, address: str, number: int | None) -> Notification | None:
    """The newest notification of a person that went to this address in the last day, of one incident or of any."""
    sent = store.notification
    wanted = (
        sa.select(sent)
        .where(
            sent.c.address == address,
            sent.c.channel == channel,
            sent.c.sending_at > tx.now - _RECENT,
            sent.c.person_id.is_not(None),
        )
        .order_by(sent.c.sending_at.desc(), sent.c.bundle_id.is_not(None), sent.c.id.desc())
        .limit(1)
    )
    if number is not None:
        try:
            incident = incidents.incident_by_number(tx, number=number)
        except WatchbillError:
            return None
        pages = [page.id for page in store.pages_of(tx, incident_ids=[incident.id])]
        wanted = wanted.where(sent.c.page_id.in_(pages))
    row = tx.execute(wanted).one_or_none()
    return None if row is None else store.to_notification(row)


def incidents_in(tx: Tx, *, notification: Notification) -> list[Incident]:
    """The incidents that the message of a notification was about: several when it carried several pages."""
    found: dict[UUID, Incident] = {}
    for id in outbox.bundle_of(tx, notification_id=notification.bundle_id or notification.id):
        known = store.notification_with_page(tx, notification_id=id)
        incident = incidents.incident_by_id(tx, incident_id=known[1].incident_id) if known else None
        if incident is not None:
            found[incident.id] = incident
    return list(found.values())


def prove(tx: Tx, *, notification: Notification) -> None:
    """An answer came through the person's method: it is verified."""
    if notification.person_id is None:
        return
    for method in identity.contact_methods(tx, person_ids=[notification.person_id])[notification.person_id]:
        if (method.channel, method.address) == (notification.channel, notification.address):
            identity.prove_method(tx, contact_method_id=method.id, test_id=None)


def note_delivery(tx: Tx, *, notification_id: UUID, delivered: bool | None, detail: str) -> bool:
    """What a provider says became of a message: delivered, failed after all, or (None) some step between.

    A failure after sending is a failure for good: the page is reviewed and the person's next method goes out at once.
    False when it is news of nothing that is known here.
    """
    found = store.notification_with_page(tx, notification_id=notification_id)
    incident = incidents.incident_by_id(tx, incident_id=found[1].incident_id) if found else None
    if found is None or incident is None:
        return False
    notification, page = found
    if delivered is None or notification.state not in ("sent", "queued"):
        return True
    values: dict[str, Any] = {"state": "delivered"} if delivered else {"state": "failed", "error": detail[:2000]}
    for id in outbox.bundle_of(tx, notification_id=notification_id):
        store.change_notification(tx, id, settled_at=tx.now, **values)
    escalation.explain(
        tx,
        page,
        incident,
        "notification.delivered" if delivered else "notification.failed",
        why=f"{notification.channel}: {detail[:300]}",
        data={
            "notification_id": str(notification.id),
            "person_id": str(notification.person_id),
            "channel": notification.channel,
            "epoch": notification.epoch,
            "step": notification.step,
        },
    )
    if not delivered:
        due.cancel(tx, kind=escalation.SEND, subject=notification.id)
        due.schedule(tx, kind=escalation.REVIEW, subject=page.id, due_at=tx.now)
    return True
