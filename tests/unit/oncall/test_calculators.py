"""Listing and lookup agree, time is tiled, overrides win, and the record never looks back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.oncall import logic
from watchbill.features.oncall.model import Override, TeamRotation

ALICE, BOB, CHARLIE, DANA = (UUID(int=number) for number in range(1, 5))
TEAM = UUID(int=100)
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE = st.sampled_from([ALICE, BOB, CHARLIE, DANA])


def rotation(*members: UUID, every: str = "1w", handoff: str = "Mon 09:00", zone: str = "UTC") -> TeamRotation:
    return TeamRotation(team_id=TEAM, members=members, every=every, handoff=handoff, time_zone=zone)


def override(
    person: UUID, start: datetime, end: datetime, made: int = 1, cancelled: datetime | None = None
) -> Override:
    return Override(
        id=UUID(int=1000 + made),
        team_id=TEAM,
        person_id=person,
        start_at=start,
        end_at=end,
        reason="dentist",
        created_by="system:test",
        created_at=MONDAY - DAY + timedelta(minutes=made),
        cancelled_at=cancelled,
    )


@st.composite
def overrides(draw: st.DrawFn) -> list[Override]:
    made = []
    for number in range(draw(st.integers(0, 6))):
        start = MONDAY + timedelta(hours=draw(st.integers(-48, 400)))
        end = start + timedelta(hours=draw(st.integers(1, 200)))
        cancelled = draw(st.none() | st.integers(-48, 500).map(lambda hours: MONDAY + timedelta(hours=hours)))
        made.append(override(draw(PEOPLE), start, end, number, cancelled))
    return made


@given(
    members=st.lists(PEOPLE, unique=True),
    away=st.frozensets(PEOPLE),
    every=st.sampled_from(["7h", "1d", "2d"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    made=overrides(),
    hours=st.integers(-60, 600),
)
def test_shifts_tile_time_and_every_lookup_agrees_with_the_listing(
    *, members: list[UUID], away: frozenset[UUID], every: str, zone: str, made: list[Override], hours: int
) -> None:
    spec = rotation(*members, every=every, handoff="02:30", zone=zone)
    who = logic.calculator(spec, overrides=made, away=away)
    start, end = MONDAY - 4 * DAY, MONDAY + 30 * DAY
    line = list(logic.spans(who, start, end))
    assert line[0].start_at <= start
    assert line[-1].end_at >= end
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    instant = MONDAY + timedelta(hours=hours)
    covering = [span for span in line if span.start_at <= instant < span.end_at]
    assert covering == [who.at(instant)]
    assert not {span.person_id for span in line} & away
    holes = logic.gaps(line, start, end)
    if set(members) - away:
        assert holes == []
    on_call = sum((min(s.end_at, end) - max(s.start_at, start) for s in line if s.person_id), timedelta())
    assert on_call + sum((until - begin for begin, until in holes), timedelta()) == end - start


@given(made=overrides(), hours=st.integers(-48, 600))
def test_of_overlapping_overrides_the_one_made_last_counts(made: list[Override], hours: int) -> None:
    instant = MONDAY + timedelta(hours=hours)
    span = logic.calculator(rotation(ALICE, BOB), overrides=made).at(instant)
    covering = [o for o in made if o.start_at <= instant < o.until]
    if covering:
        assert span.override_id == max(covering, key=lambda o: o.created_at).id
    else:
        assert span.reason == "rotation"


def test_members_take_turns_in_their_order() -> None:
    who = logic.calculator(rotation(ALICE, BOB, CHARLIE))
    line = [who.at(MONDAY + week * 7 * DAY).person_id for week in range(4)]
    begin = [ALICE, BOB, CHARLIE].index(line[0])  # type: ignore[arg-type]
    assert line == [[ALICE, BOB, CHARLIE][(begin + week) % 3] for week in range(4)]


def test_whoever_has_left_is_stood_in_for_by_the_next() -> None:
    who = logic.calculator(rotation(ALICE, BOB, CHARLIE), away={BOB})
    found = {week: who.at(MONDAY + week * 7 * DAY) for week in range(3)}
    reasons = {span.person_id: span.reason for span in found.values()}
    assert sorted(span.reason for span in found.values()) == ["rotation", "rotation", "stand-in"]
    assert BOB not in reasons


def test_a_rota_of_people_who_have_all_left_is_one_gap() -> None:
    who = logic.calculator(rotation(ALICE, BOB), away={ALICE, BOB})
    window = (MONDAY, MONDAY + 30 * DAY)
    assert logic.gaps(list(logic.spans(who, *window)), *window) == [window]


def test_an_override_of_somebody_who_has_left_is_passed_over() -> None:
    who = logic.calculator(rotation(ALICE), overrides=[override(BOB, MONDAY, MONDAY + DAY)], away={BOB})
    assert who.at(MONDAY).person_id == ALICE


def test_next_on_call_is_the_next_different_person() -> None:
    who = logic.calculator(rotation(ALICE, BOB), overrides=[override(ALICE, MONDAY, MONDAY + 9 * DAY)])
    following = logic.next_after(who, MONDAY)
    assert following is not None
    assert following.person_id == BOB
    assert following.start_at == MONDAY + 9 * DAY
    assert logic.next_after(logic.calculator(rotation(ALICE)), MONDAY) is None
    assert logic.next_after(logic.Nobody(), MONDAY) is None


@given(
    before=st.lists(PEOPLE, unique=True, min_size=1),
    after=st.lists(PEOPLE, unique=True, min_size=1),
    days=st.integers(0, 400),
    every=st.sampled_from(["1d", "1w", "5d"]),
)
def test_a_changed_rotation_leaves_whoever_is_on_call_in_place(
    before: list[UUID], after: list[UUID], days: int, every: str
) -> None:
    at = MONDAY + timedelta(days=days, hours=3)
    current = logic.calculator(rotation(*before)).at(at).person_id
    assert current is not None
    changed = rotation(*after, every=every, handoff="09:00")
    phase = logic.phase_that_keeps(changed, current=current, previous_order=before, at=at)
    now_on_call = logic.calculator(changed, phase=phase).at(at).person_id
    if current in after:
        assert now_on_call == current
    elif set(before) & set(after):
        begin = before.index(current)
        assert now_on_call == next(p for p in before[begin:] + before[:begin] if p in after)


@given(steps=st.lists(st.integers(0, 300), min_size=1, max_size=8), made=overrides())
def test_the_record_is_the_same_however_often_it_is_written(steps: list[int], made: list[Override]) -> None:
    who = logic.calculator(rotation(ALICE, BOB, CHARLIE, every="1d", handoff="09:00"), overrides=made)
    end = MONDAY + timedelta(hours=sum(steps))
    once, running_once = logic.catch_up(None, who, since=MONDAY, now=end)
    line, running, now = [], None, MONDAY
    for step in steps:
        now += timedelta(hours=step)
        ended, running = logic.catch_up(running, who, since=MONDAY, now=now)
        line += ended
    assert (line, running) == (once, running_once)


@given(hours=st.integers(1, 2000), later=st.integers(0, 2000))
def test_a_later_plan_never_reaches_back_into_the_record(hours: int, later: int) -> None:
    now = MONDAY + timedelta(hours=hours)
    ended, running = logic.catch_up(None, logic.calculator(rotation(ALICE, BOB)), since=MONDAY, now=now)
    changed = logic.calculator(rotation(CHARLIE, every="1d", handoff="00:00"))
    more, last = logic.catch_up(running, changed, since=MONDAY, now=now)
    line = [*ended, *more, last]
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    assert all(span.person_id in {ALICE, BOB} for span in line if span.end_at <= now)
    assert last.person_id == CHARLIE
    assert last.start_at == now
    again, same = logic.catch_up(last, changed, since=MONDAY, now=now)
    assert (again, same) == ([], last)
    much_later, _ = logic.catch_up(last, changed, since=MONDAY, now=now + timedelta(hours=later))
    assert all(span.start_at >= now for span in much_later)
