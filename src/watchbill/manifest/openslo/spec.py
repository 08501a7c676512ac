"""An SLO as any of the formats says it, without their differences: what readers make and writers take.

Numbers are exact: a ``target`` of 0.999999 stays that. Durations keep their unit, because a month is no number of days.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

Method = Literal["Occurrences", "Timeslices", "RatioTimeslices"]
Operator = Literal["lte", "gte", "lt", "gt"]
RawType = Literal["success", "failure"]
Unit = Literal["m", "h", "d", "w", "M", "Q", "Y"]
Labels = dict[str, list[str]]

_SECONDS: dict[str, int] = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAYS: dict[str, int] = {"M": 30, "Q": 90, "Y": 365}


class Span(msgspec.Struct, frozen=True):
    """A length of time as written, such as 28d or 1Q."""

    amount: int
    unit: Unit

    @property
    def seconds(self) -> int | None:
        """None for what has no fixed length: months, quarters and years."""
        return self.amount * _SECONDS[self.unit] if self.unit in _SECONDS else None

    @property
    def usual_seconds(self) -> int:
        """With 30 days to a month, as OpenSLO's own SDK counts them."""
        return self.seconds or self.amount * _DAYS[self.unit] * 86_400

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Over which time the objective is promised; with ``start`` and ``zone`` by the calendar, else rolling."""

    span: Span
    start: str | None = None
    zone: str | None = None

    @property
    def rolling(self) -> bool:
        return self.start is None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a source: ``kind`` is its type as written (Prometheus), ``spec`` what it wants to know."""

    kind: str
    spec: dict[str, Any]
    source: str | None = None

    @property
    def text(self) -> str | None:
        """The query itself, where there is one."""
        found = self.spec.get("query")
        return found if isinstance(found, str) else None


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """How an SLO is measured: ``total`` with ``good`` or ``bad``; a ready ratio (``raw``); or a value (``value``)."""

    name: str
    title: str | None = None
    description: str | None = None
    counter: bool = False
    good: Query | None = None
    bad: Query | None = None
    total: Query | None = None
    raw: Query | None = None
    raw_type: RawType | None = None
    value: Query | None = None


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One objective. ``target`` is a ratio; ``slice_target`` too. ``weight`` and an own indicator make a composite."""

    target: Decimal
    title: str | None = None
    op: Operator | None = None
    value: Decimal | None = None
    slice_target: Decimal | None = None
    slice_length: Span | None = None
    indicator: Indicator | None = None
    weight: Decimal | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Tell when both windows burn faster than ``burn`` times what the budget sustains."""

    tier: Literal["page", "ticket"]
    burn: Decimal
    long: Span
    short: Span | None = None


class SloSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO with everything it refers to, resolved."""

    name: str
    service: str
    method: Method
    window: Window
    goals: list[Goal]
    title: str | None = None
    description: str | None = None
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    indicator: Indicator | None = None
    alerts: list[Alert] = msgspec.field(default_factory=list)
    tell: list[str] = msgspec.field(default_factory=list)

    @property
    def composite(self) -> bool:
        return self.indicator is None
