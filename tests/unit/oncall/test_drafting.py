"""Drafts of a rota: every one is held against a checker of its own, small ones against brute force."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.oncall.drafting import Candidate, Rules, Seat, Turn, check, shares, turn_of

pytest.importorskip("highspy")
from watchbill.features.oncall.drafting_solve import solve
from watchbill.kernel.errors import Invalid

MONDAY = datetime(2026, 6, 1, 7, tzinfo=UTC)


def turns(count: int, hours: int = 24) -> list[Turn]:
    step = timedelta(hours=hours)
    return [turn_of(MONDAY + n * step, MONDAY + (n + 1) * step, "Europe/Berlin") for n in range(count)]


def named(*logins: str) -> list[Candidate]:
    return [Candidate(login=login) for login in logins]


def test_every_seat_is_filled_by_two_different_people_when_there_are_enough() -> None:
    rules = Rules(seats=2, back_to_back_nights=True)
    draft = solve(turns(6), named("alice", "bob", "charlie", "dana"), rules)
    assert draft.violations == ()
    crews = [{s.login for s in draft.seats if s.turn == n} for n in range(6)]
    assert all(len(crew) == 2 and None not in crew for crew in crews)


def test_nobody_takes_a_turn_while_away() -> None:
    slots = turns(4, 168)
    people = [Candidate(login="alice", away=((slots[0].start_at, slots[1].end_at),)), *named("bob", "charlie")]
    draft = solve(slots, people, Rules())
    assert draft.violations == ()
    assert "alice" not in {s.login for s in draft.seats if s.turn < 2}


def test_the_shift_that_runs_already_counts_for_rest_and_for_turns_in_a_row() -> None:
    slots = turns(3)
    running = [(turn_of(MONDAY - timedelta(hours=24), MONDAY, "Europe/Berlin"), "alice")]
    draft = solve(slots, named("alice", "bob", "charlie"), Rules(), running=running)
    assert draft.violations == ()
    assert {s.turn: s.login for s in draft.seats}[0] != "alice"
    alone = solve(slots[:1], named("alice"), Rules(), running=running)
    assert {violation.rule for violation in alone.violations} == {"consecutive", "nights"}


def test_who_was_interrupted_most_is_spared() -> None:
    people = [
        Candidate(login="alice", hours_before=168, interruptions_before=40),
        Candidate(login="bob", hours_before=168, interruptions_before=2),
        Candidate(login="charlie", hours_before=168, interruptions_before=2),
    ]
    draft = solve(turns(4, 168), people, Rules())
    told = shares(draft.seats, turns(4, 168), people)
    assert told["alice"]["load"] < min(told["bob"]["load"], told["charlie"]["load"])


def test_holidays_are_shared() -> None:
    free = frozenset(date(2026, 6, n) for n in (2, 4))
    slots = [
        turn_of(MONDAY + timedelta(days=n), MONDAY + timedelta(days=n + 1), "UTC", frozenset(free)) for n in range(4)
    ]
    draft = solve(slots, named("alice", "bob"), Rules(in_row=2, back_to_back_nights=True))
    told = shares(draft.seats, slots, named("alice", "bob"))
    assert max(line["holiday_hours"] for line in told.values()) <= 24


def test_what_cannot_be_kept_is_said_with_person_and_turn_and_no_seat_is_empty() -> None:
    slots = turns(2, 168)
    people = [Candidate(login="alice", away=((slots[1].start_at, slots[1].end_at),))]
    draft = solve(slots, people, Rules())
    assert [s.login for s in draft.seats] == ["alice", "alice"]
    assert {(v.rule, v.turn, v.login) for v in draft.violations} == {
        ("time-off", 1, "alice"),
        ("consecutive", 1, "alice"),
    }


def test_a_seat_that_nobody_can_hold_is_said_to_be_empty() -> None:
    draft = solve(turns(1), named("alice"), Rules(seats=2))
    assert [v.rule for v in draft.violations] == ["empty"]


def test_nothing_to_draft_is_refused() -> None:
    with pytest.raises(Invalid, match="nobody or nothing"):
        solve([], named("alice"), Rules())


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_small_draft_is_as_even_as_the_best_that_brute_force_finds(count: int) -> None:
    slots, people = turns(count, 168), [Candidate(login="alice", hours_before=168), *named("bob", "charlie")]
    draft = solve(slots, people, Rules())

    def spread(logins: tuple[str | None, ...]) -> float:
        carried = {p.login: p.hours_before for p in people}
        for n, login in enumerate(logins):
            carried[str(login)] += slots[n].hours
        return max(carried.values()) - min(carried.values())

    def lawful(logins: tuple[str, ...]) -> bool:
        return not check([Seat(turn=n, number=0, login=x) for n, x in enumerate(logins)], slots, people, Rules())

    best = min(spread(each) for each in product([p.login for p in people], repeat=count) if lawful(each))
    assert draft.optimal
    assert spread(tuple(s.login for s in draft.seats)) == best


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 6),
    hours=st.sampled_from([12, 24, 168]),
    size=st.integers(2, 4),
    off=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=3),
)
def test_a_draft_without_violations_exists_whenever_brute_force_finds_one(
    count: int, hours: int, size: int, off: list[tuple[int, int]]
) -> None:
    slots, rules = turns(count, hours), Rules(in_row=2)
    people = [
        Candidate(
            login=f"p{n}", away=tuple((slots[t].start_at, slots[t].end_at) for who, t in off if who == n and t < count)
        )
        for n in range(size)
    ]
    draft = solve(slots, people, rules)
    every = product([p.login for p in people], repeat=count)
    possible = any(
        not check([Seat(turn=n, number=0, login=x) for n, x in enumerate(each)], slots, people, rules) for each in every
    )
    assert (draft.violations == ()) == possible


def test_the_solver_writes_nothing_between_the_json_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    solve(turns(3, 168), named("alice", "bob"), Rules())
    assert capfd.readouterr().out == ""
