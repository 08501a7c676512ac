"""Whether ClickHouse answers and collectors send, seen with the real engine."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.contract.slo.test_given_counts import SHOP
from watchbill.features import alerts, slo
from watchbill.features.slo.probes import Prober
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.observer import SourceWatch
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

NOW = datetime.fromtimestamp(int(time.time()) // 60 * 60, UTC)


def covered(store: TelemetryStore, *, start: int, end: int, every: int) -> None:
    """Somebody sent spans in every so many minutes between these, counted from NOW."""
    slices = [NOW + timedelta(minutes=at) for at in range(start, end, every)]
    columns = ["slice", "slice_seconds", "service_name", "spans", "version"]
    size = len(slices)
    store.engine.write_rows(
        "watchbill_sli_coverage", columns, [slices, [60] * size, ["payments"] * size, [9] * size, [1] * size]
    )


def test_probes_that_reach_no_host_at_all_count_nothing_and_tell_who_owns_the_way_out(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    probes = "".join(
        f"        - {{name: p{host}, target: 99, probe: {{url: 'http://{host}.example.org/'}}}}\n" for host in "abc"
    )
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP.replace("  owner:", "  sources: [probes]\n  owner:") + probes)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        one = slo.slos(tx)[0].slo
    clock = VirtualClock(NOW)
    now = Database(database_url, clock=clock)
    up = {"a.example.org"}

    def get(url: str) -> tuple[int | None, float]:
        return (200 if url.split("/")[2] in up else None), 0.1

    asked = Prober(db=now, sink=store, get=get, slice_seconds=60)
    asked.probe()
    up.clear()
    for _ in range(12):
        clock.advance(timedelta(minutes=1))
        asked.probe()
    found = store.counts(operation_id=one.operation_id, objective="pb", start=NOW, end=clock.now(), slice_seconds=60)
    assert [(each.good, each.total) for each in found if each.total] == [(0, 1)]
    with now.transaction() as tx:
        [alert] = alerts.open_alerts(tx)
    assert (alert.identity, alert.service_name) == ("probes", "payments")
    up.add("b.example.org")
    clock.advance(timedelta(minutes=1))
    asked.probe()
    with now.transaction() as tx:
        assert alerts.open_alerts(tx) == []
    now.dispose()


def test_collectors_that_fall_silent_after_busy_hours_and_a_clickhouse_that_is_away_page_their_owner(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    """Semantics: slo.source_down."""
    text = SHOP.split("  operations:")[0] + "  sources: [otlp, clickhouse]\n"
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=text)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
    clock = VirtualClock(NOW)
    now = Database(database_url, clock=clock)
    watch = SourceWatch(now, store, 60)

    def look(by: timedelta, watch: SourceWatch = watch) -> list[str]:
        clock.advance(by)
        watch()
        with now.transaction() as tx:
            assert all(alert.service_name == "payments" for alert in alerts.open_alerts(tx))
            return sorted(alert.identity for alert in alerts.open_alerts(tx))

    covered(store, start=-300, end=-200, every=3)
    assert look(timedelta()) == look(timedelta(minutes=20)) == []  # few spans, long ago: silence is no sign
    covered(store, start=-360, end=25, every=1)
    assert look(timedelta(minutes=5)) == []
    assert look(timedelta(minutes=9)) == []
    assert look(timedelta(minutes=11)) == ["otlp"]
    covered(store, start=40, end=60, every=1)
    assert look(timedelta(minutes=5)) == []

    away = TelemetryStore("clickhouse://127.0.0.1:9/default")
    blind = SourceWatch(now, away, 60)
    assert look(timedelta(seconds=30), blind) == []
    assert look(timedelta(minutes=10), blind) == ["clickhouse"]
    with now.transaction() as tx:
        assert {one.name: one.team for one in slo.source_health(tx)} == {"clickhouse": "payments", "otlp": "payments"}
    assert look(timedelta(minutes=1)) == []
    away.close()
    now.dispose()
