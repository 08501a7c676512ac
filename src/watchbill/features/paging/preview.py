"""If this fires now: whom a page would ask, when, and by which way."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog, incidents
from watchbill.features.catalog import Service
from watchbill.features.paging import escalation
from watchbill.features.paging.logic import Harmed
from watchbill.features.paging.model import EscalationPolicy
from watchbill.features.paging.simulate import Case, Line, simulate
from watchbill.features.paging.world import DatabaseWorld, free_days, harmed
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx

AHEAD = timedelta(days=14)


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A page that opens at ``at``, until the fallback is reached."""

    at: datetime
    team_id: UUID | None
    severity: str
    lines: list[Line]


def preview(
    tx: Tx,
    *,
    service: Service | None = None,
    team_id: UUID | None = None,
    at: datetime | None = None,
    declared: bool = False,
) -> Preview:
    """What happens when an alert of the service (or of something the team owns) fires at ``at`` and nobody answers.

    With the personal rules as they are now. Neither service nor team: an alert that nobody owns.

    Raises:
        Invalid: ``at`` is in the past; the record of the past is the incidents'.
    """
    begins = at or tx.now
    if begins < tx.now - timedelta(minutes=1):
        raise Invalid("a preview looks ahead", field="at", hint="see the incident for what happened")
    if service is not None:
        team_id = service.team_id
    fallback = catalog.fallback_team(tx) if team_id is None else None
    paged = team_id or (fallback.id if fallback else None)
    policy = EscalationPolicy(steps=(), repeat_last=0) if paged is None else escalation.team_policy(tx, team_id=paged)
    services: list[Harmed] = harmed([service]) if service else []
    severity = incidents.severity_of(tier=service.tier if service else 3, declared=declared)
    case = Case(
        team_id=paged,
        policy=policy,
        opened_at=begins,
        harmed=services,
        severity=severity,
        holidays=free_days(tx, policy),
    )
    turns: dict[UUID, int] = {}
    important = severity in ("sev1", "sev2") or declared

    def world_at(instant: datetime) -> DatabaseWorld:
        return DatabaseWorld(tx, at=max(instant, tx.now), important=important, turns=turns)

    lines = simulate(case, world_at=world_at, until=begins + AHEAD, stop_at_fallback=True)
    return Preview(at=begins, team_id=paged, severity=severity, lines=lines)
