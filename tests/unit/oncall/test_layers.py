"""Layers against a slow reference that looks at every quarter of an hour, in every zone, over changes of clocks."""
# ruff: noqa: DTZ001  (a reading of a wall clock has no zone: that is what these tests are about)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.oncall import logic
from watchbill.features.oncall.cadence import cadence
from watchbill.features.oncall.layers import handoffs_of
from watchbill.features.oncall.model import Layer, Override, TeamRotation, Window
from watchbill.kernel.errors import Invalid

ALICE, BOB, CHARLIE, DANA, EVE = (UUID(int=number) for number in range(1, 6))
TEAM = UUID(int=100)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"]
CHANGES = [datetime(2026, 3, 27), datetime(2026, 4, 3), datetime(2026, 10, 2), datetime(2026, 10, 23)]
PEOPLE = st.sampled_from([ALICE, BOB, CHARLIE, DANA])
ALL_DAYS = tuple(range(7))


def schedule(*layers: Layer, **more: object) -> logic.Schedule:
    rotation = TeamRotation(team_id=TEAM, layers=layers)
    return logic.calculator(rotation, phases={}, **more)  # type: ignore[arg-type]


def reached_by_minute(zone: str, begin: datetime, end: datetime) -> dict[datetime, datetime]:
    """What the wall clock has reached at each quarter of an hour: the highest reading so far, minute by minute.

    Slow, and written without the code under test.
    """
    at, highest, found = begin - 3 * DAY, datetime(1, 1, 1), {}
    tz = ZoneInfo(zone)
    while at < end:
        highest = max(highest, at.astimezone(tz).replace(tzinfo=None))
        if at >= begin:
            found[at] = highest
        at += 15 * MINUTE
    return found


def slow_layer(layer: Layer, wall: datetime) -> tuple[UUID, ...]:
    """Who takes the layer's turn when the wall clock has reached ``wall``, by counting handoffs one by one."""
    if (layer.starts_at and wall < layer.starts_at) or (layer.ends_at and wall >= layer.ends_at):
        return ()
    inside = not layer.windows
    for window in layer.windows:
        for back in range(8):
            day = datetime(wall.year, wall.month, wall.day) - back * DAY
            start = day + window.start_minute * MINUTE
            inside |= day.weekday() in window.days and start <= wall < start + window.minutes * MINUTE
    if not inside:
        return ()
    first = cadence(layer.every, layer.handoff, layer.count_from, layer.time_zone, layer.shifts).first
    lengths = [
        timedelta(hours=int(text[:-1]) * {"h": 1, "d": 24, "w": 168}[text[-1]])
        for text in layer.shifts or [layer.every]
    ]
    turn, begins = 0, first
    while begins > wall:
        turn -= 1
        begins -= lengths[turn % len(lengths)]
    while begins + lengths[turn % len(lengths)] <= wall:
        begins += lengths[turn % len(lengths)]
        turn += 1
    return layer.crews[turn % len(layer.crews)]


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, ...]:
    return tuple(
        Window(
            days=tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1)))),
            start_minute=draw(st.integers(0, 95)) * 15,
            minutes=draw(st.integers(1, 96)) * 15,
        )
        for _ in range(draw(st.integers(0, 2)))
    )


