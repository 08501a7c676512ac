"""What to do about a ticket: pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from watchbill.features.tickets.model import Place, Rules, Said, Ticket

REOPEN_WITHIN = timedelta(days=7)
"""A new episode so soon after the last takes its ticket over."""
LEFT_ALONE_FOR = timedelta(hours=24)
"""A ticket that people closed is not reopened; so soon after it a new episode makes no other one either."""
LOOK_EVERY = timedelta(hours=6)
VERIFY_AFTER = timedelta(seconds=10)
"""After every step, once more: what happened meanwhile is not missed."""
TELL_AFTER = timedelta(hours=1)
"""Failing for so long, and the team is told by its fallback."""
GIVE_UP_AFTER = timedelta(days=7)
"""A ticket of an ended alert that cannot be closed."""
_LONGEST_PAUSE = timedelta(hours=1)

Kind = Literal["none", "create", "settle", "update", "look", "drop"]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of an alert."""

    id: UUID
    firing: bool
    urgency: str
    severity: str
    environment: str

    @property
    def said(self) -> Said:
        """What a ticket says once it is up to date."""
        return Said(firing=self.firing, urgency=self.urgency, severity=self.severity)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``want_open``: make it so (None: leave it). ``comment``: what to say. ``settle``: find out if it was made."""

    kind: Kind
    reason: str
    want_open: bool | None = None
    comment: str = ""


def rules_of(spec: dict[str, Any]) -> Rules | None:
    """What a team's stored spec says; None when it names no place."""
    tickets = spec.get("tickets")
    if not tickets:
        return None
    shared: dict[str, Any] = {
        "when_resolved": tickets.get("whenResolved", "close"),
        "environments": tuple(tickets.get("environments", ("production",))),
        "fallback": tickets.get("fallback"),
    }
    if channel := tickets.get("channel"):
        return Rules(place=Place(provider="channel", project=channel), **shared)
    for provider in ("github", "gitlab", "jira"):
        if given := tickets.get(provider):
            return Rules(
                place=Place(
                    provider=provider,
                    project=given.get("repository") or given["project"],
                    connection=given.get("connection", provider),
                    labels=tuple(given.get("labels", ())),
                    issue_type=given.get("issueType", "Task"),
                ),
                **shared,
            )
    return None


def takes_over(earlier: Ticket | None, place: Place, *, now: datetime) -> str | None:
    """Whether a new episode goes on with the ticket of an earlier one: why, or None for a new ticket."""
    if earlier is None or (earlier.place.provider, earlier.place.project) != (place.provider, place.project):
        return None
    if earlier.state == "open":
        return "its ticket is still open"
    closed_for = timedelta.max if earlier.closed_at is None else now - earlier.closed_at
    if earlier.state == "closed" and closed_for <= REOPEN_WITHIN:
        return "it fired again within 7 days"
    if earlier.state == "closed_outside" and closed_for <= LEFT_ALONE_FOR:
        return "people closed its ticket within 24 hours"
    return None


def is_wanted(about: About, rules: Rules | None) -> bool:
    """Whether an alert without a ticket is to get one."""
    return rules is not None and about.firing and about.urgency == "ticket" and about.environment in rules.environments


def decide(  # noqa: PLR0911  one line a row of the table
    ticket: Ticket, about: About, *, when_resolved: str, now: datetime
) -> Decision:
    """The next step for a ticket, given its alert as it is now."""
    if ticket.state == "wanted":
        if about.firing:
            return Decision(kind="create", reason="it is not made yet")
        if ticket.tried_at is not None:
            return Decision(kind="settle", reason="it may have been made")
        return Decision(kind="drop", reason="its alert ended before it was made")
    if ticket.state not in ("open", "closed", "closed_outside"):
        return Decision(kind="none", reason=f"it is {ticket.state}")
    said = ticket.said
    if said is None:
        return _begins_again(ticket, about, when_resolved=when_resolved)
    if ticket.state == "closed_outside":
        return Decision(kind="none", reason="people closed it")
    if said == about.said:
        due = ticket.looked_at is None or now - ticket.looked_at >= LOOK_EVERY
        if ticket.state == "open" and about.firing and due:
            return Decision(kind="look", reason="whether people closed it")
        return Decision(kind="none", reason="it says what there is to say")
    if said.firing and not about.firing:
        closes = when_resolved == "close"
        return Decision(
            kind="update", reason="its alert ended", comment="It has ended.", want_open=False if closes else None
        )
    if not said.firing and about.firing:
        return Decision(kind="update", reason="its alert fires again", comment="It fires again.", want_open=True)
    return Decision(kind="update", reason="its tier changed", comment=changed(said, about.said))


def _begins_again(ticket: Ticket, about: About, *, when_resolved: str) -> Decision:
    """A later episode took the ticket over, and it does not say so yet."""
    if about.firing:
        return Decision(
            kind="update",
            reason="a new episode",
            comment="It fires again.",
            want_open=None if ticket.state == "closed_outside" else True,
        )
    if ticket.state == "open":
        closes = False if when_resolved == "close" else None
        return Decision(kind="update", reason="its alert ended", comment="It has ended.", want_open=closes)
    return Decision(kind="none", reason="it ended before it was told")


def changed(before: Said, after: Said) -> str:
    """A change of urgency and severity in words."""
    said = []
    if before.urgency != after.urgency:
        said.append(
            "It pages now: it is no longer only a ticket."
            if after.urgency == "page"
            else "It does not page any more; it goes on as a ticket."
        )
    if before.severity != after.severity:
        said.append(f"Severity {before.severity} became {after.severity}.")
    return " ".join(said)


def retry_at(*, attempts: int, permanent: bool, retry_after_seconds: float | None, now: datetime) -> datetime:
    """When to try again: 1, 2, 4 … 60 minutes; hourly where somebody has to mend something; never before asked."""
    wait = _LONGEST_PAUSE if permanent else min(_LONGEST_PAUSE, timedelta(minutes=2 ** min(attempts, 6)))
    return now + max(wait if retry_after_seconds is None else timedelta(), timedelta(seconds=retry_after_seconds or 0))


def must_tell(ticket: Ticket, *, permanent: bool, now: datetime) -> bool:
    """Whether the team is told now that its ticket cannot be made or changed."""
    if ticket.told_at is not None:
        return False
    return permanent or (ticket.failing_at is not None and now - ticket.failing_at >= TELL_AFTER)


def gives_up(ticket: Ticket, about: About, *, now: datetime) -> bool:
    """Whether to stop trying: its alert ended, and it has failed for a week."""
    return not about.firing and ticket.failing_at is not None and now - ticket.failing_at >= GIVE_UP_AFTER
