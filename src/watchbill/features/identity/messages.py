"""Messages to a contact method that are no page: a code, a test, a monthly test page. Claim → perform → settle."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog

from watchbill.features.identity import reach, verification
from watchbill.features.identity.actions import people
from watchbill.features.identity.model import ContactMethod
from watchbill.features.identity.store import contact_method
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.messages import Message, Send, SendOutcome
from watchbill.runtime.signing import Signer

log = structlog.get_logger("watchbill.contact")

_TRIES = 4


class ContactJob(msgspec.Struct, frozen=True, kw_only=True):
    """A message and the method it goes to."""

    message: Message
    method: ContactMethod


class SendContactMessage:
    """The due rows ``contact.message``."""

    kind = verification.MESSAGE
    lease_for = timedelta(seconds=60)

    def __init__(self, *, send: Send, base_url: str, signer: Signer) -> None:
        self._send = send
        self._base_url = base_url
        self._signer = signer

    def prepare(self, tx: Tx, row: DueRow) -> ContactJob | None:
        """The message, or None when the method is gone or the test page has been answered."""
        text, _, what = row.subject.partition(":")
        found = tx.execute(sa.select(contact_method).where(contact_method.c.id == UUID(text))).one_or_none()
        if found is None:
            return None
        method = msgspec.convert(found, ContactMethod, from_attributes=True)
        test_id = UUID(row.payload["test"]) if what == "reach" else None
        if test_id is not None and not reach.is_test_open(tx, test_id=test_id):
            return None
        person = people(tx, ids=[method.person_id])[method.person_id]
        link = verification.proof_link(
            self._signer, base_url=self._base_url, contact_method_id=method.id, test_id=test_id, now=tx.now
        )
        code = verification.new_code(tx, contact_method_id=method.id) if what == "code" else None
        subject, said = _words(code=code, is_test_page=test_id is not None)
        message = Message(
            channel=method.channel,
            address=method.address,
            subject=subject,
            text=f"Hello {person.name or person.login},\n\n{said}\n\nConfirm: {link}\n",
            short=f"Watchbill: {said} {link}",
            spoken=said if code is None else f"{said} Again: {', '.join(code)}.",
            idempotency_key=f"{method.id}-{what}-{test_id or row.payload.get('asked', 0)}",
            urgent=False,
            acknowledge_url=link,
            acknowledge_label="It arrived",
            payload={"type": what, "contact_method_id": str(method.id), "confirm_url": link},
        )
        return ContactJob(message=message, method=method)

    def perform(self, job: ContactJob) -> SendOutcome:
        """Send it; a channel that breaks has failed to send."""
        try:
            return self._send(job.message)
        except Exception as error:
            log.exception("the channel broke", channel=job.message.channel)
            return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")

    def settle(self, tx: Tx, row: DueRow, job: ContactJob, outcome: SendOutcome) -> None:
        """Show what happened beside the method; what may pass is tried a few times more."""
        error = None if outcome.sent else (outcome.error[:500] or "failed without a reason")
        tx.execute(
            sa.update(contact_method)
            .where(contact_method.c.id == job.method.id)
            .values(tried_at=tx.now, tried_error=error)
        )
        tries = int(row.payload.get("tries", 0)) + 1
        if not outcome.sent and not outcome.permanent and tries < _TRIES:
            wait = max(due.backoff(tries, first_seconds=5.0), timedelta(seconds=outcome.retry_after_seconds or 0))
            payload = {**row.payload, "tries": tries}
            due.schedule(tx, kind=self.kind, subject=row.subject, due_at=tx.now + wait, payload=payload)


def _words(*, code: str | None, is_test_page: bool) -> tuple[str, str]:
    if code is not None:
        return "Your Watchbill code", f"Your code is {code}. It is good for 15 minutes."
    if is_test_page:
        return (
            "Monthly test: does a page reach you?",
            "This is the monthly test page; nothing is broken. Please say that it arrived.",
        )
    return "Test message from Watchbill", "This is a test message; nothing is broken. Please say that it arrived."