@st.composite
def any_layer(draw: st.DrawFn) -> Layer:
    shifts = draw(st.sampled_from([(), (), ("12h", "36h"), ("24h", "7h")]))
    start = draw(st.none() | st.sampled_from([datetime(2026, 3, 28, 2, 30), datetime(2026, 10, 4, 2, 15)]))
    crews = draw(st.lists(st.lists(PEOPLE, unique=True, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3))
    return Layer(
        name=draw(st.sampled_from(["a", "b"])),
        time_zone=draw(st.sampled_from(ZONES)),
        every=draw(st.sampled_from(["1h", "8h", "36h", "1d", "1w"])),
        handoff=draw(st.sampled_from(["02:30", "00:00", "09:00"])),
        shifts=shifts,
        count_from=date(2026, 3, 2),
        starts_at=start,
        ends_at=draw(st.none() | st.just(datetime(2026, 10, 25, 2, 30))),
        windows=draw(windows()),
        crews=tuple(crews),
    )


@settings(max_examples=40, deadline=None)
@given(layers=st.lists(any_layer(), min_size=1, max_size=3), begin=st.sampled_from(CHANGES))
def test_the_layers_agree_with_a_slow_search_at_every_quarter_of_an_hour(layers: list[Layer], begin: datetime) -> None:
    """time.handoff_gap"""
    who = schedule(*layers)
    start = begin.replace(tzinfo=UTC)
    end = start + 4 * DAY
    line = list(logic.spans(who, start, end))
    assert line[0].start_at <= start
    assert line[-1].end_at >= end
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    clocks = {zone: reached_by_minute(zone, start, end) for zone in {layer.time_zone for layer in layers}}
    at = start
    position = 0
    while at < end:
        while line[position].end_at <= at:
            position += 1
        expected = next((crew for layer in layers if (crew := slow_layer(layer, clocks[layer.time_zone][at]))), ())
        assert line[position].people == expected, f"at {at}"
        at += 15 * MINUTE
    for span in line:
        middle = span.start_at + (span.end_at - span.start_at) / 2
        if start <= middle < end:
            assert who.at(middle) == span, "a lookup tells the whole span that the listing has"


def window(days: str, start: str, end: str) -> Window:
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    picked = ALL_DAYS if days == "all" else tuple(names.index(day) for day in days.split())
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (start, end)]
    length = (minutes[1] - minutes[0]) % (24 * 60) or 24 * 60
    return Window(days=picked, start_minute=minutes[0], minutes=length)


def test_a_handoff_at_the_reading_at_which_the_clock_is_set_back_waits_for_it_to_be_shown() -> None:
    """time.handoff_gap"""
    layer = Layer(
        name="a",
        crews=((ALICE,), (BOB,)),
        every="1d",
        handoff="03:00",
        count_from=date(2026, 10, 24),
        time_zone="Europe/Berlin",
    )
    who = schedule(layer)
    for minute in range(180):
        at = datetime(2026, 10, 25, 0, tzinfo=UTC) + minute * MINUTE
        span = who.at(at)
        assert span.start_at <= at < span.end_at
        assert span.people == ((ALICE,) if minute < 120 else (BOB,)), "03:00 is shown at 02:00 UTC, not at 01:00"


def test_an_overnight_window_belongs_to_the_day_on_which_it_starts() -> None:
    night = Layer(name="night", crews=((ALICE,),), windows=(window("fri", "20:00", "08:00"),))
    who = schedule(night)
    assert who.at(datetime(2026, 3, 7, 7, 59, tzinfo=UTC)).people == (ALICE,), "Saturday morning is Friday's night"
    assert who.at(datetime(2026, 3, 6, 7, tzinfo=UTC)).people == ()
    span = who.at(datetime(2026, 3, 6, 23, tzinfo=UTC))
    assert (span.start_at.hour, span.end_at.hour, span.end_at.day) == (20, 8, 7)


def test_the_first_layer_that_has_somebody_counts_and_hidden_handoffs_cut_nothing() -> None:
    day = Layer(name="day", crews=((ALICE,),), windows=(window("mon tue wed thu fri", "09:00", "17:00"),))
    base = Layer(name="base", crews=((BOB,), (CHARLIE,)), every="1d", handoff="12:00")
    who = schedule(day, base)
    line = list(logic.spans(who, datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 3, 9, tzinfo=UTC)))
    assert [(s.start_at.hour, s.end_at.hour, s.layer) for s in line] == [(9, 17, "day"), (17, 9, "base")]


def test_follow_the_sun_hands_over_between_sites_without_a_gap_over_changes_of_clocks() -> None:
    sydney = Layer(
        name="sydney", time_zone="Australia/Sydney", crews=((ALICE,),), windows=(window("all", "08:00", "17:00"),)
    )
    london = Layer(
        name="london", time_zone="Europe/London", crews=((BOB,),), windows=(window("all", "06:00", "18:00"),)
    )
    denver = Layer(name="denver", time_zone="America/Denver", crews=((CHARLIE,),))
    who = schedule(sydney, london, denver)
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)
    line = list(logic.spans(who, start, end))
    assert logic.gaps(line, start, end) == []
    starts = {s.start_at.astimezone(ZoneInfo("Europe/London")).hour for s in line if s.person_id == BOB}
    assert starts == {6, 7, 8, 9}, "when Sydney goes at 17:00 by its own clock; nine is the weekly handoff"


