"""The digest's due rows: write a team's digest, then send each member's mail.

Writing is one commit: the team's row moves to its next day in the very transaction that makes the
mails' rows, so that a day has exactly one digest. Each mail is then on its own: claim → perform → settle.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from watchbill.features import catalog, identity
from watchbill.features.digest import logic, reads, store
from watchbill.features.digest.model import Memory
from watchbill.kernel.errors import NotFound
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.messages import Message, Send, SendOutcome

log = structlog.get_logger("watchbill.digest")

WRITER = ledger.system("digest")


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail's due row carries."""

    team_id: UUID
    person_id: UUID
    subject: str
    text: str
    written_at: datetime
    attempts: int = 0


class WriteDigest:
    """The due rows ``digest.write``: one team's digest of one day."""

    kind = store.WRITE

    def __init__(self, *, base_url: str) -> None:
        self._base_url = base_url

    def run(self, tx: Tx, row: DueRow) -> None:
        """Write it, and plan the next; a team that is gone is not planned again."""
        memory = msgspec.convert(row.payload, Memory)
        try:
            team = catalog.team(tx, id=UUID(row.subject))
        except NotFound:
            return
        if team.removed_at is not None:
            return
        zone = reads.zone_of(team)
        today = logic.local_day(zone, tx.now)
        again = memory.last is not None and today <= memory.last
        if not again and logic.is_timely(zone, due_at=row.due_at, now=tx.now):
            self._write(tx, team)
            memory = Memory(zone=zone, last=today)
        memory = Memory(zone=zone, last=memory.last)
        due.schedule(
            tx,
            kind=self.kind,
            subject=team.id,
            due_at=logic.next_digest_at(zone, now=tx.now, last=memory.last),
            payload=msgspec.to_builtins(memory),
        )

    def _write(self, tx: Tx, team: catalog.Team) -> None:
        digest = reads.gather(tx, team=team, base_url=self._base_url)
        text = logic.compose(digest)
        if text is None:
            return
        addressees = reads.recipients(tx, team_id=team.id)
        due.schedule_many(
            tx,
            kind=store.SEND,
            rows=[
                (
                    f"{team.id} {digest.day} {person_id}",
                    tx.now,
                    msgspec.to_builtins(
                        Mail(
                            team_id=team.id,
                            person_id=person_id,
                            subject=text.subject,
                            text=text.body,
                            written_at=tx.now,
                        )
                    ),
                )
                for person_id in addressees
            ],
        )
        ledger.append(
            tx,
            name="digest.written",
            actor=WRITER,
            subject=("team", team.id),
            team_id=team.id,
            why=text.subject,
            data={"day": digest.day.isoformat(), "mails": len(addressees)},
        )


class SendDigest:
    """The due rows ``digest.send``: one mail to one member."""

    kind = store.SEND
    lease_for = timedelta(seconds=60)

    def __init__(self, *, send: Send) -> None:
        self._send = send

    def prepare(self, tx: Tx, row: DueRow) -> Message | None:
        """The mail, to where the person reads mail now; None for somebody who left or gave up e-mail."""
        mail = msgspec.convert(row.payload, Mail)
        person = identity.people(tx, ids=[mail.person_id]).get(mail.person_id)
        methods = identity.contact_methods(tx, person_ids=[mail.person_id])[mail.person_id]
        address = next((method.address for method in methods if method.channel == "email"), None)
        if person is None or not person.active or address is None:
            return None
        return Message(
            channel="email",
            address=address,
            subject=mail.subject,
            text=mail.text,
            idempotency_key="digest." + row.subject.replace(" ", "."),
            urgent=False,
        )

    def perform(self, job: Message) -> SendOutcome:
        return self._send(job)

    def settle(self, tx: Tx, row: DueRow, _job: Message, outcome: SendOutcome) -> None:
        """A mail that was not taken is tried again for half a day; one that never can be is written down."""
        if outcome.sent:
            return
        mail = msgspec.convert(row.payload, Mail)
        at = None if outcome.permanent else logic.retry_at(mail.attempts, written_at=mail.written_at, now=tx.now)
        if at is not None:
            later = msgspec.structs.replace(mail, attempts=mail.attempts + 1)
            due.schedule(tx, kind=self.kind, subject=row.subject, due_at=at, payload=msgspec.to_builtins(later))
            return
        log.warning("a digest could not be sent", person=str(mail.person_id), why=outcome.error)
        ledger.append(
            tx,
            name="digest.failed",
            actor=WRITER,
            subject=("team", mail.team_id),
            team_id=mail.team_id,
            why=outcome.error[:300],
            data={"person_id": str(mail.person_id)},
        )
