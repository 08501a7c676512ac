"""Shifts as an iCalendar file (RFC 5545), for people's own calendars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec


class CalendarEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``uid`` is the same for the same shift in every export, so calendars update it in place."""

    uid: str
    summary: str
    start_at: datetime
    end_at: datetime
    description: str = ""


def to_ical(entries: Sequence[CalendarEntry], *, name: str, made_at: datetime) -> bytes:
    """A calendar called ``name``; instants are in UTC, so every reader's calendar shows its own zone."""
    from icalendar import Calendar, Event

    calendar = Calendar()
    calendar.add("prodid", "-//Watchbill//on-call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", timedelta(hours=1), parameters={"value": "DURATION"})  # RFC 7986, 5.7
    calendar.add("x-published-ttl", "PT1H")  # the same, for Outlook
    for entry in entries:
        event = Event()
        event.add("uid", entry.uid)
        event.add("dtstamp", made_at)
        event.add("dtstart", entry.start_at)
        event.add("dtend", entry.end_at)
        event.add("summary", entry.summary)
        if entry.description:
            event.add("description", entry.description)
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written
