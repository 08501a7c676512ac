"""A team's plan loaded into memory: its calculator, ready for any number of lookups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from watchbill.features import identity
from watchbill.features.oncall import holidays, logic, store
from watchbill.features.oncall.model import PRIMARY, Override, Shift, Span
from watchbill.features.oncall.schedule import Schedule
from watchbill.runtime.db import Tx


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a team's on-call will be from now on, if nobody changes it."""

    stored: store.Stored
    overrides: tuple[Override, ...]
    away: frozenset[UUID]
    calculator: Schedule
    holidays: frozenset[date] = frozenset()

    def at(self, instant: datetime) -> Span:
        """The span around ``instant``, begun when the record says it began."""
        span = self.calculator.at(instant)
        running = self.stored.running
        if running is not None and running.start_at <= instant and running.says_the_same_as(span):
            if running.end_at == span.end_at:
                return msgspec.structs.replace(span, start_at=running.start_at)
            return span
        return msgspec.structs.replace(span, start_at=max(span.start_at, min(self.stored.effective_from, instant)))

    def shift_at(self, instant: datetime, slot: str = PRIMARY) -> Shift | None:
        """Who holds the slot at ``instant``; the shift is not cut where other slots change."""
        team_id = self.stored.rotation.team_id
        if self.calculator.plain and slot == PRIMARY:
            return logic.as_shift(self.at(instant), team_id)
        span = self.calculator.slot(slot).at(instant)
        begun = max(span.start_at, min(self.stored.effective_from, instant))
        found = logic.as_shift(msgspec.structs.replace(span, start_at=begun), team_id)
        if found is None:
            return None
        return msgspec.structs.replace(found, slot=slot, shadows=self.calculator.at(instant).shadows)

    def under(self, overrides: Sequence[Override]) -> Plan:
        """The same plan with more overrides: what it would be, for a preview."""
        line = (*self.overrides, *overrides)
        made = logic.calculator(
            self.stored.rotation, phases=self.stored.phases, overrides=line, away=self.away, holidays=self.holidays
        )
        return msgspec.structs.replace(self, overrides=line, calculator=made)


def load(
    tx: Tx, team_ids: Iterable[UUID] | None = None, *, since: datetime | None = None, lock: bool = False
) -> dict[UUID, Plan]:
    """The plans of these teams (None: all) in three or four queries, however many teams there are.

    Overrides that ended before ``since`` (default: now) and before the record's running line are left out.
    """
    stored = store.rotations(tx, None if team_ids is None else list(team_ids), lock=lock)
    if not stored:
        return {}
    known_since = [s.running.start_at if s.running else s.effective_from for s in stored.values()]
    from_at = min([since or tx.now, tx.now, *known_since])
    by_team: dict[UUID, list[Override]] = defaultdict(list)
    for override in store.overrides(tx, None if team_ids is None else list(stored), start_at=from_at):
        by_team[override.team_id].append(override)
    named = {person_id for s in stored.values() for person_id in s.rotation.members}
    named |= {person_id for s in stored.values() for person_id in s.rotation.shadows}
    named |= {override.person_id for found in by_team.values() for override in found}
    people = identity.people(tx, ids=named)
    away = frozenset(named - {person_id for person_id, person in people.items() if person.active})
    days = holidays.days(tx, calendars={s.rotation.holidays for s in stored.values()} - {""})
    found: dict[UUID, Plan] = {}
    for team_id, s in stored.items():
        free = days.get(s.rotation.holidays, frozenset())
        found[team_id] = Plan(
            stored=s,
            overrides=tuple(by_team[team_id]),
            away=away,
            calculator=logic.calculator(
                s.rotation, phases=s.phases, overrides=by_team[team_id], away=away, holidays=free
            ),
            holidays=free,
        )
    return found
