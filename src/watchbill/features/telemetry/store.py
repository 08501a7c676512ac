"""Telemetry at rest: durable inserts of OTLP, counts derived from spans, and the questions screens ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

from watchbill.features.telemetry import (
    counter_counts,
    counts,
    evidence,
    level_counts,
    metric_counts,
    questions,
    schema,
    traces,
    versions,
    wire,
)
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.logic import chunks, joined, slice_start
from watchbill.features.telemetry.model import (
    CounterCount,
    Inserted,
    MetricSelector,
    OperationMatch,
    Reason,
    ServiceTraffic,
    SliceCount,
    Span,
    WindowCount,
)
from watchbill.features.telemetry.past import SOON, Past, PastCounts

_COUNTS_DAYS = 400  # a year of SLO history outlives its spans
_CHUNK = timedelta(hours=1)  # spans are made unique in memory: an hour at a time


_REASONS: dict[str, Reason] = {reason: reason for reason in get_args(Reason)}


class TelemetryStore:
    """A ClickHouse of telemetry, embedded (``chdb:///folder``) or by URL. Methods may be called from any thread.

    Raises (all methods):
        Unavailable: the engine is away, or out of disk or memory.
        SetupError: another process holds the embedded folder, or the engine is not installed.
    """

    def __init__(self, url: str, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.engine = Engine(url)
        self._now_ns = now_ns
        self._version = 0
        self._columns: dict[str, frozenset[str]] = {}
        self._awaited_ttl_days: int | None = None
        self._revision = ""
        self._revision_until_ns = 0
        self._deriving = threading.Lock()
        self._operations: tuple[OperationMatch, ...] = ()
        self._past = PastCounts()

    def ensure_schema(self, ttl_days: int = 30) -> None:
        """Create what is absent; leave what exists, whoever made it, as it is.

        Where the engine is away, the next `ping` or insert that reaches it does so.
        """
        self._awaited_ttl_days = ttl_days
        for statement in schema.statements(ttl_days, max(ttl_days, _COUNTS_DAYS)):
            self.engine.command(statement)
        found: dict[str, set[str]] = {}
        for table, name in self.engine.rows(
            "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND default_kind != 'ALIAS'"
        ):
            found.setdefault(table, set()).add(name)
        self._columns = {table: frozenset(found[table]) for table in schema.TABLES}
        self._awaited_ttl_days = None

    def insert_traces(self, requests: Sequence[bytes]) -> Inserted:
        """Store serialized ``ExportTraceServiceRequest``s in one durable insert."""
        return self._insert(["otel_traces"], requests)

    def insert_logs(self, requests: Sequence[bytes]) -> Inserted:
        """Store serialized ``ExportLogsServiceRequest``s in one durable insert."""
        return self._insert(["otel_logs"], requests)

    def insert_metrics(self, requests: Sequence[bytes], *, kinds: Iterable[str] = schema.METRIC_KINDS) -> Inserted:
        """Store serialized ``ExportMetricsServiceRequest``s: one insert for each of ``kinds`` that they hold."""
        return self._insert([f"otel_metrics_{kind}" for kind in kinds], requests)

    def _insert(self, tables: Sequence[str], requests: Sequence[bytes]) -> Inserted:
        self._make_awaited()
        payload = b"".join(part for request in requests for part in (_varint(len(request)), request))
        for table in tables:
            self.engine.insert_select(
                wire.insert_sql(table, self._columns[table]),
                payload,
                structure=wire.structure(table),
                settings=wire.settings(table),
            )
        return Inserted(requests=len(requests), byte_count=len(payload))

    def derive_counts(
        self, operations: Sequence[OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[SliceCount]:
        """Derive the counts of ``operations`` in ``[start, end)`` from spans, overwrite what was there, return them.

        ``start`` is floored and ``end`` raised to whole slices. Running it again changes nothing, unless spans
        came late. Returns the slices that have events; all others of the range had none (see :meth:`counts`).
        """
        if not operations:
            return []
        self._operations = tuple(operations)
        first, last = self._derive(operations, start, end, slice_seconds)
        return self.stored_counts(operations, start=first, end=last, slice_seconds=slice_seconds)

    def derive_past(
        self, operations: Sequence[OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> None:
        """Derive ``[start, end)`` for operations that were not there when its spans came."""
        if operations:
            self._derive(operations, start, end, slice_seconds)

    def _derive(
        self, operations: Sequence[OperationMatch], start: datetime, end: datetime, slice_seconds: int
    ) -> tuple[datetime, datetime]:
        first, last = slice_start(start, slice_seconds), slice_start(end, slice_seconds)
        if last < end:
            last += timedelta(seconds=slice_seconds)
        plan = counts.plan(operations)
        with self._deriving:
            self._write_plan(plan)
            for chunk_start, chunk_end in chunks(first, last, _CHUNK, slice_seconds):
                self._version = version = max(self._version + 1, self._now_ns())
                parameters = {
                    "from": int(chunk_start.timestamp()),
                    "to": int(chunk_end.timestamp()),
                    "width": slice_seconds,
                    "version": version,
                    "revision": plan.revision,
                    "thresholds": list(plan.thresholds_ns),
                    **{f"key{i}": key for i, key in enumerate(plan.attribute_keys)},
                }
                self.engine.command(counts.derive_sql(plan.attribute_keys), parameters, role="reader")
                self._derive_from_metrics(plan, parameters)
                self.engine.command(counts.CLEAR_SQL, parameters, role="reader")
                self.engine.command(counts.COVERAGE_SQL, parameters, role="reader")
        return first, last

    def _derive_from_metrics(self, plan: counts.Plan, parameters: dict[str, object]) -> None:
        """Let request metrics stand above what spans said of the same slices, by a newer version."""
        start, end = int(str(parameters["from"])), int(str(parameters["to"]))
        near = {"near": start - metric_counts.LOOK_BACK_SECONDS, "far": end + metric_counts.LOOK_BACK_SECONDS}
        if not self.engine.rows(metric_counts.ANY_SQL, near):
            return
        self._version += 1
        given = {**parameters, **near, "version": self._version, "now": self._now_ns() // 1_000_000_000}
        self.engine.command(metric_counts.derive_sql(plan.attribute_keys), given, role="reader")
        self.engine.command(metric_counts.PENDING_SQL, given, role="reader")
        self.engine.command(metric_counts.coverage_sql(), given, role="reader")

    def derive_late(self, touched: Sequence[datetime], *, slice_seconds: int) -> int:
        """Derive again the minutes that late spans ``touched``, for the operations of the last pass.

        Returns how many minutes were derived: none before there was a pass.
        """
        operations = self._operations
        if not operations or not touched:
            return 0
        minute = timedelta(minutes=1)
        for start, end in joined(touched, minute):
            self.derive_past(operations, start=start, end=end, slice_seconds=slice_seconds)
            if start < datetime.fromtimestamp(self._now_ns() // 1_000_000_000, UTC) - SOON:
                self._past.wrote_stretch(start, end)
        return len(touched)

    def oldest_span(self) -> datetime | None:
        """When the oldest span that is kept began; None without any."""
        [[number, at]] = self.engine.rows("SELECT count(), toUnixTimestamp(min(Timestamp)) FROM otel_traces")
        return datetime.fromtimestamp(at, UTC) if number else None

    def counted_before(self, operation_ids: Sequence[UUID], *, before: datetime) -> set[tuple[UUID, str]]:
        """Of which (operation, objective) anything was ever counted before then."""
        rows = self.engine.rows(
            "SELECT DISTINCT operation_id, objective FROM watchbill_sli_counts"
            " WHERE slice < toDateTime({before:UInt32}, 'UTC') AND operation_id IN {operations:Array(UUID)}",
            {"before": int(before.timestamp()), "operations": sorted({str(one) for one in operation_ids})},
        )
        return {(operation_id, objective) for operation_id, objective in rows}

    def note_past(self, operation_ids: Sequence[UUID]) -> None:
        """Let `take_past` name these."""
        self._past.wrote(operation_ids)

    def take_past(self) -> Past:
        """What was written of the past since this was asked last."""
        return self._past.take()

    def _write_plan(self, plan: counts.Plan) -> None:
        if plan.revision == self._revision and self._now_ns() < self._revision_until_ns:
            return
        found = self.engine.rows(
            "SELECT count() FROM watchbill_sli_match WHERE revision = {revision:String}"
            " AND written_at > toDateTime({fresh:UInt32}, 'UTC')",
            {"revision": plan.revision, "fresh": self._now_ns() // 1_000_000_000 - 86_400},
        )
        if found[0][0] != len(plan.columns["revision"]):
            self.engine.command(
                "DELETE FROM watchbill_sli_match WHERE revision = {revision:String}", {"revision": plan.revision}
            )
            written_at = datetime.fromtimestamp(self._now_ns() // 1_000_000_000, UTC)
            columns = {**plan.columns, "written_at": [written_at] * len(plan.columns["revision"])}
            self.engine.write_rows("watchbill_sli_match", list(columns), [*columns.values()])
        # Written rows live two days; an hour from here is well inside that, and then they are looked for again.
        self._revision, self._revision_until_ns = plan.revision, self._now_ns() + 3_600_000_000_000

    def _stored(
        self, operation_ids: Sequence[UUID], start: datetime, end: datetime, slice_seconds: int, *, empty: bool = False
    ) -> list[SliceCount]:
        rows = self.engine.rows(
            counts.COUNTS_SQL,
            {
                "from": int(start.timestamp()),
                "to": int(end.timestamp()),
                "width": slice_seconds,
                "operations": [str(operation_id) for operation_id in operation_ids],
            },
        )
        return [
            SliceCount(
                operation_id=operation_id,
                objective=objective,
                slice_at=datetime.fromtimestamp(at, UTC),
                good=good,
                total=total,
                measured=bool(measured),
                reason=None if measured else _REASONS.get(reason, "sampling_unknown"),
            )
            for operation_id, objective, at, good, total, measured, reason in rows
            if empty or total > 0 or not measured
        ]

    def stored_counts(
        self, operations: Sequence[OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[SliceCount]:
        """What was derived before for ``operations`` in ``[start, end)``: the slices with events."""
        if not operations:
            return []
        wanted = {(operation.operation_id, operation.objective) for operation in operations}
        first = slice_start(start, slice_seconds)
        stored = self._stored(sorted({o.operation_id for o in operations}), first, end, slice_seconds)
        return [count for count in stored if (count.operation_id, count.objective) in wanted]

    def given_counts(
        self, operations: Sequence[OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[SliceCount]:
        """What `put_counts` stored for ``operations`` in ``[start, end)``, the slices without events too."""
        wanted = {(operation.operation_id, operation.objective) for operation in operations}
        first = slice_start(start, slice_seconds)
        stored = self._stored(sorted({o.operation_id for o in operations}), first, end, slice_seconds, empty=True)
        return [count for count in stored if (count.operation_id, count.objective) in wanted]

    def put_counts(
        self, *, operation_id: UUID, objective: str, slice_seconds: int, counts: Sequence[tuple[datetime, float, float]]
    ) -> None:
        """Store (slice start, good, total) counted elsewhere; a slice given again stands as given last."""
        if not counts:
            return
        self._version = version = max(self._version + 1, self._now_ns())
        size = len(counts)
        columns: dict[str, list[object]] = {
            "operation_id": [operation_id] * size,
            "objective": [objective] * size,
            "slice": [slice_start(at, slice_seconds) for at, _, _ in counts],
            "slice_seconds": [slice_seconds] * size,
            "good": [min(max(good, 0.0), total) for _, good, total in counts],
            "total": [max(total, 0.0) for _, _, total in counts],
            "measured": [1] * size,
            "reason": [""] * size,
            "version": [version] * size,
        }
        self.engine.write_rows("watchbill_sli_counts", list(columns), [*columns.values()])
        if min(at for at, _, _ in counts) < datetime.fromtimestamp(self._now_ns() // 1_000_000_000, UTC) - SOON:
            self._past.wrote([operation_id])

    def counter_counts(
        self,
        match: OperationMatch,
        *,
        total: MetricSelector | None,
        good: MetricSelector | None,
        bad: MetricSelector | None,
        start: datetime,
        end: datetime,
        slice_seconds: int,
    ) -> list[CounterCount]:
        """What counters of the service in its environment say of ``[start, end)`` (`counter_counts.counter_counts`)."""
        return counter_counts.counter_counts(
            self.engine,
            service_name=match.service_name,
            environment=match.environment,
            total=total,
            good=good,
            bad=bad,
            start=start,
            end=end,
            slice_seconds=slice_seconds,
        )

    def level_counts(
        self,
        match: OperationMatch,
        *,
        level: MetricSelector,
        at_most: float | None,
        at_least: float | None,
        start: datetime,
        end: datetime,
        slice_seconds: int,
    ) -> list[CounterCount]:
        """Whether a level of the service stayed within its bounds in ``[start, end)`` (`level_counts.level_counts`)."""
        return level_counts.level_counts(
            self.engine,
            service_name=match.service_name,
            environment=match.environment,
            level=level,
            at_most=at_most,
            at_least=at_least,
            start=start,
            end=end,
            slice_seconds=slice_seconds,
        )

    def put_names(self, rows: Sequence[Mapping[str, object]], *, slice_seconds: int) -> None:
        """Write what each SLO is called, for readers of the counts; what is not among them is not ``live`` any more."""
        self._version = version = max(self._version + 1, self._now_ns())
        self.engine.command(
            "INSERT INTO watchbill_slo_names SELECT * REPLACE ({version:UInt64} AS version, 0 AS live)"
            " FROM (SELECT * FROM watchbill_slo_names FINAL WHERE live)",
            {"version": version},
        )
        if not rows:
            return
        self._version = version + 1
        columns: dict[str, list[object]] = {name: [row[name] for row in rows] for name in rows[0]}
        columns |= {
            "slice_seconds": [slice_seconds] * len(rows),
            "version": [self._version] * len(rows),
            "live": [1] * len(rows),
        }
        self.engine.write_rows("watchbill_slo_names", list(columns), [*columns.values()])

    def reported(self, *, start: datetime, end: datetime, slice_seconds: int) -> set[datetime]:
        """The slices of ``[start, end)`` in which any service at all sent spans."""
        rows = self.engine.rows(
            counts.REPORTED_SQL,
            {"from": int(start.timestamp()), "to": int(end.timestamp()), "width": slice_seconds},
        )
        return {datetime.fromtimestamp(at, UTC) for (at,) in rows}

    def counts(
        self, *, operation_id: UUID, objective: str, start: datetime, end: datetime, slice_seconds: int
    ) -> list[SliceCount]:
        """Every slice of ``[start, end)`` in order, the silent and the unmeasured ones too."""
        first = slice_start(start, slice_seconds)
        stored = {
            count.slice_at: count
            for count in self._stored([operation_id], first, end, slice_seconds)
            if count.objective == objective
        }
        reported = self.reported(start=first, end=end, slice_seconds=slice_seconds)
        answer: list[SliceCount] = []
        at = first
        while at < end:
            measured = at in reported
            answer.append(
                stored.get(at)
                or SliceCount(
                    operation_id=operation_id,
                    objective=objective,
                    slice_at=at,
                    good=0.0,
                    total=0.0,
                    measured=measured,
                    reason=None if measured else "nothing_reported",
                )
            )
            at += timedelta(seconds=slice_seconds)
        return answer

    def window_counts(
        self,
        keys: Sequence[tuple[UUID, str]],
        *,
        end: datetime,
        windows: Sequence[timedelta],
        slice_seconds: int,
    ) -> dict[tuple[UUID, str], list[WindowCount]]:
        """Counts of each ``(operation_id, objective)`` over every one of ``windows`` ending at ``end``, in one scan.

        ``end`` is floored to a whole slice. The lists follow the order of ``windows``.
        """
        if not keys or not windows:
            return {key: [] for key in keys}
        last = slice_start(end, slice_seconds)
        starts = [slice_start(last - window, slice_seconds) for window in windows]
        few = len(keys) <= 500
        parameters: dict[str, object] = {
            "from": int(min(starts).timestamp()),
            "to": int(last.timestamp()),
            "width": slice_seconds,
            **{f"from{i}": int(start.timestamp()) for i, start in enumerate(starts)},
        }
        if few:
            parameters["operations"] = sorted({str(operation_id) for operation_id, _ in keys})
        rows = self.engine.rows(counts.windows_sql(len(windows), only_some=few), parameters)
        found = {(row[0], row[1]): row[2:] for row in rows}
        reported = sorted(self.reported(start=min(starts), end=last, slice_seconds=slice_seconds))
        covered = [sum(1 for at in reported if at >= start) for start in starts]
        nothing = (0.0, 0.0, 0) * len(windows)
        answer: dict[tuple[UUID, str], list[WindowCount]] = {}
        for key in keys:
            sums = found.get(key, nothing)
            answer[key] = [
                WindowCount(
                    operation_id=key[0],
                    objective=key[1],
                    window_seconds=int(window.total_seconds()),
                    good=sums[3 * i],
                    total=sums[3 * i + 1],
                    slices=int((last - starts[i]).total_seconds()) // slice_seconds,
                    measured_slices=max(0, covered[i] - sums[3 * i + 2]),
                    reason="sampling_unknown" if sums[3 * i + 2] else None if covered[i] else "nothing_reported",
                )
                for i, window in enumerate(windows)
            ]
        return answer

    def recent_traffic(self, *, since: datetime) -> list[ServiceTraffic]:
        """Distinct root and SERVER spans of each service since then, the busiest first."""
        return questions.recent_traffic(self.engine, since=since)

    def versions_seen(self, *, start_at: datetime, end_at: datetime) -> list[versions.SeenVersion]:
        """Every version that sent root or SERVER spans then."""
        return versions.versions_seen(self.engine, start_at=start_at, end_at=end_at)

    def evidence_seen(self, *, start_at: datetime, end_at: datetime) -> list[evidence.SeenEvidence]:
        """Every protection that services told of then."""
        return evidence.evidence_seen(self.engine, start_at=start_at, end_at=end_at)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, each once, in the order they started; empty when unknown."""
        return traces.spans_of(self.engine, trace_id=trace_id)

    def latest_spans(self, *, service_name: str, since: datetime, limit: int = 50) -> list[Span]:
        """The newest spans of one service, each once."""
        return questions.latest_spans(self.engine, service_name=service_name, since=since, limit=limit)

    def ping(self) -> None:
        """Return when the engine answers; raise ``Unavailable`` when it does not."""
        self.engine.rows("SELECT 1")
        self._make_awaited()

    def _make_awaited(self) -> None:
        """Make the tables that could not be made at the start."""
        if self._awaited_ttl_days is not None:
            self.ensure_schema(self._awaited_ttl_days)

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