def test_people_of_one_crew_and_of_layers_alongside_are_on_call_at_once() -> None:
    pair = Layer(name="pair", crews=((ALICE, BOB),))
    extra = Layer(name="extra", crews=((CHARLIE,), (ALICE,)), every="1d", handoff="00:00", alongside=True)
    people = {schedule(pair, extra).at(datetime(2026, 3, day, 12, tzinfo=UTC)).people for day in (2, 3)}
    assert people == {(ALICE, BOB, CHARLIE), (ALICE, BOB)}


def test_slots_and_shadows_are_told_apart() -> None:
    who = schedule(
        Layer(name="first", crews=((ALICE,),)),
        Layer(name="second", crews=((BOB,), (CHARLIE,)), every="1d", handoff="00:00", slot="secondary"),
        Layer(name="learner", crews=((DANA,), (EVE,)), every="1d", handoff="12:00", shadow=True),
    )
    span = who.at(datetime(2026, 3, 3, 6, tzinfo=UTC))
    assert span.people == (ALICE,)
    assert [crew.slot for crew in span.slots] == ["secondary"]
    assert span.slots[0].people[0] in {BOB, CHARLIE}
    assert len(span.shadows) == 1
    assert span.end_at == datetime(2026, 3, 3, 12, tzinfo=UTC), "cut where anything changes"
    alone = who.slot("primary").at(datetime(2026, 3, 3, 6, tzinfo=UTC))
    assert alone.end_at - alone.start_at == 7 * DAY, "one slot is not cut by another"
    assert who.slot("nowhere").at(datetime(2026, 3, 2, tzinfo=UTC)).people == ()


def test_whoever_left_falls_out_of_a_crew_and_an_empty_crew_is_stood_in_for() -> None:
    layer = Layer(name="a", crews=((ALICE, BOB), (CHARLIE,)), count_from=date(2026, 3, 2))
    monday = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert schedule(layer, away={ALICE}).at(monday).people == (BOB,)
    stand_in = schedule(layer, away={ALICE, BOB}).at(monday)
    assert (stand_in.people, stand_in.reason) == ((CHARLIE,), "stand-in")


def swap(who: UUID, instead_of: UUID, start: datetime, end: datetime, made: int = 1) -> Override:
    return Override(
        id=UUID(int=1000 + made),
        team_id=TEAM,
        person_id=who,
        start_at=start,
        end_at=end,
        reason="",
        created_by="person:x",
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=made),
        kind="swap",
        instead_of=instead_of,
    )


def test_a_swap_relieves_one_person_and_leaves_the_others_of_the_shift() -> None:
    pair = Layer(name="pair", crews=((ALICE, BOB), (DANA,)), count_from=date(2026, 3, 2))
    start = datetime(2026, 3, 5, tzinfo=UTC)
    who = schedule(pair, overrides=[swap(CHARLIE, ALICE, start, start + 10 * DAY)])
    span = who.at(start + HOUR)
    assert (span.people, span.reason, span.instead_of) == ((CHARLIE, BOB), "swap", ALICE)
    assert span.end_at == datetime(2026, 3, 9, 9, tzinfo=UTC)
    after = who.at(datetime(2026, 3, 10, tzinfo=UTC))
    assert (after.people, after.reason) == ((DANA,), "rotation"), "where alice is not on call nothing changes"
    assert after.start_at == datetime(2026, 3, 9, 9, tzinfo=UTC)
    assert after.end_at == datetime(2026, 3, 16, 9, tzinfo=UTC), "and nothing is cut"


