"""The world of `targets.resolve` as the database has it at one instant, and what is harmed in an incident."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import catalog, identity, incidents, oncall
from watchbill.features.identity import ContactMethod
from watchbill.features.incidents import Incident
from watchbill.features.paging.logic import Harmed
from watchbill.features.paging.model import EscalationPolicy
from watchbill.features.paging.store import round_robin
from watchbill.runtime.db import Tx

Sends = Sequence[tuple[ContactMethod, timedelta]]
"""How a person is reached: each method, and how long after the step."""


class DatabaseWorld:
    """Answers of the database. With ``turns`` nothing is written: round-robin turns are counted there.

    ``important`` pages reach people in their quiet hours too.
    """

    def __init__(
        self, tx: Tx, *, at: datetime | None = None, important: bool = True, turns: dict[UUID, int] | None = None
    ) -> None:
        self._tx = tx
        self._at = at or tx.now
        self._important = important
        self._turns = turns

    def on_call(self, team_id: UUID, layer: str | None) -> tuple[Sequence[UUID], Sequence[UUID]]:
        """See `World`. A layer is found by its own name or by the slot it fills."""
        slot = oncall.PRIMARY
        if layer is not None:
            plan = oncall.load_plans(self._tx, [team_id]).get(team_id)
            layers = plan.stored.rotation.layers if plan else ()
            slot = next((each.slot for each in layers if each.name == layer), layer)
        found = oncall.people_on_call(self._tx, team_id=team_id, at=self._at, slot=slot)
        return found.people, found.shadows

    def next_on_call(self, team_id: UUID) -> Sequence[UUID]:
        """See `World`."""
        shift = oncall.next_on_call(self._tx, team_id=team_id, at=self._at)
        return shift.people if shift else ()

    def members(self, team_id: UUID) -> Sequence[tuple[UUID, str]]:
        """See `World`."""
        found = catalog.members(self._tx, team_ids=[team_id])[team_id]
        return [(member.person_id, member.role) for member in found]

    def team(self, name: str) -> UUID | None:
        """See `World`."""
        found = catalog.team_by_name(self._tx, name=name)
        return found.id if found else None

    def person(self, login: str) -> UUID | None:
        """See `World`."""
        found = identity.person_by_login(self._tx, login=login)
        return found.id if found else None

    def fallback_team(self) -> UUID | None:
        """See `World`."""
        found = catalog.fallback_team(self._tx)
        return found.id if found else None

    def administrators(self) -> Iterable[UUID]:
        """See `World`."""
        return [person.id for person in identity.administrators(self._tx)]

    def turn(self, team_id: UUID) -> int:
        """Take the team's next turn: two pages at once take two different ones."""
        if self._turns is not None:
            taken = self._tx.execute(sa.select(round_robin.c.taken).where(round_robin.c.team_id == team_id)).scalar()
            self._turns[team_id] = self._turns.get(team_id, -1) + 1
            return (taken or 0) + self._turns[team_id]
        statement = insert(round_robin).values(team_id=team_id, taken=1)
        counted = statement.on_conflict_do_update(index_elements=["team_id"], set_={"taken": round_robin.c.taken + 1})
        return int(self._tx.execute(counted.returning(round_robin.c.taken)).scalar_one()) - 1

    def plans(self, person_ids: Collection[UUID], *, pierce: bool = False) -> Mapping[UUID, Sends]:
        """See `World`: active people, by their own rules; in their quiet hours only important pages reach them."""
        wanted = sorted(set(person_ids))
        people = identity.people(self._tx, ids=wanted)
        active = [person for person in wanted if person in people and people[person].active]
        methods = identity.contact_methods(self._tx, person_ids=active)
        rules = identity.personal_rules(self._tx, person_ids=active)
        planned = {
            person: identity.plan_sends(
                methods=methods[person],
                rule=rules.get(person),
                urgency="important" if self._important or pierce else "default",
                time_zone=people[person].time_zone,
                now=self._at,
            )
            for person in active
        }
        return {person: plan.sends for person, plan in planned.items() if plan.sends}

    def channels(self, team_id: UUID | None, name: str) -> Sequence[Any]:
        """See `World`."""
        return [] if team_id is None else catalog.team_channels(self._tx, team_id=team_id, name=name)


def free_days(tx: Tx, policy: EscalationPolicy) -> frozenset[date]:
    """The public holidays that the policy goes by; not asked for when none of its hours could need them."""
    timed = any(step.during is not None and step.during.office for step in policy.steps)
    if not policy.holidays or not (timed or policy.hold_tiers):
        return frozenset()
    return oncall.public_holidays(tx, calendars=[policy.holidays]).get(policy.holidays, frozenset())


def harmed_of(tx: Tx, incident: Incident) -> list[Harmed]:
    """The services harmed in an incident, as a policy judges them."""
    ids = incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, [])
    return harmed(catalog.services(tx, ids=ids)) if ids else []


def harmed(services: Iterable[catalog.Service]) -> list[Harmed]:
    """Services, as a policy judges them."""
    return [Harmed(tier=each.tier, watch=each.spec.get("watch")) for each in services]
