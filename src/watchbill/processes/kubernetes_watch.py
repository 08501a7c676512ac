"""The worker's watch over Kubernetes: from settings to loops, and what it tells Prometheus."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watchbill.features import changes
from watchbill.intake.kubernetes.cluster import Cluster
from watchbill.intake.kubernetes.watcher import DeploymentWatcher
from watchbill.kernel.errors import SetupError, Unavailable
from watchbill.runtime import metrics
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

log = structlog.get_logger("watchbill.kubernetes")


class Namespaces(msgspec.Struct, frozen=True):
    """``watched``: a watch each (``""``: one over all); ``environments``: by namespace."""

    watched: tuple[str, ...]
    environments: dict[str, str]


def namespaces_of(text: str) -> Namespaces:
    """Read ``WATCHBILL_KUBERNETES_NAMESPACES``: ``*,shop-staging=staging`` or ``shop,shop-staging=staging``.

    Raises:
        SetupError: nothing is named, or not as said.
    """
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    named = [name.strip() for name, _, _ in pairs]
    environments = {name.strip(): env.strip() for name, equals, env in pairs if equals}
    if not named or not all(named) or not all(environments.values()) or "*" in environments:
        raise SetupError(
            f"'{text}' does not name namespaces",
            place="WATCHBILL_KUBERNETES_NAMESPACES",
            hint="write *, or names with commas; name=environment says which environment one is",
        )
    return Namespaces(("",) if "*" in named else tuple(dict.fromkeys(named)), environments)


def kubernetes_loops(db: Database, settings: Settings) -> list[Loop]:
    """A loop for each watch; none where Kubernetes is not to be watched."""
    where = settings.kubernetes
    if where is None:
        return []
    found = namespaces_of(settings.kubernetes_namespaces)
    metrics.registry.register(WatchCollector(db))
    return [
        DeploymentWatcher(
            db,
            connect=lambda: Cluster(where, context=settings.kubernetes_context),
            cluster=settings.kubernetes_cluster,
            namespace=namespace,
            environment=settings.kubernetes_environment,
            environments=found.environments,
            watched=found.watched,
            holder=f"{socket.gethostname()}:{os.getpid()}",
        ).loop()
        for namespace in found.watched
    ]


class WatchCollector(Collector):
    """``watchbill_kubernetes_behind_seconds`` and ``watchbill_kubernetes_watch_ok``, the same from every worker."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        labels = ["cluster", "namespace"]
        behind = GaugeMetricFamily(
            "watchbill_kubernetes_behind_seconds", "How old what is known of a cluster's Deployments is.", labels=labels
        )
        well = GaugeMetricFamily("watchbill_kubernetes_watch_ok", "1 while a cluster's watch is well.", labels=labels)
        try:
            with self._db.transaction() as tx:
                found, now = changes.watches(tx), tx.now
            for one in found:
                place = [one.cluster, one.namespace or "*"]
                behind.add_metric(place, changes.watch_behind(one, now=now).total_seconds())
                well.add_metric(place, 0 if changes.watch_problems([one], now=now) else 1)
        except Unavailable:
            log.info("the watches over Kubernetes are not told: the database does not answer")
        yield from (behind, well)

    def describe(self) -> list[Metric]:
        return []
