"""Pods killed, sampling switched on, a source away, a ClickHouse that the Collector fills: what an SLO then says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from tests.contract.slo.test_given_counts import objective
from tests.contract.telemetry.test_counts import spans
from watchbill.features import alerts, slo
from watchbill.features.slo.backfill import Backfill
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database

BEGIN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
FAILED = {"http.response.status_code": 500}


class Observed:
    """An observer on a clock of its own, evaluating minute by minute."""

    def __init__(self, store: TelemetryStore, database_url: str, one: slo.Slo) -> None:
        self.store = store
        self.one = one
        self.clock = VirtualClock(BEGIN)
        self.db = Database(database_url, clock=self.clock)
        self.evaluator = Evaluator(db=self.db, source=store, slice_seconds=60, base_url="http://watchbill.test")

    def minutes(self, count: int, send: Callable[[datetime], list[bytes] | None] | None = None) -> slo.StateRow:
        """Let that many minutes pass; ``send`` gives the spans of each, which arrive within ten minutes."""
        waiting: list[bytes] = []
        for minute in range(count):
            waiting += (send(self.clock.now() + timedelta(seconds=10)) if send is not None else None) or []
            self.clock.advance(timedelta(minutes=1))
            if waiting and (minute % 10 == 9 or minute == count - 1):
                self.store.insert_traces(waiting)
                self.evaluator.evaluate_once()  # what is older than a quarter of an hour is not derived anew
                waiting = []
        return self.state()

    def state(self) -> slo.StateRow:
        self.evaluator.evaluate_once()
        with self.db.transaction() as tx:
            return slo.states(tx)[self.one.id]


@pytest.fixture
def observed(store: TelemetryStore, database_url: str, db: Database) -> Iterator[Observed]:
    made = Observed(store, database_url, objective(db))
    yield made
    made.db.dispose()


def test_pods_that_are_killed_are_lost_traffic_within_five_minutes(store: TelemetryStore, observed: Observed) -> None:
    """slo.silence"""

    def both(at: datetime) -> list[bytes]:
        return [spans(30, at=at), spans(5, at=at, service="storefront")]

    assert observed.minutes(40, both).state == "ok"
    after = [observed.minutes(1, lambda at: [spans(5, at=at, service="storefront")]) for _ in range(5)]
    lost = after[-1]
    assert (lost.state, lost.tier, lost.cause) == ("firing", "page", "traffic"), [one.reason for one in after]
    assert "at least 60 were expected" in lost.reason
    assert observed.minutes(6, both).state in ("ok", "recovering")


def test_everything_that_falls_silent_is_no_lost_traffic_but_unmeasured(
    store: TelemetryStore, observed: Observed
) -> None:
    """slo.unmeasured: nobody reports, so the silence may be ours."""
    assert observed.minutes(30, lambda at: [spans(30, at=at)]).state == "ok"
    state = observed.minutes(8)
    assert (state.state, state.cause) == ("unmeasured", None)


def test_sampling_that_is_switched_on_is_weighted_or_said_to_be_unknown(
    store: TelemetryStore, observed: Observed
) -> None:
    """slo.sampling"""

    def whole(at: datetime) -> list[bytes]:
        return [spans(32, at=at)]

    def one_in_sixteen(at: datetime) -> list[bytes]:
        return [spans(2, at=at, trace_state="ot=th:f")]

    def unknown(at: datetime) -> list[bytes]:
        return [spans(2, at=at, attributes={"sampler.type": "remote"})]

    before = observed.minutes(40, whole)
    assert (before.state, before.total) == ("ok", 40 * 32)
    weighted = observed.minutes(30, one_in_sixteen)
    assert (weighted.state, weighted.total) == ("ok", 70 * 32), "no traffic is lost: each span stands for sixteen"
    state = observed.minutes(12, unknown)
    assert state.state == "unmeasured"
    assert "do not say with which probability" in state.reason


def test_a_source_that_is_away_freezes_what_it_measured(store: TelemetryStore, database_url: str, db: Database) -> None:
    """slo.freeze"""
    observed = Observed(store, database_url, objective(db, "pushed: true"))

    def push(minutes: int, good: float) -> slo.StateRow:
        counts = [(observed.clock.now() + timedelta(minutes=minute), good, 100.0) for minute in range(minutes)]
        observed.clock.advance(timedelta(minutes=minutes))
        store.put_counts(
            operation_id=observed.one.operation_id, objective=observed.one.name, slice_seconds=60, counts=counts
        )
        return observed.state()

    assert push(14, 100).state == "ok"
    assert observed.minutes(12).state == "unmeasured"
    firing = push(14, 50)
    assert (firing.state, firing.tier) == ("firing", "page")
    frozen = observed.minutes(30)
    assert (frozen.state, frozen.tier) == ("firing", "page")
    assert "data is missing" in frozen.reason
    for _ in range(6):
        last = push(14, 100)
    assert last.state in ("ok", "recovering")
    observed.db.dispose()


def test_counts_that_are_corrected_long_after_change_the_budget_of_now(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    """Days later somebody sends what really happened: late data corrects the past without a restart."""
    observed = Observed(store, database_url, objective(db, "pushed: true"))

    def push(at: datetime, good: float) -> None:
        store.put_counts(
            operation_id=observed.one.operation_id,
            objective=observed.one.name,
            slice_seconds=60,
            counts=[(at, good, 1000.0)],
        )

    push(observed.clock.now() - timedelta(minutes=2), 1000)
    assert observed.state().budget_remaining == 1
    long_ago = observed.clock.now() - timedelta(days=9)
    for good in (1000, 999):
        push(long_ago, good)
    state = observed.state()
    assert (state.bad, state.total, state.budget_remaining) == (1, 2000, Decimal("0.5"))
    observed.db.dispose()


def test_spans_that_come_nine_days_late_change_the_budget_of_now(store: TelemetryStore, observed: Observed) -> None:
    """Older than what is kept minute by minute: corrected while running, without a restart."""
    before = observed.minutes(3, lambda at: [spans(10, at=at)])
    assert before.bad == 0
    long_ago = observed.clock.now().replace(second=0, microsecond=0) - timedelta(days=9)
    for _ in range(2):
        store.insert_traces([spans(4, at=long_ago, attributes={"http.response.status_code": 500})])
        store.derive_late([long_ago], slice_seconds=60)
        observed.clock.advance(timedelta(minutes=1))
        after = observed.state()
    assert (after.bad, after.total) == (8, before.total + 8)


def test_a_new_objective_that_burns_in_is_a_ticket_until_it_has_proved_itself(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    """slo.burn_in"""
    observed = Observed(store, database_url, objective(db, "pushed: true", "burnIn: 7d"))
    observed.clock.move_to(observed.one.created_at.replace(second=0, microsecond=0) + timedelta(days=6, hours=23))
    urgencies = []
    for _ in range(2):
        counts = [(observed.clock.now() - timedelta(minutes=minute), 0.0, 100.0) for minute in range(1, 30)]
        store.put_counts(
            operation_id=observed.one.operation_id, objective=observed.one.name, slice_seconds=60, counts=counts
        )
        state = observed.state()
        assert (state.state, state.tier) == ("firing", "page")
        with observed.db.transaction() as tx:
            urgencies += [(alert.urgency, "wakes nobody until" in state.reason) for alert in alerts.open_alerts(tx)]
        observed.clock.advance(timedelta(hours=2))
    assert urgencies == [("ticket", True), ("page", False)]
    observed.db.dispose()


@pytest.mark.parametrize(
    ("timestamp", "server", "error"),
    [("DateTime64(9)", "SPAN_KIND_SERVER", "STATUS_CODE_ERROR"), ("DateTime", "Server", "Error")],
)
def test_a_clickhouse_that_the_collector_fills_is_counted_as_it_is(
    telemetry_folder: object, database_url: str, db: Database, *, timestamp: str, server: str, error: str
) -> None:
    store = TelemetryStore(f"chdb://{telemetry_folder}?database=filled_{uuid4().hex[:8]}")
    store.engine.command(
        f"""CREATE TABLE otel_traces (Timestamp {timestamp}, TraceId String, SpanId String, ParentSpanId String,
        TraceState String, SpanName LowCardinality(String), SpanKind LowCardinality(String),
        ServiceName LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String),
        ScopeName String, ScopeVersion String, SpanAttributes Map(LowCardinality(String), String), Duration UInt64,
        StatusCode LowCardinality(String), StatusMessage String)
        ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))"""
    )
    store.ensure_schema(30)
    observed = Observed(store, database_url, objective(db))
    start = int(BEGIN.timestamp())
    for _ in range(2):  # lost acknowledgements: the Collector sends again, and nothing there makes spans unique
        store.engine.command(
            f"""INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
                Duration, StatusCode)
            SELECT toDateTime({start} + number, 'UTC'), lower(hex(MD5(toString(number)))), lower(hex(number)), 'aa',
                'POST /charge', '{server}', 'payments', 5, if(number % 4 = 0, '{error}', 'Unset') FROM numbers(1800)"""
        )
    state = observed.minutes(30)
    assert (state.state, state.tier) == ("firing", "page")
    assert state.total == 900, "what came before its objective is counted beside"
    backfill = Backfill(db=observed.db, source=store, slice_seconds=60)
    while backfill.step():
        pass
    state = observed.minutes(1)
    assert (state.state, state.tier, state.bad, state.total) == ("firing", "page", 450, 1800)
    assert backfill.step() == 0, "once is enough"
    observed.db.dispose()
    store.close()
