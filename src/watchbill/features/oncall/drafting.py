"""Drafting a rota: turns, people and rules, and the checker that every draft is held against.

Nothing here solves; see `drafting_solve`, which alone imports a solver. The checker shares no code with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

Rule = Literal["empty", "time-off", "rest", "nights", "consecutive"]
"""What a draft can fail: nobody fills a seat; somebody is away; too little rest between two shifts; two night turns
in a row; more turns in a row than allowed."""

NIGHT = (22, 7)
"""From ten in the evening to seven in the morning, by the clock of the team."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch that one crew holds. ``night``: it lasts at most a day and covers midnight to five, by the clock.

    ``load``: interruptions to expect in it, relative to others (an hour at night or at the weekend counts double).
    ``holiday_hours``: how much of it lies on public holidays.
    """

    start_at: datetime
    end_at: datetime
    night: bool
    load: float
    holiday_hours: float = 0.0

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.end_at - self.start_at) / timedelta(hours=1)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can take turns (shadows are not handed in), with what they carried so far.

    ``hours_before`` on call and ``interruptions_before`` (pages, those at night and at the weekend counted double)
    in the time looked back at. ``away`` and ``rather_not`` are spans; the first is a rule, the second a wish.
    """

    login: str
    hours_before: float = 0.0
    interruptions_before: float = 0.0
    away: tuple[tuple[datetime, datetime], ...] = ()
    rather_not: tuple[tuple[datetime, datetime], ...] = ()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a draft must keep: ``rest`` between two shifts (turns that touch are one shift), ``in_row`` turns at
    most, no two night turns in a row, and ``seats`` different people a turn (2: a primary and a secondary)."""

    rest: timedelta = timedelta(hours=11)
    in_row: int = 1
    back_to_back_nights: bool = False
    seats: int = 1


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds seat ``number`` (0 is the primary) of turn ``turn``; None is nobody. ``because`` says why them."""

    turn: int
    number: int
    login: str | None
    because: str = ""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the draft breaks: whose, in which turn, and why it could not be kept."""

    rule: Rule
    turn: int
    login: str
    message: str


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The seats, what they break, and whether the solver proved that nothing better exists."""

    seats: tuple[Seat, ...]
    violations: tuple[Violation, ...]
    optimal: bool


def overlaps(spans: Sequence[tuple[datetime, datetime]], turn: Turn) -> bool:
    """True when one of the spans reaches into the turn."""
    return any(start < turn.end_at and turn.start_at < end for start, end in spans)


def turn_of(start_at: datetime, end_at: datetime, zone: str, holidays: frozenset[date] = frozenset()) -> Turn:
    """A turn with its weight, hour by hour on the wall clock of ``zone``."""
    wall = ZoneInfo(zone)
    load = on_holiday = 0.0
    small_hours, at = 0, start_at
    while at < end_at:
        share = min(timedelta(hours=1), end_at - at) / timedelta(hours=1)
        local = at.astimezone(wall)
        load += share * weight_at(at, zone)
        on_holiday += share * (local.date() in holidays)
        small_hours += local.hour < 5
        at += timedelta(hours=1)
    night = small_hours > 2 and end_at - start_at <= timedelta(days=1)
    return Turn(start_at=start_at, end_at=end_at, night=night, load=load, holiday_hours=on_holiday)


def weight_at(instant: datetime, zone: str) -> float:
    """What an interruption at this time counts: 2 at night or at the weekend, else 1."""
    local = instant.astimezone(ZoneInfo(zone))
    return 2.0 if local.hour >= NIGHT[0] or local.hour < NIGHT[1] or local.isoweekday() > 5 else 1.0


def check(
    seats: Sequence[Seat],
    turns: Sequence[Turn],
    people: Sequence[Candidate],
    rules: Rules,
    *,
    running: Sequence[tuple[Turn, str]] = (),
) -> list[Violation]:
    """Every rule that these seats break, found by walking each person's turns.

    ``running`` are turns before the first one and who holds them; what is broken among themselves is history.
    """
    known = {person.login: person for person in people}
    mine: dict[str, list[int]] = {person.login: [] for person in people}
    found: list[Violation] = []
    fixed = len(running)
    turns = [*(turn for turn, _ in running), *turns]
    filled = {(seat.turn + fixed, seat.number): seat.login for seat in seats}
    for number, (_, holder) in enumerate(running):
        if holder in mine:
            mine[holder].append(number)
    for number in range(fixed, len(turns)):
        crew = [filled.get((number, seat)) for seat in range(rules.seats)]
        for seat, login in enumerate(crew):
            if login is None or login not in known or login in crew[:seat]:
                found.append(_broken("empty", number, login or "", turns, f"nobody else can hold seat {seat + 1}"))
            else:
                mine[login].append(number)
    for login, taken in mine.items():
        for number in taken:
            if number >= fixed and overlaps(known[login].away, turns[number]):
                found.append(_broken("time-off", number, login, turns, f"{login} is away"))
        found.extend(_of_pairs(login, taken, turns, rules))
    return [msgspec.structs.replace(one, turn=one.turn - fixed) for one in found if one.turn >= fixed]


def _of_pairs(login: str, taken: Sequence[int], turns: Sequence[Turn], rules: Rules) -> Iterator[Violation]:
    run = 1
    for one, two in pairwise(taken):
        pause = turns[two].start_at - turns[one].end_at
        run = run + 1 if two == one + 1 else 1
        if timedelta(0) < pause < rules.rest:
            yield _broken("rest", two, login, turns, f"{login} rests {pause} since the shift before, not {rules.rest}")
        if run > rules.in_row:
            yield _broken("consecutive", two, login, turns, f"{login} has {run} turns in a row, not {rules.in_row}")
        if not rules.back_to_back_nights and next_night(turns, one) == two:
            yield _broken("nights", two, login, turns, f"{login} has two nights in a row")


def next_night(turns: Sequence[Turn], number: int) -> int | None:
    """The night turn after this night turn, when it begins within a day and a half; None when there is none."""
    if not turns[number].night:
        return None
    for later in range(number + 1, len(turns)):
        if turns[later].start_at - turns[number].start_at > timedelta(hours=36):
            return None
        if turns[later].night:
            return later
    return None


def _broken(rule: Rule, turn: int, login: str, turns: Sequence[Turn], message: str) -> Violation:
    at = turns[turn].start_at
    return Violation(rule=rule, turn=turn, login=login, message=f"{message} (turn from {at:%Y-%m-%d %H:%M} UTC)")


def shares(seats: Sequence[Seat], turns: Sequence[Turn], people: Sequence[Candidate]) -> Mapping[str, dict[str, float]]:
    """Per login: hours and load before, in the draft, and together; and hours on public holidays."""
    found = {
        person.login: {
            "hours_before": person.hours_before,
            "interruptions_before": person.interruptions_before,
            "hours": 0.0,
            "load": 0.0,
            "holiday_hours": 0.0,
        }
        for person in people
    }
    for seat in seats:
        if seat.login is not None:
            turn = turns[seat.turn]
            line = found[seat.login]
            line["hours"] += turn.hours
            line["load"] += turn.load
            line["holiday_hours"] += turn.holiday_hours
    return found
