"""What is about to go wrong with rotas, said before it does: gathered for the checks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import msgspec

from watchbill.features import identity
from watchbill.features.oncall import checks, holidays, lookups, plans
from watchbill.features.oncall.absence import time_off_of
from watchbill.kernel.errors import Problem
from watchbill.runtime.db import Tx

AHEAD_DAYS = 28


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: ``problems`` need a person, ``advice`` may wait."""

    problems: list[Problem]
    advice: list[Problem]


def warnings(tx: Tx, *, team_ids: Iterable[UUID] | None = None, days: int = AHEAD_DAYS) -> dict[UUID, list[Problem]]:
    """Warnings by team (None: all that have a rotation), gaps apart; a team without any is left out."""
    found = {team_id: checks.warnings(facts) for team_id, facts in _facts(tx, team_ids, days, with_gaps=False).items()}
    return {team_id: problems for team_id, problems in found.items() if problems}


def check(tx: Tx, *, team_ids: Iterable[UUID] | None = None, days: int = AHEAD_DAYS) -> dict[UUID, Checked]:
    """Everything there is to say about these teams' coming days: warnings with gaps, and advice."""
    return {
        team_id: Checked(problems=[*checks.gaps(facts), *checks.warnings(facts)], advice=checks.advice(facts))
        for team_id, facts in _facts(tx, team_ids, days, with_gaps=True).items()
    }


def _facts(tx: Tx, team_ids: Iterable[UUID] | None, days: int, *, with_gaps: bool) -> dict[UUID, checks.Facts]:
    loaded = plans.load(tx, team_ids)
    named = {p for plan in loaded.values() for p in (*plan.stored.rotation.members, *plan.stored.rotation.shadows)}
    named |= {override.person_id for plan in loaded.values() for override in plan.overrides}
    people = identity.people(tx, ids=named)
    methods = identity.contact_methods(tx, person_ids=named)
    end_at = tx.now + timedelta(days=days)
    off = {p: found for p, found in time_off_of(tx, person_ids=named, start_at=tx.now, end_at=end_at).items() if found}
    calendars = holidays.calendars_of(tx, person_ids=sorted(named))
    free = holidays.named_days(tx, calendars=set(calendars.values()))
    logins = {person_id: person.login for person_id, person in people.items()}
    reachable = frozenset(person_id for person_id, known in methods.items() if known)
    verified = frozenset(p for p, known in methods.items() if any(m.verified_at for m in known))
    last_day = end_at.date()
    free_days = {
        person_id: {day: name for day, name in free.get(calendar, {}).items() if tx.now.date() <= day <= last_day}
        for person_id, calendar in calendars.items()
    }
    found: dict[UUID, checks.Facts] = {}
    for team_id, plan in loaded.items():
        slots = plan.calculator.slots
        shifts = {slot: lookups.planned(plan, tx.now, end_at, now=tx.now, slot=slot) for slot in slots}
        mine = {person for line in shifts.values() for shift in line for person in shift.people}
        mine |= set(plan.stored.rotation.members)
        found[team_id] = checks.Facts(
            rotation=plan.stored.rotation,
            zone=plan.stored.rotation.time_zone,
            shifts=shifts,
            gaps={slot: lookups.gaps_of(plan, tx.now, end_at, slot=slot) for slot in slots} if with_gaps else {},
            overrides=plan.overrides,
            away=plan.away,
            logins=logins,
            reachable=reachable,
            verified=verified,
            time_off={person_id: off[person_id] for person_id in mine if person_id in off},
            free_days={person_id: free_days[person_id] for person_id in mine if person_id in free_days},
        )
    return found