@settings(max_examples=60, deadline=None)
@given(
    made=st.lists(st.tuples(PEOPLE, st.none() | PEOPLE, st.integers(0, 300), st.integers(1, 150)), max_size=5),
    hours=st.integers(0, 400),
)
def test_overrides_and_swaps_agree_with_applying_them_one_after_the_other(
    made: list[tuple[UUID, UUID | None, int, int]], hours: int
) -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    base = Layer(name="a", crews=((ALICE, BOB), (CHARLIE,)), every="1d", handoff="00:00", count_from=date(2026, 3, 2))
    overrides = [
        Override(
            id=UUID(int=1000 + number),
            team_id=TEAM,
            person_id=person,
            start_at=start + begin * HOUR,
            end_at=start + (begin + length) * HOUR,
            reason="",
            created_by="",
            created_at=start + number * MINUTE,
            instead_of=instead_of,
        )
        for number, (person, instead_of, begin, length) in enumerate(made)
    ]
    who = schedule(base, overrides=overrides)
    line = list(logic.spans(who, start, start + 20 * DAY))
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    at = start + hours * HOUR
    expected = (ALICE, BOB) if (hours // 24) % 2 == 0 else (CHARLIE,)
    for override in overrides:
        if override.start_at <= at < override.end_at:
            if override.instead_of is None:
                expected = (override.person_id,)
            else:
                swapped = [override.person_id if p == override.instead_of else p for p in expected]
                expected = tuple(dict.fromkeys(swapped))
    assert who.at(at).people == expected
    assert who.at(at) in line


def test_months_hand_over_on_their_day_or_on_the_last_of_a_shorter_month() -> None:
    layer = Layer(name="m", every="1mo", handoff="31 09:00", count_from=date(2026, 1, 1), crews=((ALICE,), (BOB,)))
    line = list(logic.spans(schedule(layer), datetime(2026, 1, 31, 9, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)))
    assert [(s.start_at.month, s.start_at.day) for s in line] == [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31)]
    assert [s.person_id for s in line[:3]] == [ALICE, BOB, ALICE]


def test_a_cycle_of_lengths_and_a_rule_hand_over_when_they_say() -> None:
    cycle = Layer(
        name="c", shifts=("24h", "48h"), handoff="08:00", count_from=date(2026, 3, 2), crews=((ALICE,), (BOB,))
    )
    line = list(logic.spans(schedule(cycle), datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 3, 8, 8, tzinfo=UTC)))
    assert [((s.end_at - s.start_at) // HOUR, s.person_id) for s in line] == [(24, ALICE), (48, BOB)] * 2
    rule = Layer(
        name="r",
        rrule="FREQ=WEEKLY;BYDAY=MO,TH",
        starts_at=datetime(2026, 3, 2, 9),
        crews=((ALICE,), (BOB,)),
        time_zone="Europe/Berlin",
    )
    line = list(logic.spans(schedule(rule), datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 10, tzinfo=UTC)))
    assert line[0].people == (), "before it starts"
    local = [s.start_at.astimezone(ZoneInfo("Europe/Berlin")) for s in line[1:]]
    assert {(at.weekday(), at.hour) for at in local} == {(0, 9), (3, 9)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"every": "1y"}, "every"),
        ({"every": "13mo"}, "every"),
        ({"every": "1mo", "handoff": "32 09:00"}, "handoff"),
        ({"every": "1mo", "handoff": "Mon 09:00"}, "handoff"),
        ({"shifts": ("24h", "20m")}, "shifts[1]"),
        ({"time_zone": "Mars/Olympus"}, "timeZone"),
        ({"rrule": "every now and then"}, "rrule"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=HOURLY;BYMINUTE=0,1,2"}, "rrule"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=XX"}, "rrule"),
    ],
)
def test_an_impossible_rotation_names_its_field(change: dict[str, object], field: str) -> None:
    shape: dict[str, object] = {"name": "a", "crews": ((ALICE,),), "handoff": "09:00", **change}
    with pytest.raises(Invalid) as caught:
        handoffs_of(Layer(**shape))  # type: ignore[arg-type]
    assert field in [problem.field for problem in caught.value.problems]


