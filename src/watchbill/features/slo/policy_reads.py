"""Budget policies and their crossings, as stored: what holds for a service, and what happened to an SLO."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from watchbill.features import catalog
from watchbill.features.slo import store
from watchbill.features.slo.budget import as_decimal
from watchbill.features.slo.exclusion_store import slo_crossing, slo_policy
from watchbill.features.slo.policy import Action, BudgetPolicy, Cause, Direction, Effective, Level, Rule, effective
from watchbill.runtime.db import Tx


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing as it is kept. ``threshold`` and ``remaining`` are shares of the budget.

    ``review``: what somebody wrote when ``actions`` asked for a review or a postmortem.
    """

    id: UUID
    slo_id: UUID
    threshold: Decimal
    direction: Direction
    at: datetime
    told: bool
    remaining: Decimal
    actions: list[Action]
    cause: Cause
    why: str
    target: Decimal
    window_seconds: int
    reviewed_at: datetime | None
    reviewed_by: UUID | None
    review: str | None

    @property
    def review_due(self) -> bool:
        """Whether somebody still has to say what was learned."""
        asked = "review" in self.actions or "postmortem" in self.actions
        return asked and self.direction == "down" and self.told and self.reviewed_at is None


class Stance(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of an SLO's policy, and whether it holds now: below the threshold since ``since_at``."""

    rule: Rule
    below: bool
    since_at: datetime | None


def budget_identity(slo_id: UUID, threshold: Fraction) -> str:
    """The identity of the ticket that says that this threshold was passed."""
    return f"slo-budget:{slo_id}:{as_decimal(threshold).normalize():f}"


def policies(tx: Tx) -> dict[tuple[str, UUID], BudgetPolicy]:
    """What teams and services say, by (kind, id)."""
    return {
        (row.owner_kind, row.owner_id): msgspec.convert(row.policy, BudgetPolicy)
        for row in tx.execute(sa.select(slo_policy))
    }


def policy_for(tx: Tx, *, service_id: UUID) -> Effective:
    """What holds for one service."""
    team_id = catalog.service(tx, id=service_id).team_id
    rows = tx.execute(sa.select(slo_policy).where(slo_policy.c.owner_id.in_([service_id, team_id])))
    known = {(row.owner_kind, row.owner_id): msgspec.convert(row.policy, BudgetPolicy) for row in rows}
    return effective(known.get(("service", service_id)), known.get(("team", team_id)))


def levels(tx: Tx, *, slo_ids: Collection[UUID] | None = None) -> dict[UUID, dict[Fraction, Level]]:
    """Where each SLO stands to each threshold that it ever crossed."""
    at, direction, told = slo_crossing.c.at, slo_crossing.c.direction, slo_crossing.c.told
    newest = [at.desc(), slo_crossing.c.id.desc()]

    def last(column: sa.ColumnElement[Any]) -> Any:
        return sa.func.array_agg(aggregate_order_by(column, *newest))

    query = sa.select(
        slo_crossing.c.slo_id,
        slo_crossing.c.threshold,
        last(direction).label("directions"),
        last(slo_crossing.c.target).label("targets"),
        last(slo_crossing.c.window_seconds).label("windows"),
        sa.func.max(at).label("since_at"),
        sa.func.max(at).filter(told, direction == "down").label("down_at"),
        sa.func.max(at).filter(told, direction == "up").label("up_at"),
    ).group_by(slo_crossing.c.slo_id, slo_crossing.c.threshold)
    if slo_ids is not None:
        query = query.where(slo_crossing.c.slo_id == sa.any_(sa.cast(sorted(slo_ids), ARRAY(sa.Uuid))))
    found: dict[UUID, dict[Fraction, Level]] = {}
    for row in tx.execute(query):
        found.setdefault(row.slo_id, {})[Fraction(row.threshold)] = Level(
            below=row.directions[0] == "down",
            since_at=row.since_at,
            down_at=row.down_at,
            up_at=row.up_at,
            target=row.targets[0],
            window_seconds=row.windows[0],
        )
    return found


def stances(tx: Tx, *, slo_id: UUID, service_id: UUID) -> list[Stance]:
    """The rules that hold for an SLO, the largest remainder first, with where it stands."""
    known = levels(tx, slo_ids=[slo_id]).get(slo_id, {})
    return [_stance(rule, known) for rule in policy_for(tx, service_id=service_id).rules]


def _stance(rule: Rule, known: Mapping[Fraction, Level]) -> Stance:
    level = known.get(rule.threshold, Level())
    return Stance(rule=rule, below=level.below, since_at=level.since_at if level.below else None)


def rules_in_force(tx: Tx, *, service_id: UUID) -> dict[UUID, list[Stance]]:
    """Of each SLO of a service the rules whose threshold it is below: what the gate asks."""
    rules = policy_for(tx, service_id=service_id).rules
    if not rules:
        return {}
    known = levels(tx, slo_ids=[one.id for one in store.slos_of_services(tx, service_ids=[service_id])])
    held = {slo_id: [_stance(rule, of) for rule in rules] for slo_id, of in known.items()}
    return {slo_id: [one for one in of if one.below] for slo_id, of in held.items()}


def crossings(tx: Tx, *, slo_id: UUID, limit: int = 100) -> list[Crossing]:
    """What was crossed and when, the newest first."""
    query = sa.select(slo_crossing).where(slo_crossing.c.slo_id == slo_id)
    rows = tx.execute(query.order_by(slo_crossing.c.at.desc(), slo_crossing.c.id.desc()).limit(limit))
    return [to_crossing(row) for row in rows]


def to_crossing(row: Any) -> Crossing:
    return msgspec.convert(row, Crossing, from_attributes=True)


def insert_crossings(tx: Tx, *, rows: Sequence[Crossing]) -> None:
    for one in rows:
        tx.execute(sa.insert(slo_crossing).values(**msgspec.structs.asdict(one)))
