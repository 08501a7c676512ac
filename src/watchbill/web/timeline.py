"""The ledger's entries as sentences: what happened, who did it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from watchbill.features.identity import Person
from watchbill.runtime.ledger import Entry
from watchbill.web.view import name_of


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline. ``quote`` is in a person's own words."""

    id: int
    at: datetime
    glyph: str
    tone: str
    text: str
    why: str
    quote: str


_KINDS: Mapping[str, tuple[str, str, str]] = {
    "incident.opened": ("incident", "red", "Incident opened"),
    "incident.declared": ("flag", "red", "{who} declared it: users are hurt"),
    "incident.severity_raised": ("up", "red", "Severity raised to {to}"),
    "incident.settling": ("clock", "green", "Every alert is resolved; resolves itself unless one fires again"),
    "incident.recovered": ("clock", "green", "Every alert is resolved"),
    "incident.resolved": ("checkcircle", "green", "{who} resolved the incident"),
    "incident.reopened": ("incident", "red", "{who} reopened the incident"),
    "incident.noted": ("note", "blue", "{who} wrote"),
    "incident.suspected": ("search", "amber", "Probable cause: {title}"),
    "incident.suspicion_dropped": ("search", "", "No change is suspected any more"),
    "rollback.queued": ("out", "blue", "{who} asked for a rollback of {title}"),
    "rollback.started": ("out", "blue", "Rolling back {title}"),
    "rollback.done": ("out", "blue", "Rolled back {title}; watching whether it helped"),
    "rollback.succeeded": ("check", "green", "Rolled back {title}"),
    "rollback.recovered": ("checkcircle", "green", "The rollback of {title} helped"),
    "rollback.not_recovered": ("close", "red", "The rollback of {title} did not help"),
    "rollback.unverified": ("clock", "amber", "Rolled back {title}; nothing can say whether it helped"),
    "rollback.failed": ("close", "red", "The rollback of {title} failed"),
    "rollback.timed_out": ("close", "red", "The rollback of {title} took too long and was stopped"),
    "rollback.refused": ("shield", "amber", "The rollback of {title} was refused"),
    "rollback.cancelling": ("close", "amber", "{who} stops the rollback of {title}"),
    "rollback.cancelled": ("close", "amber", "The rollback of {title} was cancelled"),
    "rollback.lost": ("close", "red", "The runner of {title} went silent"),
    "rollback.told_late": ("clock", "amber", "The runner of {title} came back"),
    "rollback.no_runner": ("close", "red", "No runner took the rollback of {title}"),
    "rollback.not_automatic": ("shield", "", "Not rolled back alone"),
    "page.opened": ("bell", "amber", "Paging began"),
    "page.step_taken": ("bell", "amber", "Asking {asked}"),
    "page.step_unreachable": ("bell", "red", "A step reached nobody"),
    "notification.delayed": ("clock", "amber", "Trying {to_whom} by {channel} again"),
    "page.step_skipped": ("bell", "red", "A step was skipped"),
    "page.nobody_reachable": ("incident", "red", "Nobody can be reached"),
    "page.acknowledged": ("hand", "green", "{who} acknowledged"),
    "page.epoch_began": ("bell", "red", "Paging began again"),
    "page.released": ("bell", "amber", "The held page goes out"),
    "page.called_again": ("bell", "amber", "Calling {asked} again"),
    "page.snoozed": ("moon", "", "{who} snoozed it"),
    "page.handover_offered": ("hand", "amber", "{who} asked {to_whom} to take it over"),
    "page.handed_over": ("hand", "green", "{who} took it over"),
    "page.handover_declined": ("close", "red", "{who} declined to take it over"),
    "page.handover_withdrawn": ("hand", "", "{who} took back the hand-over"),
    "page.reassigned": ("send", "amber", "{who} gave the page away"),
    "incident.merged": ("link", "", "{who} merged it into incident {into}"),
    "incident.absorbed": ("link", "", "{who} merged incident {number} into this one"),
    "incident.unmerged": ("link", "", "{who} took it apart from incident {from}"),
    "incident.released": ("link", "", "{who} took incident {number} apart from this one"),
    "page.ended": ("check", "", "Paging ended"),
    "page.held": ("moon", "", "The page is held"),
    "notification.sent": ("send", "", "Sent to {to_whom} by {channel}"),
    "notification.delivered": ("send", "green", "Delivered to {to_whom} by {channel}"),
    "notification.failed": ("close", "red", "Could not reach {to_whom} by {channel}"),
    "alert.opened": ("incident", "red", "Alert: {title}"),
    "alert.joined": ("incident", "red", "Alert joined: {title}"),
    "alert.resolved": ("check", "green", "Alert resolved: {title}"),
    "alert.stale": ("clock", "amber", "Alert went silent: {title}"),
    "alert.held": ("moon", "", "Alert held, since its source still fires: {title}"),
    "alert.still_firing": ("incident", "red", "Alert is still firing: {title}"),
}


def people_in(entries: Sequence[Entry]) -> set[UUID | None]:
    """Everybody the entries name."""
    found: set[UUID | None] = set()
    for entry in entries:
        found.add(entry.actor.person_id)
        found.add(_person_id(entry))
        found.update(_asked(entry))
    return found


def lines(entries: Sequence[Entry], people: Mapping[UUID | None, Person], titles: Mapping[str, str]) -> list[Line]:
    """The newest first. ``titles`` are those of alerts, by id."""
    return [_line(entry, people, titles) for entry in reversed(entries)]


def _line(entry: Entry, people: Mapping[UUID | None, Person], titles: Mapping[str, str]) -> Line:
    glyph, tone, pattern = _KINDS.get(
        entry.name, ("more", "", entry.name.replace(".", " ").replace("_", " ").capitalize())
    )
    who = {"person": name_of(people.get(entry.actor.person_id)), "token": "A token", "integration": "Its source"}
    words = {
        "who": who.get(entry.actor.kind, "Watchbill"),
        "to": str(entry.data.get("to", "")),
        "into": str(entry.data.get("into", "")),
        "from": str(entry.data.get("from", "")),
        "number": str(entry.data.get("number", "")),
        "to_whom": name_of(people.get(_person_id(entry))),
        "channel": str(entry.data.get("channel", "a channel")),
        "asked": ", ".join(name_of(people.get(id)) for id in _asked(entry)) or "the next step",
        "title": titles.get(entry.subject_id) or str(entry.data.get("title", "")),
    }
    text = pattern.format_map(words).rstrip(": ")
    quoted = entry.name == "incident.noted"
    return Line(
        id=entry.id,
        at=entry.at,
        glyph=glyph,
        tone=tone,
        text=text,
        why="" if quoted or entry.why in (words["title"], f"by {words['channel']}") else entry.why,
        quote=entry.why if quoted else "",
    )


def _person_id(entry: Entry) -> UUID | None:
    raw = entry.data.get("person_id")
    return UUID(raw) if isinstance(raw, str) else None


def _asked(entry: Entry) -> list[UUID]:
    raw = entry.data.get("people")
    return [UUID(id) for id in raw] if isinstance(raw, list) else []