def test_on_public_holidays_another_layer_counts() -> None:
    christmas = frozenset({date(2026, 12, 25), date(2026, 12, 26)})
    special = Layer(name="holiday", holidays="only", crews=((ALICE,),))
    usual = Layer(name="usual", crews=((BOB,),), count_from=date(2026, 12, 21))
    who = schedule(special, usual, holidays=christmas)
    span = who.at(datetime(2026, 12, 25, 12, tzinfo=UTC))
    assert (span.people, span.start_at.day, span.end_at.day) == ((ALICE,), 25, 27)
    assert who.at(datetime(2026, 12, 24, 23, 59, tzinfo=UTC)).people == (BOB,)
    never = Layer(name="office", holidays="never", crews=((BOB,),), windows=(window("all", "22:00", "06:00"),))
    closed = schedule(never, holidays=christmas)
    assert closed.at(datetime(2026, 12, 25, 5, tzinfo=UTC)).people == (BOB,), "that night began on the 24th"
    assert closed.at(datetime(2026, 12, 27, 5, tzinfo=UTC)).people == ()


SHARED = Path(__file__).parents[4] / "shared/fixtures/schedules"


def fixture(name: str) -> object:
    path = SHARED / name
    return json.loads(path.read_text()) if path.exists() else []


def test_weekday_rules_are_active_when_goalert_has_them() -> None:
    for case in fixture("goalert_weekday_rule_active.json"):  # type: ignore[attr-defined]
        rule = case["rule"]
        layer = Layer(
            name="x", crews=((ALICE,),), windows=(window(" ".join(rule["days"]), rule["start"], rule["end"]),)
        )
        for text in case["active"]:
            assert schedule(layer).at(datetime.fromisoformat(text)).people == (ALICE,), (rule, text)
        for text in case["inactive"]:
            assert schedule(layer).at(datetime.fromisoformat(text)).people == (), (rule, text)


def test_months_end_as_goalert_ends_them() -> None:
    for case in fixture("goalert_rotation_endtimes.json"):  # type: ignore[attr-defined]
        if case["type"] != "monthly":
            continue
        start, end = (datetime.strptime(case[key], "%b %d %Y %I:%M %p") for key in ("start", "end"))  # noqa: DTZ007
        found = cadence(f"{case['shift_length']}mo", f"{start.day} {start:%H:%M}", start.date(), case["tz"])
        hours = eval(case["duration_expr"].replace("time.Hour", "1"), {"__builtins__": {}})
        begun = start.replace(tzinfo=ZoneInfo(case["tz"])).astimezone(UTC)
        assert found.turn_with_bounds(begun)[1:] == (begun, end.replace(tzinfo=ZoneInfo(case["tz"])).astimezone(UTC))
        assert found.handoff_at(1) - found.handoff_at(0) == timedelta(hours=hours)


def test_day_and_night_rotations_give_goalerts_shifts() -> None:
    case = fixture("goalert_day_night_rotation_central.json")
    if not case:
        return
    names: dict[str, UUID] = {}
    layers = []
    for number, rule in enumerate(case["rules"]):  # type: ignore[call-overload]
        turns = rule["rotation"]
        for user in turns["users"]:
            names[user] = UUID(int=len(names) + 1)
        # GoAlert keeps which turn runs; its anchor only says at which time of the day turns change
        begun = datetime.fromisoformat(turns["current_start"]).astimezone(ZoneInfo(case["tz"]))  # type: ignore[call-overload]
        order = turns["users"][turns["current_index"] :] + turns["users"][: turns["current_index"]]
        layers.append(
            Layer(
                name=str(number),
                time_zone=case["tz"],  # type: ignore[call-overload]
                every="1d",
                handoff=f"{begun:%H:%M}",
                count_from=begun.date(),
                crews=tuple((names[user],) for user in order),
                windows=(window(rule["days"], rule["start"], rule["end"]),),
            )
        )
    who = schedule(*layers)
    for user, start, end in case["future_shifts"]:  # type: ignore[call-overload]
        begin, until = (datetime.fromisoformat(text) for text in (start, end))
        held = set()
        at = begin
        while at < until:
            span = who.at(at)
            held |= set(span.people)
            at = span.end_at
        assert held == {names[user]}, (user, start, end)
