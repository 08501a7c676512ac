"""Remembers of which operations the past was written, so that whoever keeps counts in memory can read it again."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

SOON = timedelta(minutes=90)
"""What is younger is read again anyway."""


class Past(msgspec.Struct, frozen=True):
    """Operations whose counts changed long ago, and stretches [from, to) that changed for all."""

    operations: frozenset[UUID] = frozenset()
    stretches: tuple[tuple[datetime, datetime], ...] = ()


class PastCounts:
    """What was written since the last `take`; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: set[UUID] = set()
        self._stretches: list[tuple[datetime, datetime]] = []

    def wrote(self, operation_ids: Iterable[UUID]) -> None:
        """The past of these operations is another now."""
        with self._lock:
            self._operations.update(operation_ids)

    def wrote_stretch(self, start: datetime, end: datetime) -> None:
        """Counts of [start, end) are others now, of any operation."""
        with self._lock:
            self._stretches.append((start, end))

    def take(self) -> Past:
        """Hand over what was noted."""
        with self._lock:
            past = Past(frozenset(self._operations), tuple(self._stretches))
            self._operations, self._stretches = set(), []
        return past
