"""Drafting a rota with HiGHS, a solver for mixed-integer programs. Imported by the command line only.

Each rule is a constraint with its own slack: what cannot be kept is bought at a price far above any unfairness, the
dearest rule last, and is said with person and turn. An empty seat is the dearest of all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from watchbill.features.oncall.drafting import (
    Candidate,
    Draft,
    Rules,
    Seat,
    Turn,
    check,
    next_night,
    overlaps,
)
from watchbill.kernel.errors import Invalid, SetupError

EMPTY, AWAY, REST, NIGHTS, IN_ROW = 1e5, 2e4, 4e3, 1e3, 1e3
_MOST_CELLS = 20_000


def solve(
    turns: Sequence[Turn],
    people: Sequence[Candidate],
    rules: Rules,
    *,
    running: Sequence[tuple[Turn, str]] = (),
    within: timedelta = timedelta(seconds=20),
) -> Draft:
    """The fairest draft that keeps the rules, or breaks as little of them as possible and says so.

    Fair is: the largest sum of hours, of interruptions so far with the load to come, and of holidays that anybody
    carries is as small, and the smallest as large, as can be. The same input gives the same draft. ``running`` are
    turns before the first one and who holds them: rest, nights and turns in a row count across the edge too.

    Raises:
        Invalid: no turns, no people, or too many of both. SetupError: the solver is not installed.
    """
    if not turns or not people:
        raise Invalid("there is nobody or nothing to draft", code="draft_empty", hint="name people and days")
    if len(turns) * len(people) * rules.seats > _MOST_CELLS:
        raise Invalid("that is too much for one draft", code="draft_too_large", hint="draft fewer days")
    try:
        import highspy
    except ImportError as error:
        hint = "pip install 'watchbill[draft]'"
        raise SetupError("drafting a rota needs a solver that is not installed", hint=hint) from error
    with _quiet():
        h: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # the solver has no types
    for option, value in (("log_to_console", False), ("output_flag", False), ("random_seed", 1), ("threads", 1)):
        h.setOptionValue(option, value)
    h.setOptionValue("time_limit", within.total_seconds())
    fixed, drafted = len(running), turns
    turns = [*(turn for turn, _ in running), *drafted]
    every = range(fixed, len(turns))
    held = [[[h.addBinary() for _ in range(rules.seats)] for _ in people] for _ in turns]
    cost: list[Any] = []
    for t, (_, login) in enumerate(running):
        for p, person in enumerate(people):
            h.addConstr(sum(held[t][p]) == float(person.login == login))
    for t in every:
        for seat in range(rules.seats):
            empty = h.addBinary()
            h.addConstr(sum(held[t][p][seat] for p in range(len(people))) + empty == 1)
            cost.append(EMPTY * empty)
    works = [[sum(held[t][p]) + 0 for t in range(len(turns))] for p in range(len(people))]
    for p, person in enumerate(people):
        _keep(h, person=person, works=works[p], turns=turns, rules=rules, cost=cost)
    _share(h, works=[each[fixed:] for each in works], turns=drafted, people=people, rules=rules, cost=cost)
    h.minimize(sum(cost))
    status = h.getModelStatus()
    values = h.getSolution().col_value
    if not values:
        raise Invalid(f"no draft was found in {within.total_seconds():.0f} seconds", code="draft_timeout")
    seats = tuple(
        _seat(t - fixed, seat, [values[held[t][p][seat].index] for p in range(len(people))], people)
        for t in every
        for seat in range(rules.seats)
    )
    optimal = status == highspy.HighsModelStatus.kOptimal
    return Draft(seats=seats, violations=tuple(check(seats, drafted, people, rules, running=running)), optimal=optimal)


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what is written to standard output to standard error: the solver greets there, before it takes options."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _keep(
    h: Any, *, person: Candidate, works: Sequence[Any], turns: Sequence[Turn], rules: Rules, cost: list[Any]
) -> None:
    def at_most(limit: int, terms: Sequence[Any], price: float) -> None:
        over = h.addBinary()
        h.addConstr(sum(terms) - over <= limit)
        cost.append(price * over)

    for t, turn in enumerate(turns):
        h.addConstr(works[t] <= 1)  # one seat a turn: a primary is never their own secondary
        if overlaps(person.away, turn):
            cost.append(AWAY * works[t])
        elif overlaps(person.rather_not, turn):
            cost.append(5.0 * works[t])
        for later in range(t + 1, len(turns)):
            pause = turns[later].start_at - turn.end_at
            if pause >= rules.rest:
                break
            if pause > timedelta(0):
                at_most(1, [works[t], works[later]], REST)
        if t + rules.in_row < len(turns):
            at_most(rules.in_row, works[t : t + rules.in_row + 1], IN_ROW)
        night = None if rules.back_to_back_nights else next_night(turns, t)
        if night is not None:
            at_most(1, [works[t], works[night]], NIGHTS)


def _share(
    h: Any,
    *,
    works: Sequence[Sequence[Any]],
    turns: Sequence[Turn],
    people: Sequence[Candidate],
    rules: Rules,
    cost: list[Any],
) -> None:
    """The spread between who carries most and least, by hours, by load and by holidays, each as a share of the mean."""
    measures = (
        ([turn.hours for turn in turns], [person.hours_before for person in people]),
        ([turn.load for turn in turns], _scaled(turns, people, rules)),
        ([turn.holiday_hours for turn in turns], [0.0] * len(people)),
    )
    for weights, before in measures:
        total = sum(weights) * rules.seats + sum(before)
        if not sum(weights):
            continue
        most, least = h.addVariable(lb=0), h.addVariable(lb=0)
        for p in range(len(people)):
            carried = sum(weight * works[p][t] for t, weight in enumerate(weights)) + before[p]
            h.addConstr(carried - most <= 0)
            h.addConstr(carried - least >= 0)
        cost.append((100.0 * len(people) / total) * (most - least))


def _scaled(turns: Sequence[Turn], people: Sequence[Candidate], rules: Rules) -> list[float]:
    """Interruptions so far in the unit of load: as if what was carried had come at the rate of the turns to come."""
    pages = sum(person.interruptions_before for person in people)
    hours = sum(person.hours_before for person in people)
    if not pages:
        return [0.0] * len(people)
    rate = sum(turn.load for turn in turns) / sum(turn.hours for turn in turns)
    unit = (hours or sum(turn.hours for turn in turns) * rules.seats) * rate / pages
    return [person.interruptions_before * unit for person in people]


def _seat(turn: int, number: int, values: Sequence[float], people: Sequence[Candidate]) -> Seat:
    chosen = max(range(len(people)), key=lambda p: values[p])
    if values[chosen] < 0.5:
        return Seat(turn=turn, number=number, login=None, because="nobody can")
    person = people[chosen]
    because = f"{person.hours_before:.0f} h and {person.interruptions_before:.0f} weighted pages so far"
    return Seat(turn=turn, number=number, login=person.login, because=because)
