"""The sign of life to the outside, given only while pages can really go out; and the lag that decides it.

Able to page means: PostgreSQL takes a write, the pager's own loops run, and nothing that is due waits too long. The
outside service (Healthchecks, a dead man's switch) raises the alarm when the sign stops, over ways of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import httpx
import msgspec
import structlog
from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watchbill.kernel.errors import Unavailable, WatchbillError
from watchbill.runtime import due, metrics
from watchbill.runtime.db import Database
from watchbill.runtime.due import Backlog
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.loops import Loop

log = structlog.get_logger("watchbill.heartbeat")

MOST_PAGE_LAG_SECONDS = 60.0
MOST_OUTBOX_AGE_SECONDS = 300.0
MOST_LOOP_SILENCE = timedelta(seconds=60)
_OUTBOX = "notification.send"
_PAGING = ("alert.", "page.", "incident.")

heartbeat_ok = Gauge(
    "watchbill_heartbeat_ok", "1 while this process gives the outside a sign of life.", registry=metrics.registry
)


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How long the oldest due work on pages, and the oldest message, have waited."""

    page_seconds: float
    outbox_seconds: float


def lag_of(backlog: Sequence[Backlog]) -> Lag:
    """Pure: from what is due now."""
    pages = [line.oldest_seconds for line in backlog if line.kind.startswith(_PAGING)]
    outbox = [line.oldest_seconds for line in backlog if line.kind == _OUTBOX]
    return Lag(page_seconds=max(pages, default=0.0), outbox_seconds=max(outbox, default=0.0))


def why_not_able(*, lag: Lag | None, silent: Sequence[str]) -> str | None:
    """Why pages cannot go out now, or None. ``lag`` is None when PostgreSQL took no write; ``silent`` are loops."""
    if lag is None:
        return "PostgreSQL takes no writes"
    if silent:
        return f"loops that do not run: {', '.join(silent)}"
    if lag.page_seconds > MOST_PAGE_LAG_SECONDS:
        return f"pages wait for {lag.page_seconds:.0f} s"
    if lag.outbox_seconds > MOST_OUTBOX_AGE_SECONDS:
        return f"messages wait for {lag.outbox_seconds:.0f} s"
    return None


class LagCollector(Collector):
    """``watchbill_page_lag_seconds`` and ``watchbill_outbox_oldest_seconds``, asked when Prometheus scrapes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        page = GaugeMetricFamily("watchbill_page_lag_seconds", "How long the oldest due step or alert has waited.")
        outbox = GaugeMetricFamily("watchbill_outbox_oldest_seconds", "How long the oldest due message has waited.")
        try:
            with self._db.transaction() as tx:
                lag = lag_of(due.backlog(tx))
            page.add_metric([], lag.page_seconds)
            outbox.add_metric([], lag.outbox_seconds)
        except Unavailable:
            log.info("no lag is told: the database does not answer")
        yield from (page, outbox)

    def describe(self) -> list[Metric]:
        return []


class Heartbeat:
    """Asks each URL every minute while `why_not_able` finds nothing; ``watched`` are the loops that must run."""

    def __init__(self, db: Database, *, urls: Sequence[str], watched: Sequence[Loop], http: HttpOut) -> None:
        self._db = db
        self._urls = tuple(urls)
        self._watched = tuple(watched)
        self._http = http
        self._started_at = time.time()
        self._told: str | None = None

    def loop(self) -> Loop:
        """The loop that gives the sign."""
        return Loop("heartbeat", self.beat, idle_seconds=60.0)

    def beat(self) -> int:
        """One sign to each URL, or none and why in the log."""
        why = why_not_able(lag=self._lag(), silent=self._silent())
        heartbeat_ok.set(0 if why else 1)
        if why != self._told:
            log.warning("no sign of life: pages cannot go out", why=why) if why else log.info("pages can go out")
            self._told = why
        if why is None:
            for number, url in enumerate(self._urls):
                self._ask(number, url)
        return 0

    def _ask(self, number: int, url: str) -> None:
        """The URL is a secret: the log names its place in the setting."""
        try:
            answer = self._http.request("GET", url)
            if not answer.ok:
                log.warning("the sign of life was refused", url_number=number + 1, status=answer.status)
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            log.warning("the sign of life did not arrive", url_number=number + 1, why=type(error).__name__)

    def _lag(self) -> Lag | None:
        from watchbill.processes.health import can_write

        try:
            if can_write(self._db) is not None:
                return None
            with self._db.transaction() as tx:
                return lag_of(due.backlog(tx))
        except Unavailable:
            return None

    def _silent(self) -> list[str]:
        now = time.time()
        found = []
        for loop in self._watched:
            last = loop.succeeded_at or self._started_at
            if now - last > MOST_LOOP_SILENCE.total_seconds():
                found.append(loop.name)
        return found
