"""SLOs as the evaluator needs them: with their names, their matches and their windows stacked into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import catalog, telemetry
from watchbill.features.slo import exclusion_store, logic, store
from watchbill.features.slo.calendar import Period, most_length, period_at
from watchbill.features.slo.exclusion import Span, union
from watchbill.features.slo.model import PARTS, Plan, Slo
from watchbill.features.slo.objectives import plan_of
from watchbill.runtime.db import Tx


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO in its place. ``watches_traffic``: the one objective of its operation that notices silence.

    ``period``: the calendar's period of now, where the window is one. ``excluded``: the spans that do not count, oldest
    first, without overlaps.
    """

    slo: Slo
    service: str
    operation: str
    match: telemetry.OperationMatch
    plan: Plan
    watches_traffic: bool
    period: Period | None = None
    excluded: tuple[Span, ...] = ()


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """All SLOs at one moment; ``mark`` differs when anything was applied since."""

    mark: tuple[Any, ...]
    items: list[Definition]
    plans: logic.Plans

    @property
    def ids(self) -> list[UUID]:
        return [item.slo.id for item in self.items]

    @property
    def matches(self) -> list[telemetry.OperationMatch]:
        return [item.match for item in self.items]

    @property
    def longest_window_seconds(self) -> int:
        return max((window_seconds_of(item.slo) for item in self.items), default=0)

    @property
    def turns_at(self) -> datetime | None:
        """When the first of the calendar's periods ends."""
        return min((item.period.end for item in self.items if item.period is not None), default=None)


def window_seconds_of(slo: Slo) -> int:
    """How far back counts are needed for the budget."""
    if slo.calendar is None:
        return slo.window_seconds
    return max(slo.window_seconds, int(most_length(slo.calendar).total_seconds()))


def load_definitions(tx: Tx, *, slice_seconds: int) -> Definitions:
    """Read every live SLO of a live operation with what the catalog says about it."""
    mark = definitions_mark(tx)
    services = {service.id: service for service in catalog.services(tx)}
    operations = {operation.id: operation for operation in catalog.operations(tx)}
    slos = [s for s in store.live_slos(tx) if s.operation_id in operations and s.service_id in services]
    watchers = _watchers(slos)
    reach = timedelta(seconds=max((window_seconds_of(slo) for slo in slos), default=0)) + timedelta(days=1)
    left_out = exclusion_store.holding(tx, since=tx.now - reach)
    items = [
        Definition(
            slo=slo,
            service=services[slo.service_id].name,
            operation=operations[slo.operation_id].name,
            match=_match(slo, services[slo.service_id], operations[slo.operation_id]),
            plan=plan_of(slo, slice_seconds=slice_seconds),
            watches_traffic=slo.id in watchers,
            period=None if slo.calendar is None else period_at(slo.calendar, tx.now),
            excluded=tuple(
                union(
                    one.span
                    for one in left_out
                    if one.concerns(slo_id=slo.id, service_id=slo.service_id, environment=slo.environment)
                )
            )
            if left_out
            else (),
        )
        for slo in slos
    ]
    plans = logic.stack_plans(
        [item.plan for item in items], [item.slo.budget_share for item in items], [_unit(item.slo) for item in items]
    )
    return Definitions(mark=mark, items=items, plans=plans)


def definitions_mark(tx: Tx) -> tuple[Any, ...]:
    """Changes whenever an SLO or what is excluded of one does."""
    return store.definitions_mark(tx), exclusion_store.exclusions_mark(tx)


def _unit(slo: Slo) -> int:
    """How many of its counts are one event."""
    return PARTS if slo.measure is not None and slo.measure.method == "ratio_timeslices" else 1


def _match(slo: Slo, service: catalog.Service, operation: catalog.Operation) -> telemetry.OperationMatch:
    return telemetry.OperationMatch(
        operation_id=operation.id,
        objective=slo.name,
        service_name=service.telemetry_name,
        route=operation.match.get("route"),
        span_name=operation.match.get("spanName"),
        attributes=operation.match.get("attributes") or {},
        latency_threshold_ns=slo.threshold_ms * 1_000_000 if slo.threshold_ms is not None else None,
        environment=slo.environment,
        degraded=slo.measure.degraded if slo.measure is not None else "good",
    )


def _watchers(slos: Sequence[Slo]) -> set[UUID]:
    """One per operation: silence is one symptom, not one for each objective."""
    chosen: dict[UUID, Slo] = {}
    for slo in slos:
        known = chosen.get(slo.operation_id)
        if known is None or (slo.threshold_ms is not None, slo.name) < (known.threshold_ms is not None, known.name):
            chosen[slo.operation_id] = slo
    return {slo.id for slo in chosen.values()}


def slice_of(instant: datetime, slice_seconds: int) -> int:
    """The number of the slice an instant falls into."""
    return int(instant.timestamp()) // slice_seconds
