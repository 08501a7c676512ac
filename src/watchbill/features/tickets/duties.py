"""Tickets as due work: claim and decide → ask the tracker → write what came of it.

A ticket's row is written before anything is asked, with the marker that the ticket will carry. So a crash between the
making and the writing leaves a row that says "tried", and the next try looks for the marker first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from watchbill.features import alerts, catalog
from watchbill.features.alerts import Alert, BusyError
from watchbill.features.tickets import logic, store, words
from watchbill.features.tickets.actions import SYNC
from watchbill.features.tickets.carrying import Job, Outcome, carry_out, settled
from watchbill.features.tickets.logic import About
from watchbill.features.tickets.model import (
    FindTracker,
    Remote,
    Rules,
    Ticket,
    TrackerError,
)
from watchbill.features.tickets.telling import explain, tell
from watchbill.kernel.ids import new_id
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.messages import Message, Send

_BUSY_WAIT = timedelta(seconds=1)

log = structlog.get_logger("watchbill.tickets")


class SyncTicket:
    """The due rows ``ticket.sync``."""

    kind = SYNC
    lease_for = timedelta(seconds=120)

    def __init__(self, *, trackers: FindTracker, send: Send, base_url: str) -> None:
        self._trackers = trackers
        self._send = send
        self._base_url = base_url.rstrip("/")

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """The next step, or None.

        The alert's row is held meanwhile, as by routing: so this never decides by what is just being changed.
        """
        try:
            alert = alerts.lock_alert(tx, alert_id=UUID(row.subject))
        except BusyError:
            due.schedule(tx, kind=self.kind, subject=row.subject, due_at=tx.now + _BUSY_WAIT)
            return None
        return None if alert is None else self._next_step(tx, alert)

    def _next_step(self, tx: Tx, alert: Alert) -> Job | None:
        about = About(
            id=alert.id,
            firing=alert.is_open,
            urgency=alert.urgency,
            severity=alert.severity,
            environment=alert.environment,
        )
        ticket, before = store.ticket_of_alert(tx, alert_id=alert.id), None
        team_id = ticket.team_id if ticket else alert.team_id
        team = catalog.team(tx, id=team_id) if team_id else None
        rules = logic.rules_of(team.spec) if team else None
        if ticket is None and team is not None and rules is not None and logic.is_wanted(about, rules):
            ticket, before = self._begin(tx, alert, team, rules)
        if ticket is None or team is None:
            return None
        if ticket.state == "wanted" and ticket.tried_at is None:  # the setting may have been mended meanwhile
            ticket = msgspec.structs.replace(ticket, place=rules.place if rules else ticket.place)
            about = about if rules else msgspec.structs.replace(about, firing=False)
        decision = logic.decide(ticket, about, when_resolved=rules.when_resolved if rules else "close", now=tx.now)
        if decision.kind == "none":
            self._look_later(tx, ticket, about)
        elif decision.kind == "drop":
            store.change_ticket(tx, ticket.id, state="dropped", closed_at=tx.now, failing_at=None, error=None)
        elif not self._is_put_off(tx, ticket):
            store.change_ticket(tx, ticket.id, tried_at=tx.now, place=msgspec.to_builtins(ticket.place))
            return self._job(
                tx, alert=alert, about=about, ticket=ticket, before=before, team=team.name, decision=decision
            )
        return None

    def _job(
        self,
        tx: Tx,
        *,
        alert: Alert,
        about: About,
        ticket: Ticket,
        before: Ticket | None,
        team: str,
        decision: logic.Decision,
    ) -> Job:
        in_chat = ticket.place.provider == "channel"
        service = catalog.service(tx, id=alert.service_id).name if alert.service_id else None
        return Job(
            ticket=ticket,
            about=about,
            decision=decision,
            team=team,
            draft=words.draft(
                alert, team=team, service=service, base_url=self._base_url, marker=ticket.marker, before=before
            ),
            unsure=ticket.tried_at is not None,
            address=_address_of(tx, ticket.team_id, ticket.place.project) if in_chat else None,
        )

    def _begin(self, tx: Tx, alert: Alert, team: catalog.Team, rules: Rules) -> tuple[Ticket, Ticket | None]:
        """(the row of a new ticket, or that of the earlier episode; the earlier one that is left alone)."""
        earlier = store.latest_of_identity(tx, integration_id=alert.integration_id, identity=alert.identity)
        if earlier is not None and logic.takes_over(earlier, rules.place, now=tx.now):
            fresh: dict[str, Any] = {"alert_id": alert.id, "title": words.title_of(alert), "said": None}
            store.change_ticket(tx, earlier.id, **fresh)
            return msgspec.structs.replace(earlier, **fresh), None
        id = new_id()
        made = Ticket(
            id=id,
            alert_id=alert.id,
            integration_id=alert.integration_id,
            identity=alert.identity,
            team_id=team.id,
            title=words.title_of(alert),
            place=rules.place,
            state="wanted",
            marker=words.marker_of(id),
            ref=None,
            url=None,
            said=None,
            comments=0,
            tried_at=None,
            attempts=0,
            failing_at=None,
            told_at=None,
            error=None,
            created_at=tx.now,
            opened_at=None,
            closed_at=None,
            looked_at=None,
        )
        store.insert_ticket(tx, made=made)
        return made, earlier

    def _look_later(self, tx: Tx, ticket: Ticket, about: About) -> None:
        """An open ticket of a firing alert is looked at now and then: people may close it."""
        if ticket.state == "open" and about.firing and ticket.place.provider != "channel":
            at = (ticket.looked_at or tx.now) + logic.LOOK_EVERY
            due.schedule(tx, kind=self.kind, subject=about.id, due_at=max(at, tx.now + _BUSY_WAIT))

    def _is_put_off(self, tx: Tx, ticket: Ticket) -> bool:
        """The provider's limit stands, or a search would not find yet what was just made."""
        until = store.paused_until(tx, connection=_pause_key(ticket))
        if until is None and ticket.tried_at is not None and ticket.state == "wanted":
            try:
                lag = self._trackers(catalog.team(tx, id=ticket.team_id).name, ticket.place).search_lag_seconds
            except TrackerError:
                lag = 0.0
            settled_at = ticket.tried_at + timedelta(seconds=lag)
            until = settled_at if settled_at > tx.now else None
        if until is None:
            return False
        due.schedule(tx, kind=self.kind, subject=ticket.alert_id, due_at=until)
        return True

    def perform(self, job: Job) -> Outcome:
        """Ask the tracker; failures are values."""
        try:
            if job.ticket.place.provider == "channel":
                return self._say(job)
            return carry_out(self._trackers(job.team, job.ticket.place), job)
        except TrackerError as error:
            return Outcome(
                error=str(error),
                permanent=error.permanent,
                unsure=error.unsure,
                retry_after_seconds=error.retry_after_seconds,
            )

    def _say(self, job: Job) -> Outcome:
        """A chat channel has messages and no state; one may come twice after a crash."""
        ticket, decision = job.ticket, job.decision
        if job.address is None:
            raise TrackerError(f"the team has no channel '{ticket.place.project}'", permanent=True)
        if decision.kind == "settle":
            return Outcome(seen=Remote(ref=ticket.marker, url="", open=True))
        text = f"{decision.comment}\n\n{job.draft.intro}" if decision.comment else words.plain(job.draft)
        sent = self._send(
            Message(
                channel=job.address[0],
                address=job.address[1],
                subject=f"[ticket] {job.draft.title}",
                text=text,
                idempotency_key=f"{ticket.marker}-{ticket.comments}",
                urgent=False,
                payload={"kind": "ticket", "ticket": str(ticket.id), "alert": str(job.about.id)},
            )
        )
        if not sent.sent:
            raise TrackerError(sent.error, permanent=sent.permanent, retry_after_seconds=sent.retry_after_seconds)
        return Outcome(seen=Remote(ref=ticket.ref or ticket.marker, url="", open=job.about.firing))

    def settle(self, tx: Tx, _row: DueRow, job: Job, outcome: Outcome) -> None:
        """Write what came of it; look once more soon, for what changed meanwhile."""
        ticket = job.ticket
        if outcome.error:
            self._failed(tx, job, outcome)
            return
        values: dict[str, Any] = {"tried_at": None, "attempts": 0, "failing_at": None, "told_at": None, "error": None}
        values["looked_at"] = tx.now
        name, why = "", outcome.note
        if outcome.gone:
            values |= {"state": "gone", "closed_at": tx.now}
            name, why = "ticket.gone", "it is not there any more; no other is made for this alert"
        elif outcome.left:
            values |= {"state": "closed_outside", "closed_at": tx.now}
            name, why = "ticket.left", "people closed it; it is left alone"
        elif outcome.seen is None:
            values |= {"state": "dropped", "closed_at": tx.now}
        else:
            written, name = settled(job, outcome.seen)
            values |= written
            values["error"] = outcome.note or None
            if values["state"] in ("open", "closed") and ticket.state == "wanted":
                values["opened_at"] = tx.now
            if values["state"] == "closed":
                values["closed_at"] = tx.now
        store.change_ticket(tx, ticket.id, **values)
        if name:
            explain(tx, ticket, name, why or job.decision.reason, url=outcome.seen.url if outcome.seen else "")
        due.schedule(tx, kind=self.kind, subject=job.about.id, due_at=tx.now + logic.VERIFY_AFTER)

    def _failed(self, tx: Tx, job: Job, outcome: Outcome) -> None:
        ticket = job.ticket
        failing = msgspec.structs.replace(ticket, failing_at=ticket.failing_at or tx.now)
        values: dict[str, Any] = {"attempts": ticket.attempts + 1, "failing_at": failing.failing_at}
        values["error"] = outcome.error[:500]
        if not outcome.unsure and not job.unsure:
            values["tried_at"] = None
        at = logic.retry_at(
            attempts=ticket.attempts,
            permanent=outcome.permanent,
            retry_after_seconds=outcome.retry_after_seconds,
            now=tx.now,
        )
        if outcome.retry_after_seconds is not None:
            store.pause(tx, connection=_pause_key(ticket), until=at, why=outcome.error[:300])
        if logic.gives_up(failing, job.about, now=tx.now):
            values |= {"state": "failed", "closed_at": tx.now}
            explain(tx, ticket, "ticket.failed", f"given up: {outcome.error[:300]}")
        else:
            due.schedule(tx, kind=self.kind, subject=job.about.id, due_at=at)
        if ticket.failing_at is None or ticket.error != values["error"]:
            log.warning("a ticket is not as it should be", ticket=str(ticket.id), why=outcome.error)
        if logic.must_tell(failing, permanent=outcome.permanent, now=tx.now):
            values["told_at"] = tx.now
            tell(tx, ticket=ticket, why=outcome.error, base_url=self._base_url)
        store.change_ticket(tx, ticket.id, **values)


def _address_of(tx: Tx, team_id: UUID, name: str) -> tuple[str, str] | None:
    found = catalog.team_channels(tx, team_id=team_id, name=name)
    return (found[0].channel, found[0].address) if found else None


def _pause_key(ticket: Ticket) -> str:
    """What a provider's limit counts for: everything over one connection, or one team's channel."""
    return ticket.place.connection or f"channel {ticket.team_id} {ticket.place.project}"
