"""A team's plan loaded into memory: its calculator, ready for any number of lookups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from watchbill.features import identity
from watchbill.features.oncall import logic, store
from watchbill.features.oncall.model import Override, Shift, Span
from watchbill.runtime.db import Tx


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a team's on-call will be from now on, if nobody changes it."""

    stored: store.Stored
    overrides: tuple[Override, ...]
    away: frozenset[UUID]
    calculator: logic.Calculator

    def at(self, instant: datetime) -> Span:
        """The span around ``instant``, begun when the record says it began."""
        span = self.calculator.at(instant)
        running = self.stored.running
        if running is not None and running.start_at <= instant and running.says_the_same_as(span):
            if running.end_at == span.end_at:
                return msgspec.structs.replace(span, start_at=running.start_at)
            return span
        return msgspec.structs.replace(span, start_at=max(span.start_at, min(self.stored.effective_from, instant)))

    def shift_at(self, instant: datetime) -> Shift | None:
        """Who is on call at ``instant``."""
        return logic.as_shift(self.at(instant), self.stored.rotation.team_id)


def load(
    tx: Tx, team_ids: Iterable[UUID] | None = None, *, since: datetime | None = None, lock: bool = False
) -> dict[UUID, Plan]:
    """The plans of these teams (None: all) in three queries, however many teams there are.

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
    named |= {override.person_id for found in by_team.values() for override in found}
    people = identity.people(tx, ids=named)
    away = frozenset(named - {person_id for person_id, person in people.items() if person.active})
    return {
        team_id: Plan(
            stored=s,
            overrides=tuple(by_team[team_id]),
            away=away,
            calculator=logic.calculator(s.rotation, phase=s.phase, overrides=by_team[team_id], away=away),
        )
        for team_id, s in stored.items()
    }
