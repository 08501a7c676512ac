"""Words of capacity: what is declared, what is known of a service, and what follows."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

Kind = Literal["rate", "concurrency", "saturation"]
WHOLE = ""
"""The operation that stands for the service as a whole."""


class Queries(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """PromQL for each measure, of one series whose value at an instant is the measure's; ``server`` is a name among
    the servers of the settings."""

    server: str = "default"
    rate: str | None = None
    concurrency: str | None = None
    saturation: str | None = None

    def by_kind(self) -> dict[Kind, str]:
        """The queries that are given."""
        given: dict[Kind, str | None] = {
            "rate": self.rate, "concurrency": self.concurrency, "saturation": self.saturation
        }  # fmt: skip
        return {kind: query for kind, query in given.items() if query is not None}


class Declared(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``spec.capacity`` of a service as stored. Rates are per second; the price is of one replica for a month."""

    per_replica: float | None = None
    replicas: int | None = None
    spare: int = 1
    min_replicas: int = 2
    max_replicas: int | None = None
    lead_time: str = "14d"
    replica_price: float | None = None
    currency: str = "EUR"
    risk: float = 0.05
    holidays: str | None = None
    concurrency_per_replica: float | None = None
    saturation_limit: float = 1.0
    prometheus: Queries | None = None


class PeakEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A declared peak: by the business, since no trend knows of it. ``operations`` are ``service/operation``."""

    name: str
    start: str
    end: str
    factor: float
    at_most: float | None = None
    operations: list[str] = []

    def covers(self, day: date) -> bool:
        """Whether the day is one of its days."""
        return self.start <= day.isoformat() <= self.end


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a service carries with ``spare`` replicas away, and where the figure is from."""

    per_replica: float
    replicas: int
    spare: int
    total: float
    source: Literal["declared", "fitted"]
    running: int | None = None
    """Where an autoscaler adds replicas up to ``replicas``: how many are declared to run."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The busiest step of each coming day, bursts included: median and 95% quantile, with declared events."""

    first_day: date
    middle: list[float]
    high: list[float]


class Exhaustion(msgspec.Struct, frozen=True, kw_only=True):
    """When demand passes capacity: from the first day on which that is more likely than the risk, to the first on
    which it is all but sure. None: not within the days looked at."""

    earliest: date | None
    likely: date | None
    latest: date | None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What is left by one measure: ``demand`` is its q95 peak within 30 days; ``capacity`` with ``spare`` away, of
    which each replica carries ``each`` (0 in a state of an older version)."""

    kind: Kind
    demand: float
    demand_middle: float
    capacity: float
    headroom: float | None
    exhaustion: Exhaustion
    replicas_needed: int
    replicas_usual: int
    reason: str
    each: float = 0.0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One service's capacity as of the last night. ``headroom`` is None where something is missing: ``reason`` says.

    ``demand`` and ``capacity`` are rates; headroom, exhaustion and replicas are those of the tightest of ``limits``.
    """

    service_id: UUID
    made_at: datetime
    demand: float | None
    demand_middle: float | None
    capacity: float | None
    headroom: float | None
    exhaustion: Exhaustion
    carried: Carried | None
    replicas_needed: int | None
    replicas_usual: int | None
    monthly_cost: float | None
    monthly_spare_cost: float | None
    currency: str
    order_by: date | None
    finding: str | None
    reason: str
    notes: list[str] = []
    limits: list[Limit] = []


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted load test of one replica; ``capacity`` at ``latency_ms`` (or at the peak without)."""

    service_id: UUID
    fit: dict[str, Any]
    points: list[tuple[float, float]]
    latency_ms: float | None
    capacity: float
    saved_at: datetime


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One forecast as kept; ``refused`` says why there is none. Steps begin at ``first_at``, in seconds of
    ``step_seconds``; ``peak`` and ``peak_high`` are by day."""

    service_id: UUID
    operation: str
    kind: Kind
    made_at: datetime
    first_at: datetime
    step_seconds: int
    point: list[float]
    low: list[float]
    high: list[float]
    peak: list[float]
    peak_high: list[float]
    burst: float
    growth_per_week: float
    days: int
    coverage: float | None
    mae: float | None
    naive_coverage: float | None
    naive_mae: float | None
    notes: list[str]
    refused: str | None
    model: str = "profile"
    rival_mae: float | None = None
    """The error of the model that was tried and not taken, at the same origins; None: none was tried."""
    ahead: list[float | None] = []
    """Achieved coverage of the 90% interval one, three and seven days ahead."""
    peak_coverage: float | None = None
    """The share of past days whose busiest hour lay under the 95% bound of the day before."""


def no_forecast(*, service_id: UUID, operation: str, kind: Kind, now: datetime, days: int, why: str | None) -> Stored:
    """A forecast with nothing in it yet, or with the reason why there is none."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Stored(
        service_id=service_id, operation=operation, kind=kind, made_at=now, first_at=today, step_seconds=3600,
        point=[], low=[], high=[], peak=[], peak_high=[], burst=1.0, growth_per_week=0.0, days=days,
        coverage=None, mae=None, naive_coverage=None, naive_mae=None, notes=[], refused=why,
    )  # fmt: skip


class Fanout(msgspec.Struct, frozen=True, kw_only=True):
    """Mean calls of one component for one root trace of an operation, with a 95% bootstrap interval."""

    component: str
    mean: float
    low: float
    high: float
    busy_ms: float
    depends_on_load: bool


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation calls, as measured over ``traces`` traces."""

    service_id: UUID
    operation: str
    measured_at: datetime
    traces: int
    fanouts: list[Fanout]


class SignOff(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody stands for a component before an event; ``headroom`` is what was shown to them."""

    team_id: UUID
    event: str
    service_id: UUID
    signed_by: UUID
    signed_at: datetime
    note: str
    headroom: float | None
