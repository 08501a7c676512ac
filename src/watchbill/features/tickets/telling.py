"""A team hears that its ticket cannot be made or changed; and what happens to tickets is written down."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from watchbill.features import catalog, identity
from watchbill.features.tickets import logic, words
from watchbill.features.tickets.model import Ticket
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.messages import Message, Send, SendOutcome

TELL = "ticket.tell"
"""Due row: the team hears that a ticket cannot be made or changed."""
ACTOR = ledger.system("tickets")

log = structlog.get_logger("watchbill.tickets")


def explain(tx: Tx, ticket: Ticket, name: str, why: str, *, url: str = "") -> None:
    """One entry about a ticket."""
    ledger.append(
        tx,
        name=name,
        actor=ACTOR,
        subject=("ticket", ticket.id),
        team_id=ticket.team_id,
        why=why,
        data={"title": ticket.title, "place": ticket.place.shown, "alert_id": str(ticket.alert_id), "url": url},
    )


def tell(tx: Tx, *, ticket: Ticket, why: str, base_url: str) -> None:
    """The team hears it in its fallback channel, any other channel, or by mail; nobody to tell is an entry too."""
    team = catalog.team(tx, id=ticket.team_id)
    rules = logic.rules_of(team.spec)
    channels = {
        one.name: one
        for one in catalog.team_channels(tx, team_id=team.id)
        if not (ticket.place.provider == "channel" and one.name == ticket.place.project)
    }
    chosen = channels.get(rules.fallback) if rules and rules.fallback else None
    chosen = chosen or next(iter(channels.values()), None)
    addresses = [(chosen.channel, chosen.address)] if chosen else [("email", each) for each in _mails(tx, team.id)]
    subject, text = words.cannot(ticket, why=why, base_url=base_url, team=team.name)
    due.schedule_many(
        tx,
        kind=TELL,
        rows=[
            (
                f"{ticket.id} {number}",
                tx.now,
                {"channel": way, "address": to, "subject": subject, "text": text, "ticket": str(ticket.id)},
            )
            for number, (way, to) in enumerate(addresses)
        ],
    )
    said = f"told in {chosen.name}" if chosen else f"told by mail: {len(addresses)}" if addresses else "nobody to tell"
    explain(tx, ticket, "ticket.failing", f"{why[:300]}; {said}")


def _mails(tx: Tx, team_id: UUID) -> list[str]:
    """The members' first addresses."""
    members = [member.person_id for member in catalog.members(tx, team_ids=[team_id])[team_id]]
    people, methods = identity.people(tx, ids=members), identity.contact_methods(tx, person_ids=members)
    found = []
    for id in members:
        address = next((method.address for method in methods[id] if method.channel == "email"), None)
        if address is not None and id in people and people[id].active:
            found.append(address)
    return found


class TellTeam:
    """The due rows ``ticket.tell``: one message to one address, tried again for half a day."""

    kind = TELL
    lease_for = timedelta(seconds=60)
    tries_for = timedelta(hours=12)

    def __init__(self, *, send: Send) -> None:
        self._send = send

    def prepare(self, _tx: Tx, row: DueRow) -> Message:
        """The message as it was written."""
        return Message(
            channel=row.payload["channel"],
            address=row.payload["address"],
            subject=row.payload["subject"],
            text=row.payload["text"],
            idempotency_key="ticket." + row.subject.replace(" ", "."),
            urgent=False,
        )

    def perform(self, job: Message) -> SendOutcome:
        return self._send(job)

    def settle(self, tx: Tx, row: DueRow, _job: Message, outcome: SendOutcome) -> None:
        """What was not taken is tried again; what never will be is written down."""
        if outcome.sent:
            return
        attempts = int(row.payload.get("attempts", 0))
        wait = timedelta(minutes=min(60, 2 ** min(attempts, 6)))
        if not outcome.permanent and wait * (attempts + 1) < self.tries_for:
            payload = {**row.payload, "attempts": attempts + 1}
            due.schedule(tx, kind=self.kind, subject=row.subject, due_at=tx.now + wait, payload=payload)
            return
        log.warning("the team could not be told about its ticket", ticket=row.payload["ticket"], why=outcome.error)
        ledger.append(
            tx,
            name="ticket.untold",
            actor=ACTOR,
            subject=("ticket", UUID(row.payload["ticket"])),
            why=outcome.error[:300],
        )
