"""What every process tells Prometheus about itself, on ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from watchbill.kernel.errors import Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

registry = CollectorRegistry(auto_describe=True)
"""The registry of this process; features and loops register their own metrics on it."""

ProcessCollector(registry=registry)
PlatformCollector(registry=registry)

loop_work = Counter("watchbill_loop_work", "Pieces of work a loop has done.", ["loop"], registry=registry)
loop_failures = Counter("watchbill_loop_failures", "Runs of a loop that raised.", ["loop"], registry=registry)
loop_seconds = Histogram(
    "watchbill_loop_run_seconds",
    "How long one run of a loop takes.",
    ["loop"],
    registry=registry,
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
loop_last_success = Gauge(
    "watchbill_loop_last_success_timestamp_seconds", "When a loop last ran through.", ["loop"], registry=registry
)
hints_connected = Gauge(
    "watchbill_hints_connected", "1 while the process listens for hints; 0 means polling only.", registry=registry
)


class BacklogCollector(Collector):
    """Due rows waiting, asked of the database when Prometheus scrapes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("watchbill_due_rows", "Rows that are due now.", labels=["kind"])
        oldest = GaugeMetricFamily("watchbill_due_oldest_seconds", "Longest wait of a due row.", labels=["kind"])
        failing = GaugeMetricFamily("watchbill_due_failing_rows", "Due rows that have failed.", labels=["kind"])
        reachable = GaugeMetricFamily("watchbill_database_up", "1 when PostgreSQL answered this scrape.")
        try:
            with self._db.transaction() as tx:
                for line in due.backlog(tx):
                    rows.add_metric([line.kind], line.due)
                    oldest.add_metric([line.kind], line.oldest_seconds)
                    failing.add_metric([line.kind], line.failing)
            reachable.add_metric([], 1)
        except Unavailable:
            reachable.add_metric([], 0)
        yield from (rows, oldest, failing, reachable)

    def describe(self) -> list[Metric]:
        return []


def watch_backlog(db: Database) -> None:
    """Add the backlog of due rows to this process's metrics."""
    registry.register(BacklogCollector(db))


def exposition() -> bytes:
    """The whole registry in the text format 0.0.4, to be sent as `CONTENT_TYPE`."""
    return generate_latest(registry)
