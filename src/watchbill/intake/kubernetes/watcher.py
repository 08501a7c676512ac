"""The watch over one namespace of a cluster, or over all of them: one worker at a time, and nothing missed.

1. Take the lease, or keep it. Whoever does not get it waits; every write is refused once the lease is another's.
2. Without a version to go on from, list everything: what changed since the last sight is told, what is gone is lost.
3. Watch from that version, for `WINDOW_SECONDS`, and again; the version reached is kept with what was told.
4. 410 Gone: the server has forgotten that version; list again. Anything else that breaks is told, and tried again
   with growing pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter

from watchbill.features import changes
from watchbill.features.changes import Hold, KnownDeployment, MissedRollout, SeenDeployment
from watchbill.intake.kubernetes import objects
from watchbill.intake.kubernetes.cluster import AWAY, GoneError
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, SetupError, Unavailable, WatchbillError
from watchbill.runtime import due, metrics
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.loops import Loop

log = structlog.get_logger("watchbill.kubernetes")

WINDOW_SECONDS = 25
LEASE_FOR = timedelta(seconds=60)
"""Longer than a window and its silence: the lease is kept between windows, and with every write."""
SWEEP_SECONDS = 300.0
CHUNK = 50
MOST_PAUSE_SECONDS = 60.0
_ANY_TIME = datetime(9999, 1, 1, tzinfo=UTC)
"""Whether something is news does not depend on the time."""

events_seen = Counter(
    "watchbill_kubernetes_events", "Events of Deployments that were watched.", ["type"], registry=metrics.registry
)
relists = Counter("watchbill_kubernetes_lists", "How often all Deployments were listed.", registry=metrics.registry)


class Source(Protocol):
    """What `cluster.Cluster` answers."""

    def deployments(self, namespace: str) -> tuple[list[dict[str, Any]], str]: ...

    def replica_sets(self, namespace: str, selector: str) -> list[dict[str, Any]]: ...

    def changes(self, namespace: str, *, since: str, seconds: int) -> Any: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class DeploymentWatcher:
    """Tells the rollouts of one namespace (``""``: all) of a cluster.

    Args:
        connect: makes the connection; called when the lease is first held, and again after it broke.
        environments: by namespace; ``environment`` is that of the others.
        watched: every namespace that is watched, so that those no longer watched are forgotten.
        holder: this process, as status names it.
    """

    def __init__(
        self,
        db: Database,
        *,
        connect: Callable[[], Source],
        cluster: str,
        namespace: str = "",
        environment: str = "production",
        environments: Mapping[str, str] | None = None,
        watched: Collection[str] = (),
        holder: str = "",
        window_seconds: int = WINDOW_SECONDS,
        lease_for: timedelta = LEASE_FOR,
        first_pause_seconds: float = 1.0,
    ) -> None:
        self._db = db
        self._connect = connect
        self._cluster = cluster
        self._namespace = namespace
        self._environment = environment
        self._environments = dict(environments or {})
        self._watched = {namespace, *watched}
        self._holder = holder
        self._window_seconds = window_seconds
        self._lease_for = lease_for
        self._first_pause = first_pause_seconds
        self._source: Source | None = None
        self._lease: UUID | None = None
        self._known: dict[str, KnownDeployment] = {}
        self._failures = 0
        self._not_before = 0.0
        self._swept_at = 0.0
        self._stopping = False

    def loop(self) -> Loop:
        """The loop that watches; asked to stop, it lets go of the watch and of the lease at once."""
        return _WatchLoop(self, f"kubernetes-{self._namespace or 'all'}")

    def step(self) -> int:
        """One window of the watch; returns 0 when there is nothing to do but wait.

        Raises:
            Unavailable: the cluster refuses or does not answer; it stands in the watch's row.
        """
        if self._stopping or time.monotonic() < self._not_before or not self._hold():
            return 0
        began = time.monotonic()
        try:
            told = self._window()
        except GoneError:
            log.info("the cluster has forgotten where the watch was; listing again", cluster=self._cluster)
            self._write(resource_version=None)
            told = 1
        except Conflict as error:
            log.info("another worker watches now", cluster=self._cluster, why=error.problem.message)
            self._lose()
            return 0
        except (Forbidden, SetupError, Unavailable) as error:
            if self._stopping:
                return 0
            self._troubled(error)
            raise Unavailable(
                f"the Deployments of {self._cluster} are not watched: {error.problem.message}",
                code=error.problem.code,
                hint=error.problem.hint,
            ) from error
        self._failures = 0
        # A server that ends every window at once is not asked more than once a second.
        self._not_before = 0.0 if told else max(0.0, began + min(1.0, self._first_pause))
        return 0 if self._stopping else 1

    def stop(self) -> None:
        """End the window that goes on; called from another thread."""
        self._stopping = True
        if self._source is not None:
            self._source.stop()

    def let_go(self) -> None:
        """Give the lease back, so that another worker need not wait until it ends."""
        if self._lease is not None:
            try:
                with self._db.transaction() as tx:
                    changes.release_watch(tx, cluster=self._cluster, namespace=self._namespace, lease=self._lease)
            except Unavailable as error:
                log.info("the lease of the watch ends by itself", why=error.problem.message)
            self._lose()
        if self._source is not None:
            self._source.close()
            self._source = None

    # -- the lease

    def _hold(self) -> bool:
        """Keep the lease, or take it when nobody has it; what is remembered is read when it is new."""
        with self._db.transaction() as tx:
            place = {"cluster": self._cluster, "namespace": self._namespace}
            if self._lease is not None and changes.write_watch(
                tx, **place, lease=self._lease, leased_until=tx.now + self._lease_for
            ):
                return True
            lease = uuid4()
            taken = changes.take_watch(tx, **place, holder=self._holder, lease=lease, lease_for=self._lease_for)
            if taken is None:
                self._lose()
                return False
            self._lease = lease
            self._known = changes.known_deployments(tx, hold=self._held())
            changes.drop_unwatched_namespaces(tx, cluster=self._cluster, watched=self._watched)
        log.info("watching Deployments", cluster=self._cluster, namespace=self._namespace or "all")
        return True

    def _held(self) -> Hold:
        if self._lease is None:
            raise Conflict("the lease of the watch is lost", code="lease_lost")
        return Hold(cluster=self._cluster, namespace=self._namespace, lease=self._lease, environment=self._environment)

    def _lose(self) -> None:
        self._lease = None
        self._known = {}

    def _write(self, **values: Any) -> None:
        with self._db.transaction() as tx:
            self._keep(tx, **values)

    def _keep(self, tx: Tx, **values: Any) -> None:
        """Write to the watch's row and keep the lease.

        Raises:
            Conflict: it is another's.
        """
        hold = self._held()
        kept = {"leased_until": tx.now + self._lease_for, **values}
        if not changes.write_watch(tx, cluster=hold.cluster, namespace=hold.namespace, lease=hold.lease, **kept):
            raise Conflict("another worker watches this cluster now", code="lease_lost")

    # -- one window

    def _window(self) -> int:
        """List if need be, then watch until the window ends; returns how many events came."""
        source = self._connected()
        with self._db.transaction() as tx:
            mine = [w for w in changes.watches(tx) if (w.cluster, w.namespace) == (self._cluster, self._namespace)]
        version = mine[0].resource_version if mine else None
        if version is None:
            version = self._list(source, first_look=not mine or mine[0].listed_at is None)
        came, reached = 0, version
        try:
            for kind, raw in source.changes(self._namespace, since=version, seconds=self._window_seconds):
                if self._stopping:
                    break
                came += 1
                events_seen.labels(kind).inc()
                self._take(source, kind, raw)
                reached = str((raw.get("metadata") or {}).get("resourceVersion") or reached)
                if kind == "BOOKMARK":
                    self._heard(reached)
        except Unavailable as error:
            if error.problem.code != AWAY or came == 0:
                raise
            # A connection that broke after it had told something is begun again at once, as clients of the API do.
            log.info("the watch was cut off; going on", cluster=self._cluster, why=error.problem.message)
        self._heard(reached)
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            with self._db.transaction() as tx:
                changes.end_left_open(tx, hold=self._held())
            self._swept_at = time.monotonic()
        return came

    def _connected(self) -> Source:
        if self._source is None:
            self._source = self._connect()
        return self._source

    def _heard(self, version: str) -> None:
        """All that came is taken in: go on from here, and it is well."""
        with self._db.transaction() as tx:
            well = {"trouble": None, "trouble_code": None, "trouble_since_at": None}
            self._keep(tx, resource_version=version, heard_at=tx.now, **well)

    def _list(self, source: Source, *, first_look: bool) -> str:
        """Compare what there is with what was last seen; returns the version of the list."""
        relists.inc()
        raws, version = source.deployments(self._namespace)
        there = {str((raw.get("metadata") or {}).get("uid")) for raw in raws}
        sights = [sight for raw in raws if (sight := self._sight(source, raw)) is not None]
        # What stands there is taken in by the dozen; what is told holds the changes of its service, and goes alone.
        size = CHUNK if first_look else 1
        news = [sight for sight in sights if first_look or self._is_news(*sight)]
        for start in range(0, len(news), size):
            with self._db.transaction() as tx:
                self._keep(tx)
                after = [self._see(tx, *sight, first_look=first_look) for sight in news[start : start + size]]
            self._known |= {one.uid: one for one in after if one is not None}
        gone = [uid for uid in self._known if uid not in there]
        with self._db.transaction() as tx:
            for uid in gone:
                changes.lose_deployment(tx, hold=self._held(), uid=uid)
            self._keep(tx, resource_version=version, listed_at=tx.now, heard_at=tx.now)
        for uid in gone:
            del self._known[uid]
        return version

    def _take(self, source: Source, kind: str, raw: Mapping[str, Any]) -> None:
        """One event. What says nothing new costs no transaction."""
        if kind == "DELETED":
            uid = str((raw.get("metadata") or {}).get("uid"))
            with self._db.transaction() as tx:
                changes.lose_deployment(tx, hold=self._held(), uid=uid)
                self._keep(tx)
            self._known.pop(uid, None)
        elif kind in ("ADDED", "MODIFIED"):
            sight = self._sight(source, raw)
            if sight is None or not self._is_news(*sight):
                return
            seen, missed = sight
            with self._db.transaction() as tx:
                after = self._see(tx, seen, missed)
                self._keep(tx, resource_version=str((raw.get("metadata") or {}).get("resourceVersion")))
            if after is not None:
                self._known[seen.uid] = after

    def _see(
        self, tx: Tx, seen: SeenDeployment, missed: Sequence[MissedRollout], *, first_look: bool = False
    ) -> KnownDeployment | None:
        """Take it in; what cannot be stored is said, and is in nobody's way."""
        try:
            with tx.savepoint():
                return changes.see_deployment(tx, hold=self._held(), seen=seen, first_look=first_look, missed=missed)
        except Invalid as error:
            log.warning("a rollout cannot be told", cluster=self._cluster, name=seen.name, why=error.problem.message)
            return None

    def _is_news(self, seen: SeenDeployment, missed: Sequence[MissedRollout]) -> bool:
        known = self._known.get(seen.uid)
        if known is None or missed:
            return True
        judged = changes.judge_deployment(known, seen, cluster=self._cluster, first_look=False, now=_ANY_TIME)
        return bool(judged.steps) or judged.known != known

    def _sight(self, source: Source, raw: Mapping[str, Any]) -> tuple[SeenDeployment, list[MissedRollout]] | None:
        """What it shows, with the rollouts that came and went unseen; None for what is ignored or cannot be read."""
        try:
            seen = objects.seen_deployment(raw, environments=self._environments, default=self._environment)
        except Invalid as error:
            name = str((raw.get("metadata") or {}).get("name"))[:100]
            log.warning("a Deployment cannot be read", cluster=self._cluster, name=name, why=error.problem.message)
            return None
        if seen is None:
            return None
        unseen = changes.missed_revisions(self._known.get(seen.uid), seen)
        if not unseen:
            return seen, []
        try:
            sets = source.replica_sets(seen.namespace, objects.selector_of(raw))
            found = [objects.missed_rollout(each, uid=seen.uid) for each in sets]
        except (Forbidden, Invalid) as error:
            log.warning("rollouts that nobody saw are not told", name=seen.name, why=error.problem.message)
            return seen, []
        return seen, [one for one in found if one is not None and one.revision in unseen]

    def _troubled(self, error: WatchbillError) -> None:
        """Say so in the row, and wait: 1 s, 2 s … up to a minute, or an event of ours."""
        pause = due.backoff(self._failures, first_seconds=self._first_pause, most_seconds=MOST_PAUSE_SECONDS)
        self._failures += 1
        self._not_before = time.monotonic() + pause.total_seconds()
        if self._source is not None:
            self._source.close()
            self._source = None
        try:
            with self._db.transaction() as tx:
                before = next(
                    (w for w in changes.watches(tx) if (w.cluster, w.namespace) == (self._cluster, self._namespace)),
                    None,
                )
                since = before.trouble_since_at if before is not None and before.trouble_since_at else tx.now
                self._keep(
                    tx,
                    trouble=error.problem.message[:500],
                    trouble_code=error.problem.code,
                    trouble_since_at=since,
                )
        except Conflict:
            self._lose()


class _WatchLoop(Loop):
    """Ends its watch when it is asked to stop, instead of at the end of the window."""

    def __init__(self, watcher: DeploymentWatcher, name: str) -> None:
        super().__init__(name, watcher.step, idle_seconds=1.0)
        self._watcher = watcher

    def ask_to_stop(self) -> None:
        super().ask_to_stop()
        self._watcher.stop()

    def join(self, timeout_seconds: float) -> bool:
        ended = super().join(timeout_seconds)
        if ended:
            self._watcher.let_go()
        return ended
