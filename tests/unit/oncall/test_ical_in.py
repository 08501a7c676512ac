"""Calendars from somewhere: read exactly, and never longer than the limits allow."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from watchbill.features.oncall.ical_in import MOST_EVENTS, Busy, read_calendar
from watchbill.kernel.errors import Invalid

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def calendar(*events: str) -> bytes:
    body = "".join(f"BEGIN:VEVENT\r\n{event.strip()}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{body}END:VCALENDAR\r\n".encode()


def read(*events: str, zone: str = "Europe/Berlin") -> list[Busy]:
    found, _ = read_calendar(calendar(*events), time_zone=zone, start_at=NOW, end_at=NOW + timedelta(days=400))
    return found


def starts(*events: str) -> list[str]:
    return [f"{busy.start_at:%Y-%m-%dT%H:%M}" for busy in read(*events)]


def test_whole_days_begin_and_end_at_midnight_on_the_persons_wall_clock() -> None:
    (off,) = read("UID:1\r\nDTSTART;VALUE=DATE:20260327\r\nDTEND;VALUE=DATE:20260330\r\nSUMMARY:away")
    assert off.start_at == datetime(2026, 3, 26, 23, tzinfo=UTC)
    assert off.end_at == datetime(2026, 3, 29, 22, tzinfo=UTC), "the clocks changed in between"


def test_a_weekly_event_keeps_its_wall_clock_over_a_change_of_clocks() -> None:
    event = "UID:1\r\nDTSTART;TZID=Europe/Berlin:20260320T140000\r\nDURATION:PT2H\r\nRRULE:FREQ=WEEKLY;COUNT=3"
    assert starts(event) == ["2026-03-20T13:00", "2026-03-27T13:00", "2026-04-03T12:00"]


def test_exceptions_and_moved_occurrences_are_followed() -> None:
    repeats = (
        "UID:1\r\nDTSTART:20260310T100000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;UNTIL=20260313T100000Z\r\n"
        "EXDATE:20260311T100000Z"
    )
    moved = "UID:1\r\nRECURRENCE-ID:20260312T100000Z\r\nDTSTART:20260312T180000Z\r\nDURATION:PT1H"
    assert starts(repeats, moved) == ["2026-03-10T10:00", "2026-03-12T18:00", "2026-03-13T10:00"]


def test_cancelled_and_free_events_do_not_count() -> None:
    assert starts("UID:1\r\nDTSTART:20260310T100000Z\r\nDURATION:PT1H\r\nSTATUS:CANCELLED") == []
    assert starts("UID:1\r\nDTSTART:20260310T100000Z\r\nDURATION:PT1H\r\nTRANSP:TRANSPARENT") == []
    assert starts("UID:1\r\nDTSTART;VALUE=DATE:20260310\r\nTRANSP:TRANSPARENT") == ["2026-03-09T23:00"]


def test_an_event_that_cannot_be_read_is_said_and_the_others_count() -> None:
    content = calendar("UID:1\r\nSUMMARY:odd\r\nDTSTART:20260310T100000Z", "UID:2\r\nDTSTART;VALUE=DATE:20260311")
    found, skipped = read_calendar(content, time_zone="UTC", start_at=NOW, end_at=NOW + timedelta(days=30))
    assert len(found) == 1
    assert len(skipped) == 1
    assert "odd" in skipped[0]


DAY = "DTSTART;VALUE=DATE:20260310\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"not a calendar",
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n",
        b"x" * (1024 * 1024 + 1),
        calendar(*["UID:1\r\n" + DAY] * (MOST_EVENTS + 1)),
        calendar("UID:1\r\nDTSTART:20260310T100000Z\r\nDURATION:PT1S\r\nRRULE:FREQ=SECONDLY"),
        calendar("UID:1\r\n" + DAY + "RRULE:FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=1,2,3"),
        calendar("UID:1\r\nDTSTART:19000101T100000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY"),
        calendar(*[f"UID:{n}\r\nDTSTART:20010101T100000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY" for n in range(99)]),
        calendar(*[f"UID:{n}\r\n{DAY}RRULE:FREQ=YEARLY" for n in range(101)]),
        calendar("UID:1\r\n" + DAY + "RDATE;VALUE=DATE:" + ",".join(["20260401"] * 2000)),
        calendar("UID:1\r\n" + DAY + "RRULE:FREQ=FORTNIGHTLY"),
    ],
)
def test_a_bomb_is_refused_at_once_and_says_why(content: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(Invalid) as refused:
        read_calendar(content, time_zone="UTC", start_at=NOW, end_at=NOW + timedelta(days=400))
    assert refused.value.problem.hint
    assert time.monotonic() - began < 2


def test_an_endless_daily_rule_is_bounded_by_the_window() -> None:
    assert len(starts("UID:1\r\n" + DAY + "RRULE:FREQ=DAILY;COUNT=9999")) == 393


def test_a_rule_that_never_comes_true_ends() -> None:
    began = time.monotonic()
    event = "UID:1\r\n" + DAY + "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=5"
    assert starts(event) == ["2026-03-09T23:00"], "its own start counts (RFC 5545, 3.8.5.3)"
    assert time.monotonic() - began < 1
