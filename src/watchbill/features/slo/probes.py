"""Probes: one GET of a URL in every slice is one event. For what users rarely use, or what sends no spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import urlsplit

from watchbill.features.slo import sources, store
from watchbill.features.slo.model import ProbeSource, Slo
from watchbill.features.slo.prometheus import CountSink
from watchbill.runtime.db import Database

Get = Callable[[str], tuple[int | None, float]]
"""Asks a URL: its status (None: no answer) and the seconds it took. Never raises."""
_AT_ONCE = 16
_HOSTS = 3
"""So many hosts at least, and not one of them answers: then it is our own way out that is down, not they."""


def is_blind(answered: Sequence[tuple[str, bool]]) -> bool:
    """Whether the prober itself sees nothing: (URL, whether anything answered), of all probes of a slice."""
    hosts = {urlsplit(url).netloc for url, _ in answered}
    return len(hosts) >= _HOSTS and not any(one for _, one in answered)


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
        found = list(self._threads.map(self._ask, probed))
        blind = is_blind([(source.url, answered) for (_, source), (_, answered) in zip(probed, found, strict=True)])
        if probed:
            with self._db.transaction() as tx:
                error = "not one of the probed hosts answers" if blind else ""
                sources.note(tx, name=sources.PROBES, answered=not blind, error=error)
        for (one, _), (good, _) in zip(probed, found, strict=True):
            if blind:
                break  # nothing was measured: the states freeze
            self._sink.put_counts(
                operation_id=one.operation_id,
                objective=one.name,
                slice_seconds=self._width,
                counts=[(at, float(good), 1.0)],
            )
        self._done = at
        return 0

    def _ask(self, probed: tuple[Slo, ProbeSource]) -> tuple[bool, bool]:
        """(whether it was good, whether anything answered)."""
        one, source = probed
        status, seconds = self._get(source.url)
        return is_good(source, one.threshold_ms, status=status, seconds=seconds), status is not None
