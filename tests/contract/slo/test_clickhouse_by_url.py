"""A ClickHouse that somebody runs, by URL: filled by a Collector, slow, closed to us, or without its tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.clickhouse_http import PASSWORD, ClickHouse, clickhouse
from tests.contract.slo.test_given_counts import objective
from tests.contract.slo.test_states_when_it_hurts import BEGIN, FAILED, Observed
from tests.contract.telemetry.test_counts import spans
from watchbill.features import slo
from watchbill.features.slo.sources import DOWN_FOR
from watchbill.features.telemetry import TelemetryStore, engine
from watchbill.kernel.errors import Unavailable
from watchbill.processes.observer import SourceWatch
from watchbill.runtime.db import Database


@pytest.fixture(scope="module")
def server(telemetry_folder: Path) -> Iterator[ClickHouse]:
    with clickhouse(telemetry_folder) as there:
        yield there


@pytest.fixture(scope="module")
def _by_url(server: ClickHouse) -> Iterator[TelemetryStore]:
    """Tables that a Collector made, in its newer shape, and ours beside them."""
    store = TelemetryStore(server.url(f"by_url_{uuid4().hex[:8]}"))
    store.ping()
    store.engine.command(
        """CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String,
        TraceState String, SpanName LowCardinality(String), SpanKind LowCardinality(String),
        ServiceName LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String),
        ScopeName String, ScopeVersion String, SpanAttributes Map(LowCardinality(String), String), Duration UInt64,
        StatusCode LowCardinality(String), StatusMessage String)
        ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))"""
    )
    store.ensure_schema(30)
    yield store
    store.close()


@pytest.fixture
def by_url(_by_url: TelemetryStore) -> TelemetryStore:
    for table in ("otel_traces", "watchbill_sli_counts", "watchbill_sli_coverage"):
        _by_url.engine.command(f"TRUNCATE TABLE {table}")
    return _by_url


@pytest.fixture
def observed(by_url: TelemetryStore, database_url: str, db: Database) -> Iterator[Observed]:
    made = Observed(by_url, database_url, objective(db))
    yield made
    made.db.dispose()


def fill(store: TelemetryStore, minutes: int, *, failing: bool) -> None:
    """As the Collector does: its own columns, and the batch twice, for an acknowledgement was lost."""
    status = "if(number % 4 = 0, 'Error', 'Unset')" if failing else "'Unset'"
    for _ in range(2):
        store.engine.command(
            f"""INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
                Duration, StatusCode)
            SELECT toDateTime({{from:UInt32}} + number, 'UTC'), lower(hex(MD5(toString(number)))), lower(hex(number)),
                'aa', 'POST /charge', 'Server', 'payments', 5, {status} FROM numbers({60 * minutes})""",
            {"from": int(BEGIN.timestamp())},
        )


def test_what_a_collector_fills_is_counted_through_the_url_and_what_fires_stays_frozen_while_it_is_away(
    server: ClickHouse, by_url: TelemetryStore, observed: Observed, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """slo.freeze, slo.source_down"""
    fill(by_url, 14, failing=True)
    firing = observed.minutes(14)
    assert (firing.state, firing.tier, firing.bad, firing.total) == ("firing", "page", 210, 840)
    watch = SourceWatch(observed.db, by_url, 60)

    monkeypatch.setattr(engine, "ANSWER_SECONDS", 1)
    by_url.close()  # the next question connects anew, with that patience
    monkeypatch.setattr(server, "delay_seconds", 1.2)
    observed.clock.advance(timedelta(minutes=20))
    frozen = observed.state()
    assert (frozen.state, frozen.tier) == ("firing", "page")
    assert "The newest data is missing: it keeps firing" in frozen.reason
    monkeypatch.undo()
    by_url.close()
    monkeypatch.setattr(server, "overloaded", True)
    watch()
    with observed.db.transaction() as tx:
        down = slo.source_down(tx, slo=observed.one)
    assert down is not None
    assert (down.name, "Too many simultaneous queries" in (down.error or "")) == ("clickhouse", True)
    observed.clock.advance(DOWN_FOR)
    watch()
    with observed.db.transaction() as tx:
        assert "slo.source_down" in [one.code for one in slo.source_problems(tx, embedded=False)]
    monkeypatch.undo()
    watch()
    with observed.db.transaction() as tx:
        assert slo.source_down(tx, slo=observed.one) is None


def test_a_wrong_password_is_said_without_saying_the_password_and_what_was_well_is_unmeasured(
    server: ClickHouse, by_url: TelemetryStore, observed: Observed
) -> None:
    observed.minutes(3, lambda at: [spans(30, at=at)])
    assert observed.state().state == "ok"
    wrong = TelemetryStore(server.url(by_url.engine.database, password="changed"))
    with pytest.raises(Unavailable) as refused:
        wrong.ping()
    problem = refused.value.problem
    assert "does not let Watchbill in" in problem.message
    assert "Authentication failed" in problem.message
    assert "WATCHBILL_TELEMETRY_URL" in (problem.hint or "")
    assert "changed" not in problem.message
    assert PASSWORD not in problem.message
    observed.evaluator.source = wrong
    observed.clock.advance(timedelta(minutes=20))
    state = observed.state()
    assert state.state == "unmeasured"
    assert "Less than half of the newest slices were measured" in state.reason
    wrong.close()


def test_tables_that_somebody_dropped_freeze_until_the_next_start_makes_them(
    by_url: TelemetryStore, observed: Observed
) -> None:
    firing = observed.minutes(4, lambda at: [spans(10, at=at), spans(10, at=at, attributes=FAILED)])
    assert firing.state == "firing"
    by_url.engine.command("DROP TABLE watchbill_sli_counts")
    with pytest.raises(Unavailable) as missing:
        by_url.engine.rows("SELECT 1 FROM watchbill_sli_counts")
    assert "misses a table" in missing.value.problem.message
    assert "restart the observer" in (missing.value.problem.hint or "")
    observed.clock.advance(timedelta(minutes=10))
    assert observed.state().state == "firing"
    by_url.ensure_schema(30)
    again = observed.minutes(8, lambda at: [spans(30, at=at)])
    assert again.state in ("ok", "recovering")


def test_a_server_that_is_away_at_the_start_gets_its_tables_when_it_is_back(
    server: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TelemetryStore(server.url(f"later_{uuid4().hex[:8]}"))
    monkeypatch.setattr(server, "overloaded", True)
    for ask in (store.ensure_schema, store.ping, lambda: store.insert_traces([spans(1, at=BEGIN)])):
        with pytest.raises(Unavailable, match="Too many simultaneous queries"):
            ask()
    monkeypatch.undo()
    store.insert_traces([spans(3, at=BEGIN)])
    assert store.engine.rows("SELECT count() FROM otel_traces") == [(3,)]
    store.close()


def test_nobody_listens_at_the_url(database_url: str) -> None:
    away = TelemetryStore("clickhouse://watchbill:hidden@127.0.0.1:9/telemetry")
    with pytest.raises(Unavailable) as gone:
        away.ping()
    assert "clickhouse://127.0.0.1/telemetry does not answer" in gone.value.problem.message
    assert "hidden" not in gone.value.problem.message
