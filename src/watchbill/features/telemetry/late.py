"""Remembers which minutes late spans touched, between one pass of the counts and the next."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime


class LateSpans:
    """Whole minutes (UTC) that spans older than the usual horizon started in; safe between threads."""

    def __init__(self, *, limit: int = 100_000) -> None:
        self._minutes: set[int] = set()
        self._lock = threading.Lock()
        self._limit = limit

    def touch(self, minutes: Iterable[int]) -> None:
        """Add minutes since the Unix epoch; past the limit the oldest go, to keep memory bounded."""
        with self._lock:
            self._minutes.update(minutes)
            if len(self._minutes) > self._limit:
                self._minutes = set(sorted(self._minutes)[-self._limit :])

    def take(self) -> list[datetime]:
        """Hand over what was touched since the last call, in order."""
        with self._lock:
            minutes, self._minutes = self._minutes, set()
        return [datetime.fromtimestamp(minute * 60, UTC) for minute in sorted(minutes)]
