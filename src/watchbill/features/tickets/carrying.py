"""One step of one ticket at its tracker, and what came of it as data."""

from __future__ import annotations

from typing import Any

import msgspec

from watchbill.features.tickets.logic import About, Decision
from watchbill.features.tickets.model import Draft, Remote, Said, Ticket, Tracker


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one ticket, with what it needs. ``unsure``: an earlier try may have done it."""

    ticket: Ticket
    about: About
    decision: Decision
    team: str
    draft: Draft
    unsure: bool
    address: tuple[str, str] | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``seen`` is the ticket as it is there now; ``gone`` that it is not there any more.

    ``note`` is what could not be done for good reason (a workflow without such a step); ``left``: people closed it.
    """

    seen: Remote | None = None
    gone: bool = False
    left: bool = False
    note: str = ""
    error: str = ""
    permanent: bool = False
    unsure: bool = False
    retry_after_seconds: float | None = None


def carry_out(tracker: Tracker, job: Job) -> Outcome:
    """One step at a tracker that keeps tickets.

    1. Make it, after looking for the marker where an earlier try may have made it.
    2. Else look at it first: gone, or closed by people while we thought it open, and it is left alone.
    3. Say what there is to say, unless that was said by a try whose end is not known; then close or reopen it.

    Raises:
        TrackerError: any of these failed; the whole step is done again later.
    """
    ticket, decision = job.ticket, job.decision
    if decision.kind in ("create", "settle"):
        found = tracker.find(ticket.place, marker=ticket.marker, since=ticket.created_at) if job.unsure else None
        if found is None and decision.kind == "create":
            found = tracker.create(ticket.place, job.draft)
        return Outcome(seen=found)
    ref = ticket.ref or ""
    seen = tracker.look(ticket.place, ref)
    if seen is None:
        return Outcome(gone=True)
    if ticket.state == "open" and not seen.open and not (job.unsure and decision.want_open is False):
        return Outcome(seen=seen, left=True)
    note = ""
    if decision.comment:
        marker = f"{ticket.marker}-{ticket.comments + 1}"
        if not (job.unsure and tracker.has_comment(ticket.place, ref, marker=marker)):
            tracker.comment(ticket.place, ref, text=decision.comment, marker=marker)
    if decision.want_open is not None and seen.open != decision.want_open:
        note = tracker.set_open(ticket.place, ref, open=decision.want_open) or ""
        if not note:
            seen = msgspec.structs.replace(seen, open=decision.want_open)
    return Outcome(seen=seen, note=note)


def settled(job: Job, seen: Remote) -> tuple[dict[str, Any], str]:
    """What is written about a ticket that was made, looked at or changed, and the entry's name ("" for none)."""
    ticket, decision = job.ticket, job.decision
    values: dict[str, Any] = {"ref": seen.ref, "url": seen.url or None, "state": ticket.state}
    if decision.kind in ("create", "settle"):
        said = Said(firing=True, urgency=job.about.urgency, severity=job.about.severity)
        return {**values, "state": "open", "said": said}, "ticket.opened"
    if decision.kind == "look":
        return values, ""
    values |= {"said": job.about.said, "comments": ticket.comments + 1}
    if not job.about.firing:
        values["state"] = "closed"  # we are done with it, whether it is closed there or only says so
    elif not seen.open:
        values["state"] = "closed_outside"
    else:
        values["state"] = "open"
    if decision.want_open is None:
        return values, "ticket.updated"
    return values, "ticket.reopened" if decision.want_open else "ticket.closed"
