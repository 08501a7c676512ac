"""The observer: takes OTLP, keeps SLI counts, evaluates SLOs. The only process that opens ClickHouse."""

from __future__ import annotations

import ipaddress
import os
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import structlog

from watchbill.features import alerts, changes, evidence, identity, slo
from watchbill.features.slo.metrics import MetricCounter
from watchbill.features.slo.probes import Get, Prober
from watchbill.features.slo.prometheus import PrometheusPuller, servers_of
from watchbill.features.telemetry import GroupCommit, LateSpans, TelemetryStore
from watchbill.kernel.errors import SetupError, Unauthenticated, Unavailable, WatchbillError
from watchbill.processes.compose import Background, Context, Parts
from watchbill.processes.otlp import KnownKeys, Limits, OtlpReceiver, Verify
from watchbill.processes.questions import Questions
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.loops import Loop
from watchbill.runtime.signing import Signer

log = structlog.get_logger("watchbill.observer")


def build(context: Context) -> Parts:
    """The OTLP receiver's app, the writer behind it, and the loop that counts and evaluates."""
    settings = context.settings
    db = context.database("observer")
    if settings.telemetry_url is None:
        # The embedded engine keeps a cache of message schemas in the working folder, wherever `up` was called.
        scratch = settings.home / "run"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chdir(scratch)
    store = TelemetryStore(settings.telemetry_store_url)
    try:
        store.ensure_schema(settings.retention_days)
    except Unavailable as error:
        # Watching goes on: states freeze, and whoever owns ClickHouse hears of it. Its tables are made when it answers.
        log.warning("the telemetry engine is away at the start", why=error.problem.message)
    commit = GroupCommit(store)
    late = LateSpans()
    limits = Limits(retention=timedelta(days=settings.retention_days))
    keys = None if is_loopback(settings.host) else KnownKeys(verify_with(db))
    receiver = OtlpReceiver(commit, late, limits=limits, keys=keys)
    over_grpc = _over_grpc(settings, commit, late, limits, keys)
    evaluator = slo.build_evaluator(db=db, source=store, settings=settings)

    def evaluate() -> int:
        evaluator.evaluate_once()
        return 0

    def correct() -> int:
        touched = late.take()
        try:
            return store.derive_late(touched, slice_seconds=settings.sli_slice_seconds)
        except WatchbillError:
            late.touch(int(minute.timestamp()) // 60 for minute in touched)
            raise

    backfill = slo.build_backfill(db=db, source=store, settings=settings)
    every = min(30.0, settings.sli_slice_seconds)
    puller = PrometheusPuller(
        db=db, sink=store, servers=servers_of(settings.prometheus_urls), slice_seconds=settings.sli_slice_seconds
    )
    counter = MetricCounter(
        db=db,
        source=store,
        slice_seconds=settings.sli_slice_seconds,
        back=timedelta(days=settings.retention_days),
    )
    prober = Prober(
        db=db,
        sink=store,
        get=asks(HttpOut(allow_private=settings.allow_private_addresses)),
        slice_seconds=settings.sli_slice_seconds,
    )

    def infer() -> int:
        with db.transaction() as tx:
            now = tx.now
        seen = store.versions_seen(start_at=now - changes.LOOK_BACK, end_at=now)
        with db.transaction() as tx:
            changes.infer_deploys(tx, seen=seen)
        return 0

    take_evidence = EvidenceTaker(db, store)

    def ready() -> str | None:
        try:
            store.ping()
        except WatchbillError as error:
            return error.problem.message
        return None

    return Parts(
        app=_with_lifespan(Questions(store, Signer(settings.secret_keys), other=receiver)),
        loops=[
            Loop("slo.evaluate", evaluate, idle_seconds=settings.evaluation_seconds),
            Loop("telemetry.late", correct, idle_seconds=60.0),
            Loop("slo.backfill", backfill.step, idle_seconds=60.0),
            Loop("slo.prometheus", puller.pull, idle_seconds=every),
            Loop("slo.metrics", counter.step, idle_seconds=every),
            Loop("slo.probes", prober.probe, idle_seconds=every),
            Loop("changes.inferred", infer, idle_seconds=60.0),
            Loop("evidence", take_evidence, idle_seconds=60.0),
            Loop("slo.names", SloNames(db, store, settings.sli_slice_seconds), idle_seconds=60.0),
            Loop("slo.sources", SourceWatch(db, store, settings.sli_slice_seconds), idle_seconds=30.0),
        ],
        background=[*over_grpc, _Writing(store, commit)],
        ready=ready,
    )


class SloNames:
    """Keeps the names of SLOs beside their counts, for Grafana; writes when something changed, and after a restart."""

    def __init__(self, db: Database, store: TelemetryStore, slice_seconds: int) -> None:
        self._db = db
        self._store = store
        self._width = slice_seconds
        self._written: list[dict[str, object]] | None = None
        self._read: tuple[object, datetime] | None = None

    def __call__(self) -> int:
        """One look; returns 0. Names are read when the objectives change, and every ten minutes for other names."""
        with self._db.transaction() as tx:
            now, mark = tx.now, slo.definitions_mark(tx)
            if self._read is not None and self._read[0] == mark and now - self._read[1] < timedelta(minutes=10):
                return 0
            rows: list[dict[str, object]] = [
                {
                    "operation_id": one.slo.operation_id,
                    "objective": one.slo.name,
                    "slo_id": one.slo.id,
                    "team": one.team,
                    "service": one.service,
                    "operation": one.operation,
                    "environment": one.slo.environment,
                    "target": float(one.slo.target),
                    "window_seconds": one.slo.window_seconds,
                }
                for one in slo.slos(tx, limit=1_000_000)
            ]
        rows.sort(key=lambda row: (str(row["operation_id"]), str(row["objective"])))
        if rows != self._written:
            self._store.put_names(rows, slice_seconds=self._width)
            self._written = rows
        self._read = (mark, now)
        return 0


class SourceWatch:
    """Notes every half minute whether ClickHouse answers, and whether anybody still sends spans.

    ``otlp`` is down when no service at all sends spans although they came in 80 % of the slices of six hours: one
    service that is quiet is its own matter (traffic lost), all of them are their collector's. Where nobody works at
    night silence is no sign, and nothing is said. Only where SLOs count spans.
    """

    def __init__(self, db: Database, store: TelemetryStore, slice_seconds: int) -> None:
        self._db = db
        self._store = store
        self._width = slice_seconds
        self._used: tuple[object, set[str]] | None = None

    def __call__(self) -> int:
        """One look; returns 0. Which sources are in use is read again when the objectives change."""
        with self._db.transaction() as tx:
            now, mark = tx.now, slo.definitions_mark(tx)
            if self._used is None or self._used[0] != mark:
                self._used = (mark, slo.sources_used(tx))
            down = slo.source_down_since(tx, name=slo.OTLP) is not None
        used = self._used[1]
        if slo.CLICKHOUSE not in used:
            return 0
        error, sends = "", None
        try:
            self._store.ping()
            if slo.OTLP in used:
                sends = self._sends(now, down=down)
        except WatchbillError as away:
            error = away.problem.message
        with self._db.transaction() as tx:
            slo.note_source(tx, name=slo.CLICKHOUSE, answered=not error, error=error)
            if sends is not None:
                why = "" if sends else "no service sends spans any more"
                slo.note_source(tx, name=slo.OTLP, answered=sends, error=why)
        return 0

    def _sends(self, now: datetime, *, down: bool) -> bool | None:
        """Whether spans come; None when silence says nothing."""
        quiet_from = now - max(_QUIET_FOR, timedelta(seconds=3 * self._width))
        if self._store.reported(start=quiet_from, end=now, slice_seconds=self._width):
            return True
        if down:
            return False
        start = quiet_from - _BUSY_FOR
        busy = self._store.reported(start=start, end=quiet_from, slice_seconds=self._width)
        return False if len(busy) * self._width >= 0.8 * _BUSY_FOR.total_seconds() else None


_QUIET_FOR = timedelta(minutes=3)
_BUSY_FOR = timedelta(hours=6)


def _over_grpc(
    settings: Settings, commit: GroupCommit, late: LateSpans, limits: Limits, keys: KnownKeys | None
) -> list[Background]:
    """The gRPC receiver, where it is wanted. The usual port taken by somebody else is told, and no reason to stop."""
    port = settings.grpc_port
    if port is None:
        return []
    from watchbill.processes.otlp_grpc import GrpcReceiver

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        receiver = GrpcReceiver(
            commit, late, address=f"{host}:{port}", limits=limits, keys=keys, now_ns=time.time_ns
        )
    except SetupError as error:
        if settings.otlp_grpc_port is not None:
            raise
        log.warning("OTLP over gRPC is not taken", why=error.problem.message, mend=error.problem.hint)
        return []
    log.info("OTLP over gRPC", port=receiver.port)
    return [receiver]


def asks(http: HttpOut) -> Get:
    """A probe's GET: its status and how long it took; an address that may not be reached is no answer."""

    def get(url: str) -> tuple[int | None, float]:
        began = time.monotonic()
        try:
            status = http.request("GET", url).status
        except (httpx.HTTPError, WatchbillError) as error:
            log.info("a probe had no answer", url=url, why=str(error) or type(error).__name__)
            return None, time.monotonic() - began
        return status, time.monotonic() - began

    return get


class EvidenceTaker:
    """Carries evidence from telemetry into PostgreSQL: at first a week back, then what came lately."""

    def __init__(self, db: Database, store: TelemetryStore) -> None:
        self._db = db
        self._store = store
        self._look_back = timedelta(days=evidence.LOOK_BACK_DAYS)

    def __call__(self) -> int:
        """One pass; returns 0: one does all."""
        with self._db.transaction() as tx:
            now = tx.now
        seen = self._store.evidence_seen(start_at=now - self._look_back, end_at=now)
        with self._db.transaction() as tx:
            evidence.record_evidence(tx, seen=seen)
        self._look_back = timedelta(minutes=15)
        return 0


class _Writing:
    """The writer's thread; at the end the engine is let go, so that the next observer can open its folder."""

    def __init__(self, store: TelemetryStore, commit: GroupCommit) -> None:
        self._store = store
        self._commit = commit

    def start(self) -> None:
        self._commit.start()

    def stop(self) -> None:
        self._commit.stop()
        self._store.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def verify_with(db: Database) -> Verify:
    """Telemetry is taken with an integration's key or an API token of any role."""

    def verify(key: str) -> bool:
        with db.transaction() as tx:
            try:
                alerts.integration_by_key(tx, key=key)
            except Unauthenticated:
                try:
                    identity.authenticate_token(tx, secret=key)
                except Unauthenticated:
                    return False
        return True

    return verify


def _with_lifespan(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    return wrapped
