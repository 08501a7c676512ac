"""Counts from the counters and gauges that services send by OTLP, whoever filled the table: we, or their Collector.

A table of somebody else does not say what is new in it, so the newest slices are counted again every time, a day every
hour, and everything once after a start: late points correct the past. Only slices that changed are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from watchbill.features import telemetry
from watchbill.features.slo import store
from watchbill.features.slo.definitions import Definitions, definitions_mark, load_definitions
from watchbill.features.slo.model import MetricSource
from watchbill.features.slo.prometheus import CountSink
from watchbill.runtime.db import Database, Tx

NEWEST = timedelta(minutes=20)
_DAY = timedelta(days=1)
_DAY_EVERY = timedelta(hours=1)
_PART = timedelta(hours=6)


class CounterSource(CountSink, Protocol):
    """Where counters are read and counts are written; `telemetry.TelemetryStore` is one."""

    def counter_counts(
        self,
        match: telemetry.OperationMatch,
        *,
        total: telemetry.MetricSelector | None,
        good: telemetry.MetricSelector | None,
        bad: telemetry.MetricSelector | None,
        start: datetime,
        end: datetime,
        slice_seconds: int,
    ) -> list[telemetry.CounterCount]:
        """The slices of ``[start, end)`` in which something was measured."""
        ...

    def level_counts(
        self,
        match: telemetry.OperationMatch,
        *,
        level: telemetry.MetricSelector,
        at_most: float | None,
        at_least: float | None,
        start: datetime,
        end: datetime,
        slice_seconds: int,
    ) -> list[telemetry.CounterCount]:
        """One event for each slice of ``[start, end)`` in which the level is known."""
        ...


class MetricCounter:
    """Counts every SLO that is measured by counters. One per observer; `step` runs on one thread."""

    def __init__(self, *, db: Database, source: CounterSource, slice_seconds: int, back: timedelta) -> None:
        self._db = db
        self._source = source
        self._width = slice_seconds
        self._back = back
        self._known: dict[UUID, MetricSource] = {}
        self._written: dict[UUID, dict[datetime, tuple[int, int]]] = {}
        self._day_at: datetime | None = None
        self._definitions: Definitions | None = None

    def step(self) -> int:
        """Count what is new and what is late; returns 0 (the loop sleeps)."""
        with self._db.transaction() as tx:
            now = tx.now
            measured = self._measured(tx)
        self._written = {slo_id: self._written.get(slo_id, {}) for slo_id, _, _ in measured}
        whole_day = self._day_at is None or now - self._day_at >= _DAY_EVERY
        for slo_id, match, source in measured:
            new = self._known.get(slo_id) != source
            if new:
                self._written[slo_id] = {}
            start = now - (self._back if new else _DAY if whole_day else NEWEST)
            self._count(slo_id, match, source, start, now)
            self._known[slo_id] = source
        if whole_day:
            self._day_at = now
        return 0

    def _measured(self, tx: Tx) -> list[tuple[UUID, telemetry.OperationMatch, MetricSource]]:
        if self._definitions is None or self._definitions.mark != definitions_mark(tx):
            if not any(isinstance(one.source, MetricSource) for one in store.live_slos(tx)):
                return []
            self._definitions = load_definitions(tx, slice_seconds=self._width)
        return [
            (one.slo.id, one.match, source)
            for one in self._definitions.items
            if isinstance(source := one.slo.source, MetricSource)
        ]

    def _count(
        self, slo_id: UUID, match: telemetry.OperationMatch, source: MetricSource, start: datetime, now: datetime
    ) -> None:
        at = telemetry.slice_start(start, self._width)
        # A point may be dated a little ahead of our clock; its slice is counted when it has come.
        # A level is known of a slice only when that is over.
        ahead = timedelta(seconds=0 if source.gauge is not None else self._width)
        end = telemetry.slice_start(now, self._width) + ahead
        while at < end:
            until = min(at + _PART, end)
            self._write(slo_id, match, self._read(match, source, at, until))
            at = until
        written = self._written[slo_id]
        for old in [slice_at for slice_at in written if slice_at < now - _DAY - NEWEST]:
            del written[old]

    def _read(
        self, match: telemetry.OperationMatch, source: MetricSource, start: datetime, end: datetime
    ) -> list[telemetry.CounterCount]:
        if source.gauge is not None:
            return self._source.level_counts(
                match,
                level=source.gauge,
                at_most=source.at_most,
                at_least=source.at_least,
                start=start,
                end=end,
                slice_seconds=self._width,
            )
        return self._source.counter_counts(
            match,
            total=source.total,
            good=source.good,
            bad=source.bad,
            start=start,
            end=end,
            slice_seconds=self._width,
        )

    def _write(
        self, slo_id: UUID, match: telemetry.OperationMatch, found: Sequence[telemetry.CounterCount]
    ) -> None:
        written = self._written[slo_id]
        changed = [one for one in found if written.get(one.slice_at) != (one.good, one.total)]
        self._source.put_counts(
            operation_id=match.operation_id,
            objective=match.objective,
            slice_seconds=self._width,
            counts=[(one.slice_at, float(one.good), float(one.total)) for one in changed],
        )
        written.update({one.slice_at: (one.good, one.total) for one in changed})
