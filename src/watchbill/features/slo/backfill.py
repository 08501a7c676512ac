"""Count the spans that were there before an objective was: of a ClickHouse that others fill, or of a new objective."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from watchbill.features import telemetry
from watchbill.features.slo.definitions import Definition, load_definitions, window_seconds_of
from watchbill.runtime.db import Database

log = structlog.get_logger("watchbill.slo.backfill")

_PART = timedelta(minutes=30)
_NEWEST = timedelta(minutes=15)
"""What is younger the evaluator derives itself."""

Key = tuple[UUID, str]


class SpanSource(Protocol):
    """Where spans are; `telemetry.TelemetryStore` is one."""

    def oldest_span(self) -> datetime | None:
        """When the oldest span that is kept began."""
        ...

    def counted_before(self, operation_ids: Sequence[UUID], *, before: datetime) -> set[Key]:
        """Of which (operation, objective) anything was ever counted before then."""
        ...

    def derive_past(
        self, operations: Sequence[telemetry.OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> None:
        """Count what is stored for ``[start, end)`` and keep it."""
        ...

    def note_past(self, operation_ids: Sequence[UUID]) -> None:
        """Say that the past of these is another now."""
        ...


class Backfill:
    """One per observer; `step` counts half an hour of the past, the newest first, and says whether there is more."""

    def __init__(self, *, db: Database, source: SpanSource, slice_seconds: int) -> None:
        self._db = db
        self._source = source
        self._width = slice_seconds
        self._done: set[Key] = set()
        self._waiting: list[Definition] = []
        self._next: datetime | None = None
        self._until: datetime | None = None

    def step(self) -> int:
        """1 while there is more to count, 0 when all is known."""
        if self._next is None or self._until is None:
            return self._begin()
        start = max(self._next - _PART, self._until)
        matches = [one.match for one in self._waiting]
        self._source.derive_past(matches, start=start, end=self._next, slice_seconds=self._width)
        self._next = start
        if start > self._until:
            return 1
        self._finish()
        return 0

    def _begin(self) -> int:
        with self._db.transaction() as tx:
            now = tx.now
            items = [one for one in load_definitions(tx, slice_seconds=self._width).items if one.slo.source is None]
        fresh = [one for one in items if _key(one) not in self._done]
        if not fresh:
            return 0
        known = self._source.counted_before([one.match.operation_id for one in fresh], before=now - 4 * _NEWEST)
        self._done |= known
        self._waiting = [one for one in fresh if _key(one) not in known]
        oldest = self._source.oldest_span() if self._waiting else None
        newest = now - _NEWEST
        if oldest is None or oldest >= newest:
            self._done.update(_key(one) for one in self._waiting)
            return 0
        window = timedelta(seconds=max(window_seconds_of(one.slo) for one in self._waiting))
        self._next, self._until = newest, max(oldest, newest - window)
        log.info("counting spans from before their objectives", slos=len(self._waiting), since=str(self._until))
        return 1

    def _finish(self) -> None:
        self._source.note_past([one.match.operation_id for one in self._waiting])
        self._done.update(_key(one) for one in self._waiting)
        log.info("counted spans from before their objectives", slos=len(self._waiting))
        self._waiting, self._next, self._until = [], None, None


def _key(one: Definition) -> Key:
    return one.match.operation_id, one.match.objective
