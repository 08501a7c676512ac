"""Probes: one GET of a URL in every slice is one event. For what users rarely use, or what sends no spans."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from watchbill.features.slo import store
from watchbill.features.slo.model import ProbeSource, Slo
from watchbill.features.slo.prometheus import CountSink
from watchbill.runtime.db import Database

Get = Callable[[str], tuple[int | None, float]]
"""Asks a URL: its status (None: no answer) and the seconds it took. Never raises."""
_AT_ONCE = 16


def is_good(source: ProbeSource, threshold_ms: int | None, *, status: int | None, seconds: float) -> bool:
    """The wanted status, or any below 500; and within the threshold of a latency objective."""
    answered = status == source.status if source.status is not None else status is not None and status < 500
    return answered and (threshold_ms is None or seconds * 1000 <= threshold_ms)


class Prober:
    """Asks every probed URL once a slice. One per observer."""

    def __init__(self, *, db: Database, sink: CountSink, get: Get, slice_seconds: int) -> None:
        self._db = db
        self._sink = sink
        self._get = get
        self._width = slice_seconds
        self._done: datetime | None = None
        self._threads = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="probe")

    def probe(self) -> int:
        """Ask them all, unless this slice has been asked for; returns 0 (the loop sleeps)."""
        with self._db.transaction() as tx:
            at = tx.now.replace(microsecond=0)
            at = at.fromtimestamp(int(at.timestamp()) // self._width * self._width, at.tzinfo)
            probed = [(one, source) for one in store.live_slos(tx) if isinstance(source := one.source, ProbeSource)]
        if at == self._done:
            return 0
        for (one, _), good in zip(probed, self._threads.map(self._is_good, probed), strict=True):
            self._sink.put_counts(
                operation_id=one.operation_id,
                objective=one.name,
                slice_seconds=self._width,
                counts=[(at, float(good), 1.0)],
            )
        self._done = at
        return 0

    def _is_good(self, probed: tuple[Slo, ProbeSource]) -> bool:
        one, source = probed
        status, seconds = self._get(source.url)
        return is_good(source, one.threshold_ms, status=status, seconds=seconds)
