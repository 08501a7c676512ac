"""The error budget policy: what happens when little remains. Data, and a pure rule that says what was crossed.

Each threshold has a level that is below or not, with hysteresis: it falls below at the threshold and rises 5 points
over it. What is *told* (ticket, review) is told once in each window and direction; the level itself always holds, so
a freeze does not depend on how often somebody was told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.slo.exclusion import ALONE

Action = Literal["ticket", "approval", "freeze", "review", "postmortem"]
Direction = Literal["down", "up"]
Cause = Literal["spent", "time", "period", "target", "exclusion", "policy", "retired"]
RISE = Fraction(5, 100)
"""So much more of the budget than the threshold must remain before its level is over it again."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """At ``remaining`` percent of the budget or less, ``do`` these."""

    remaining: Decimal
    do: tuple[Action, ...]

    @property
    def threshold(self) -> Fraction:
        """A share of the budget."""
        return Fraction(self.remaining) / 100


class BudgetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a team or a service says: its rules, the largest remainder first, and what one signature may exclude."""

    rules: tuple[Rule, ...] | None = None
    exclude_alone: Decimal | None = None


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a service: its own where it says something, else its team's; ``said_by`` says whose rules."""

    rules: tuple[Rule, ...] = ()
    exclude_alone: Decimal = ALONE
    said_by: Literal["team", "service"] | None = None


def effective(service: BudgetPolicy | None, team: BudgetPolicy | None) -> Effective:
    """The service's rules instead of the team's, as a whole: an empty list of its own is none."""
    own, theirs = service or BudgetPolicy(), team or BudgetPolicy()
    alone = own.exclude_alone if own.exclude_alone is not None else theirs.exclude_alone
    rules = own.rules if own.rules is not None else theirs.rules
    said_by: Literal["team", "service"] | None = None
    if rules is not None:
        said_by = "service" if own.rules is not None else "team"
    return Effective(rules=rules or (), exclude_alone=ALONE if alone is None else alone, said_by=said_by)


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Where a budget stands to one threshold: below it since ``since_at``, and when each direction was last told.

    ``target`` and ``window_seconds`` are what was promised at the last crossing.
    """

    below: bool = False
    since_at: datetime | None = None
    down_at: datetime | None = None
    up_at: datetime | None = None
    target: Decimal | None = None
    window_seconds: int | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What remains of one SLO's budget now, exact; in a calendar's period of the whole, if traffic goes on.

    ``without``: what would remain if nothing were excluded; ``period_begin``: of the calendar's period (None: rolling).
    """

    slo_id: UUID
    remaining: Fraction
    without: Fraction
    bad: int
    total: int
    target: Decimal
    window_seconds: int
    period_begin: datetime | None = None


class Crossed(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold was crossed. ``told``: for the first time in this window and direction."""

    direction: Direction
    told: bool
    cause: Cause


def rise_at(threshold: Fraction) -> Fraction:
    """Where its level is over the threshold again; always reachable."""
    return min(threshold + RISE, (1 + threshold) / 2)


def cross(threshold: Fraction, level: Level, standing: Standing, *, now: datetime) -> Crossed | None:
    """What happened at this threshold; None while its level stays."""
    if not level.below and standing.remaining <= threshold:
        return Crossed(
            direction="down", told=_is_news(level.down_at, standing, now), cause=_why_down(threshold, level, standing)
        )
    if level.below and standing.remaining >= rise_at(threshold):
        return Crossed(
            direction="up", told=_is_news(level.up_at, standing, now), cause=_why_up(threshold, level, standing)
        )
    return None


def _is_news(last: datetime | None, standing: Standing, now: datetime) -> bool:
    if last is None:
        return True
    if standing.period_begin is not None:
        return last < standing.period_begin
    return now - last >= timedelta(seconds=standing.window_seconds)


def _under(target: Decimal, standing: Standing) -> Fraction:
    """What would remain of today's counts under another target."""
    share = 1 - Fraction(target) / 100
    return 1 - Fraction(standing.bad) / (share * standing.total) if standing.total else Fraction(1)


def _changed(level: Level, standing: Standing) -> bool:
    if level.target is None:
        return False
    return (level.target, level.window_seconds) != (standing.target, standing.window_seconds)


def _why_down(threshold: Fraction, level: Level, standing: Standing) -> Cause:
    if _changed(level, standing) and level.target is not None and _under(level.target, standing) > threshold:
        return "target"
    return "spent"


def _why_up(threshold: Fraction, level: Level, standing: Standing) -> Cause:
    """What lifts it: asked by taking it away. Without it the level would have stayed below."""
    if standing.without < rise_at(threshold):
        return "exclusion"
    if _changed(level, standing) and level.target is not None and _under(level.target, standing) < rise_at(threshold):
        return "target"
    begin = standing.period_begin
    if begin is not None and level.since_at is not None and level.since_at < begin:
        return "period"
    return "time"
