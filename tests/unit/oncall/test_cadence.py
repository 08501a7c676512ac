"""Handoffs happen at the wall-clock time, in every zone, over every change of clocks."""
# ruff: noqa: DTZ001, DTZ007  (a reading of a wall clock has no zone: that is what these tests are about)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.oncall.cadence import Cadence, cadence, first_instant
from watchbill.kernel.errors import Invalid

ZONES = sorted(zone for zone in available_timezones() if zone not in {"localtime", "posixrules", "Factory"})
INSTANTS = st.datetimes(datetime(1975, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
PERIODS = st.sampled_from(["1h", "2h", "5h", "12h", "1d", "2d", "3d", "1w", "2w", "5w"])
CLOCKS = st.sampled_from(["00:00", "01:30", "02:00", "02:30", "03:00", "09:00", "23:30"])
DAYS = st.dates(date(1975, 1, 1), date(2060, 1, 1))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def first_reached(wall: datetime, zone: ZoneInfo) -> datetime:
    """By looking at every minute: the first instant whose wall clock has reached ``wall``.

    Slow, and written without the code under test.
    """
    instant = wall.replace(tzinfo=UTC) - timedelta(hours=27)
    while instant.astimezone(zone).replace(tzinfo=None) < wall:
        instant += timedelta(minutes=1)
    return instant


@pytest.mark.parametrize(
    ("wall", "zone", "instant"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T03:00+02:00"),  # skipped: when the clock jumps
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30+02:00"),  # twice: the first time
        ("2026-03-08T02:00", "America/New_York", "2026-03-08T03:00-04:00"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-04T02:30+11:00"),  # half an hour is skipped
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-05T01:45+11:00"),  # half an hour comes twice
        ("2011-12-30T09:00", "Pacific/Apia", "2011-12-31T00:00+14:00"),  # a whole day is skipped
        ("2026-03-27T00:30", "Asia/Jerusalem", "2026-03-27T00:30+02:00"),
        ("2026-07-01T12:00", "Asia/Kathmandu", "2026-07-01T12:00+05:45"),
    ],
)
def test_a_handoff_is_at_its_wall_clock_time_or_the_first_valid_instant(wall: str, zone: str, instant: str) -> None:
    """time.handoff_gap"""
    assert first_instant(datetime.fromisoformat(wall), zone) == utc(instant)


@given(st.sampled_from(ZONES), st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1)))
def test_every_zone_agrees_with_a_minute_by_minute_search(zone: str, wall: datetime) -> None:
    wall = wall.replace(second=0, microsecond=0)
    assert first_instant(wall, zone) == first_reached(wall, ZoneInfo(zone))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca"])
def test_every_half_hour_around_a_change_of_clocks_agrees_with_the_search(zone: str) -> None:
    for year in (2025, 2026):
        instant = datetime(year, 1, 1, tzinfo=UTC)
        while instant.year == year:
            following = instant + timedelta(hours=6)
            if instant.astimezone(ZoneInfo(zone)).utcoffset() != following.astimezone(ZoneInfo(zone)).utcoffset():
                wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
                for step in range(0, 24 * 60, 15):
                    reading = wall + timedelta(minutes=step)
                    assert first_instant(reading, zone) == first_reached(reading, ZoneInfo(zone))
            instant = following


@given(st.sampled_from(ZONES), PERIODS, CLOCKS, DAYS, INSTANTS)
def test_turns_tile_time_and_the_lookup_finds_the_turn_that_runs(
    zone: str, every: str, clock: str, starts_at: date, instant: datetime
) -> None:
    handoffs = cadence(every, clock, starts_at, zone)
    turn, start, end = handoffs.turn_with_bounds(instant)
    assert start <= instant < end
    assert (start, end) == (handoffs.handoff_at(turn), handoffs.handoff_at(turn + 1))
    assert handoffs.turn_with_bounds(end)[1] == end  # the next one begins where this one ends
    assert handoffs.turn_at(start) == turn
    assert handoffs.turn_at(start - timedelta(microseconds=1)) < turn


@given(st.sampled_from(ZONES), CLOCKS, INSTANTS)
def test_each_handoff_shows_the_wanted_time_on_the_wall_unless_the_clock_skipped_it(
    zone: str, clock: str, instant: datetime
) -> None:
    handoffs = cadence("1d", clock, None, zone)
    begin = handoffs.handoff_at(handoffs.turn_at(instant))
    wall = begin.astimezone(ZoneInfo(zone))
    if wall.strftime("%H:%M") != clock:
        before = (begin - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
        assert before.utcoffset() != wall.utcoffset(), "only a jump of the clock moves a handoff"


def test_turns_counted_from_the_default_monday_begin_on_mondays() -> None:
    handoffs = cadence("1w", "Mon 09:00", None, "Europe/Berlin")
    begin = handoffs.handoff_at(handoffs.turn_at(utc("2026-03-05T12:00Z")))
    assert begin == utc("2026-03-02T09:00+01:00")


def test_the_first_turn_begins_at_the_first_handoff_on_or_after_the_given_day() -> None:
    assert cadence("1w", "Mon 09:00", date(2026, 1, 7), "UTC").handoff_at(0) == utc("2026-01-12T09:00Z")
    assert cadence("1w", "Mon 09:00", date(2026, 1, 5), "UTC").handoff_at(0) == utc("2026-01-05T09:00Z")


CENTRAL = [  # start and end of one shift in America/Chicago, and how long it lasts (as GoAlert has them)
    ("1w", "2017-06-10T08:00", "2017-06-17T08:00", timedelta(days=7)),
    ("1w", "2017-03-10T08:00", "2017-03-17T08:00", timedelta(days=7, hours=-1)),
    ("1w", "2017-11-04T08:00", "2017-11-11T08:00", timedelta(days=7, hours=1)),
    ("1d", "2017-03-11T08:00", "2017-03-12T08:00", timedelta(hours=23)),
    ("1d", "2017-11-04T08:00", "2017-11-05T08:00", timedelta(hours=25)),
    ("3h", "2017-03-12T00:00", "2017-03-12T03:00", timedelta(hours=2)),
    ("3h", "2017-11-05T00:00", "2017-11-05T03:00", timedelta(hours=4)),
]


@pytest.mark.parametrize(("every", "start", "end", "lasts"), CENTRAL)
def test_a_shift_over_a_change_of_clocks_is_longer_or_shorter(
    every: str, start: str, end: str, lasts: timedelta
) -> None:
    _check_shift(every, datetime.fromisoformat(start), datetime.fromisoformat(end), lasts)


def _check_shift(every: str, start: datetime, end: datetime, lasts: timedelta) -> None:
    handoffs = cadence(every, f"{start:%H:%M}", start.date(), "America/Chicago")
    zone = ZoneInfo("America/Chicago")
    begin = handoffs.handoff_at(0)
    _, found_start, found_end = handoffs.turn_with_bounds(begin)
    assert found_start == start.replace(tzinfo=zone).astimezone(UTC)
    assert found_end == end.replace(tzinfo=zone).astimezone(UTC)
    assert found_end - found_start == lasts


SHARED = Path(__file__).parents[4] / "shared/fixtures/schedules/goalert_rotation_endtimes.json"
LETTER = {"weekly": "w", "daily": "d", "hourly": "h"}


def goalert_cases() -> list[tuple[str, datetime, datetime, timedelta]]:
    """Captured cases beyond our own, where that folder exists; months are not ours yet."""
    if not SHARED.exists():
        return []
    found = []
    for case in json.loads(SHARED.read_text()):
        if case["type"] in LETTER:
            start, end = (datetime.strptime(case[key], "%b %d %Y %I:%M %p") for key in ("start", "end"))
            hours = eval(case["duration_expr"].replace("time.Hour", "1"), {"__builtins__": {}})
            found.append((f"{case['shift_length']}{LETTER[case['type']]}", start, end, timedelta(hours=hours)))
    return found


def test_shifts_end_as_goalert_ends_them() -> None:
    for case in goalert_cases():
        _check_shift(*case)


@pytest.mark.parametrize(
    ("every", "handoff", "zone", "fields"),
    [
        ("1x", "Mon 09:00", "UTC", {"every"}),
        ("30m", "09:00", "UTC", {"every"}),
        ("90m", "09:00", "UTC", {"every"}),
        ("400d", "09:00", "UTC", {"every"}),
        ("1w", "Mon 9:00", "UTC", {"handoff"}),
        ("1w", "Moonday", "UTC", {"handoff"}),
        ("1w", "24:00", "UTC", {"handoff"}),
        ("3d", "Mon 09:00", "UTC", {"handoff"}),
        ("1w", "Mon 09:00", "Mars/Olympus", {"timeZone"}),
        ("soon", "late", "../etc", {"every", "handoff", "timeZone"}),
    ],
)
def test_a_rotation_that_cannot_be_followed_says_every_field_at_once(
    every: str, handoff: str, zone: str, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        cadence(every, handoff, None, zone)
    assert {problem.field for problem in caught.value.problems} == fields
    assert all(problem.hint for problem in caught.value.problems)


def test_a_cadence_is_a_value() -> None:
    assert cadence("7d", "Mon 09:00", None, "UTC") == cadence("1w", "mon 09:00", None, "UTC")
    assert isinstance(cadence("1w", "Mon 09:00", None, "UTC"), Cadence)
