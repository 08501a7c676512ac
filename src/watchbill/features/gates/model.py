"""Words of the gate: the policy (data), the facts it is asked about, and its answer with reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Answer = Literal["go", "no-go", "unknown"]
Door = Literal["open", "closed"]
Effect = Literal["stops", "unknown", "allows", "notes"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
BurnTier = Literal["page", "ticket", "never"]
StopAt = Literal["sev1", "sev2", "sev3", "sev4", "never"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Freeze(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Time in which nothing but rollbacks and fixes goes out.

    Either ``start`` to ``end`` (instants), or every week on ``days`` from ``after`` to ``before``
    (``HH:MM``, in ``time_zone``; ``before`` may be ``24:00``).
    """

    name: str
    start: datetime | None = None
    end: datetime | None = None
    days: tuple[Day, ...] = ()
    after: str = "00:00"
    before: str = "24:00"
    time_zone: str = "UTC"


class Policy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What stops a deploy.

    ``budget_below``: percent of the error budget; no-go when what remains is at or below it (None: never).
    ``burn``: no-go while an SLO fires with this urgency (``ticket`` means either). ``incidents``: no-go while
    the service has a declared incident of this severity or worse. ``dependencies``: the same for incidents of
    what it depends on. ``unknown`` and ``away``: is the door open when nobody knows, or Watchbill is away?
    """

    budget_below: float | None = 0.0
    burn: BurnTier = "page"
    incidents: StopAt = "sev2"
    dependencies: StopAt = "never"
    unknown: Door = "open"
    away: Door = "open"
    freeze: tuple[Freeze, ...] = ()


class BudgetRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the error budget policy that holds now: ``remaining`` percent of the budget or less are left."""

    remaining: float
    freeze: bool
    since_at: datetime | None = None


class SloFact(msgspec.Struct, frozen=True, kw_only=True):
    """One objective as last evaluated. ``remaining`` is a share of the budget (1 untouched); ``own_remaining``
    leaves out what a dependency's outage spent. ``exempt`` says which outage the burn of now belongs to.
    """

    name: str
    state: Literal["ok", "firing", "recovering", "unmeasured"] | None
    tier: Literal["page", "ticket"] | None = None
    burn: float | None = None
    remaining: float | None = None
    own_remaining: float | None = None
    reason: str = ""
    exempt: str | None = None
    traffic_lost: bool = False
    """It fires because its requests stay away, not because they fail."""
    back_at: datetime | None = None
    rules: tuple[BudgetRule, ...] = ()
    """Of its error budget policy, those that stop a deploy now."""


class IncidentFact(msgspec.Struct, frozen=True, kw_only=True):
    """An open incident that touches the service, or something it depends on."""

    number: int
    title: str
    severity: Literal["sev1", "sev2", "sev3", "sev4"]
    declared: bool
    service: str
    dependency: bool


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A person's signature under "it goes out all the same", for one version or any, until it expires."""

    id: UUID
    service_id: UUID
    environment: str
    version: str | None
    reason: str
    signed_by: UUID
    created_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the decision depends on."""

    service: str
    tier: int
    environment: str
    version: str | None
    is_rollback: bool
    is_fix: bool
    policy: Policy
    slos: tuple[SloFact, ...]
    incidents: tuple[IncidentFact, ...]
    overrides: tuple[Override, ...]
    stale: str | None
    """Why the SLO figures are old; None while they are fresh."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One ground of the answer. ``change`` says what would change it, ``until_at`` when it ends by itself."""

    code: str
    effect: Effect
    says: str
    change: str = ""
    until_at: datetime | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``proceed`` is what a pipeline that follows the policy does: unknown is open or closed."""

    answer: Answer
    proceed: bool
    summary: str
    reasons: tuple[Reason, ...]
