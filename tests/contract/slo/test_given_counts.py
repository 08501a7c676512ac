"""Counts from a real Prometheus, from probes and from whoever sends them, in the real engine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from tests.serving import nothing, serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import alerts, identity, slo
from watchbill.features.slo import store as slo_store
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.slo.metrics import MetricCounter
from watchbill.features.slo.probes import Prober
from watchbill.features.slo.prometheus import PrometheusPuller, servers_of
from watchbill.features.slo.sources import DOWN_FOR
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.observer import asks
from watchbill.processes.questions import Questions
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.signing import Signer

KEY = "k" * 40
NOW = int(time.time()) // 60 * 60
MINUTES = 90
SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org], fallback: true}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: payments
  operations:
    - name: charge card
      objectives:
"""


def objective(db: Database, *lines: str) -> slo.Slo:
    """payments with one objective of these lines; the others are retired."""
    text = (
        SHOP
        + "        - name: availability\n          target: 99.9\n"
        + "".join(f"          {line}\n" for line in lines)
    )
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=text)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        [view] = slo.slos(tx)
    return view.slo


def counts(store: TelemetryStore, one: slo.Slo, *, minutes: int = MINUTES + 5) -> list[tuple[int, int]]:
    """(good, total) of each measured minute, oldest first."""
    found = store.counts(
        operation_id=one.operation_id,
        objective=one.name,
        start=datetime.fromtimestamp(NOW - 60 * minutes, UTC),
        end=datetime.fromtimestamp(NOW, UTC),
        slice_seconds=60,
    )
    return [(round(count.good), round(count.total)) for count in found if count.total]


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus that scraped, every 15 s, 10 requests a second of which one fails from the 60th minute on."""
    binary, tool = shutil.which("prometheus"), shutil.which("promtool")
    if binary is None or tool is None:
        pytest.skip("Prometheus is not installed: `apt-get install prometheus`")
    lines = ["# TYPE requests counter"]
    start = NOW - 60 * MINUTES
    for kind in ("good", "bad"):
        for at in range(start, NOW, 15):
            bad = max(0, at - (NOW - 60 * 30))
            if kind == "bad" and bad == 0:
                continue  # the error series is born with its first error
            lines.append(
                f'requests_total{{outcome="{kind}"}} {10 * (at - start) - bad if kind == "good" else bad} {at}'
            )
    for at in range(start, NOW, 15):  # as Prometheus 3 writes the bound of a histogram
        lines.append(f'quick_total{{le="1.0"}} {9 * (at - start)} {at}')
    (folder / "history").write_text("\n".join([*lines, "# EOF", ""]))
    subprocess.run(
        [tool, "tsdb", "create-blocks-from", "openmetrics", "history", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [
            *(binary, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                if httpx.get(f"http://{address}/-/ready").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(10)


def test_a_real_prometheus_is_read_minute_by_minute_and_judged(
    store: TelemetryStore, database_url: str, db: Database, tmp_path: Path
) -> None:
    one = objective(
        db,
        "prometheus:",
        '  total: "sum(increase(requests_total[$window]))"',
        "  bad: \"sum(increase(requests_total{outcome='bad'}[$window]))\"",
    )
    now = Database(database_url, clock=VirtualClock(datetime.fromtimestamp(NOW, UTC)))
    with prometheus(tmp_path) as url:
        puller = PrometheusPuller(db=now, sink=store, servers=servers_of(url), slice_seconds=60)
        puller.pull()
        found = counts(store, one)
        assert len(found) >= MINUTES - 2
        assert found[10] == (600, 600), "no error series yet is no error"
        assert [round(total - good, -1) for good, total in found[-10:-2]] == [60] * 8
        evaluator = Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test")
        evaluator.evaluate_once()
        with now.transaction() as tx:
            state = slo.states(tx)[one.id]
        assert (state.state, state.tier) == ("firing", "page"), state.reason

        puller.stop()
        bounded = objective(
            db,
            "prometheus:",
            '  total: "sum(increase(requests_total[$window]))"',
            "  good: 'sum(increase(quick_total{le=\"1\"}[$window]))'",
        )
        puller = PrometheusPuller(db=now, sink=store, servers=servers_of(url), slice_seconds=60)
        puller.pull()
        assert bounded.id == one.id
        assert counts(store, bounded)[10] == (540, 600), "le=1 finds the 1.0 of newer servers"
        store.engine.command("TRUNCATE TABLE watchbill_sli_counts")
        objective(
            db,
            "prometheus:",
            '  total: "sum(increase(requests_total[$window])) / (0 * sum(increase(requests_total[$window])))"',
            '  good: "sum(increase(requests_total[$window])) * (0 / 0)"',
        )
        puller.stop()
        puller = PrometheusPuller(db=now, sink=store, servers=servers_of(url), slice_seconds=60)
        puller.pull()
        assert counts(store, one) == [], "infinity and NaN are no counts"

        nothing_matches = objective(
            db,
            "prometheus:",
            '  total: "sum(increase(nothing_total[$window]))"',
            '  good: "sum(increase(no[$window]))"',
        )
        puller.pull()
        assert nothing_matches.id == one.id
        puller.stop()
    now.dispose()


def test_a_selector_that_matches_nothing_is_unmeasured_and_a_source_that_is_away_pages(
    store: TelemetryStore, database_url: str, db: Database, tmp_path: Path
) -> None:
    one = objective(
        db, "prometheus:", '  total: "sum(increase(no_total[$window]))"', '  good: "sum(increase(no[$window]))"'
    )
    owner = SHOP.split("---")[1].split("operations:", maxsplit=1)[0].replace("name: payments", "name: prometheus")
    with db.transaction() as tx:
        files = [File(path="prometheus.yaml", text=f'{owner}sources: ["prometheus:default"]\n')]
        apply_files(tx, files=files, options=Options(source="platform"), actor=ledger.system("test"))
    clock = VirtualClock(datetime.fromtimestamp(NOW, UTC))
    now = Database(database_url, clock=clock)
    with prometheus(tmp_path) as url:
        puller = PrometheusPuller(db=now, sink=store, servers=servers_of(f"default={url}"), slice_seconds=60)
        puller.pull()
        Evaluator(db=now, source=store, slice_seconds=60, base_url="http://watchbill.test").evaluate_once()
        with now.transaction() as tx:
            assert slo.states(tx)[one.id].state == "unmeasured"
    for _ in range(2):  # another puller each time: a restart of ours does not begin the wait anew
        puller.stop()
        puller = PrometheusPuller(db=now, sink=store, servers=servers_of(f"default={url}"), slice_seconds=60)
        puller.pull()
        clock.advance(DOWN_FOR)
    with now.transaction() as tx:
        [alert] = alerts.open_alerts(tx)
        [down] = [one for one in slo.source_problems(tx, embedded=True) if one.code == "slo.source_down"]
    assert alert.title == "Prometheus 'default' does not answer Watchbill"
    assert alert.service_name == "prometheus"
    assert down.hint == "its owner is prometheus (payments)"
    puller.stop()
    now.dispose()


def test_a_probe_counts_one_event_a_slice_and_an_address_that_is_refused_is_a_failure(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    clock = VirtualClock(datetime.fromtimestamp(NOW - 120, UTC))
    now = Database(database_url, clock=clock)
    with serving(nothing, lifespan="off") as url:
        one = objective(db, f'probe: {{url: "{url}/", status: 404}}')
        for allow in (True, True, False):  # the second look is in the same minute
            http = HttpOut(allow_private=allow)
            Prober(db=now, sink=store, get=asks(http), slice_seconds=60).probe()
            http.close()
            clock.advance(timedelta(seconds=59 if allow else 61))
    assert counts(store, one) == [(1, 1), (0, 1)]
    now.dispose()


def test_counts_are_sent_again_and_again_and_stand_once(
    store: TelemetryStore, database_url: str, db: Database, tmp_path: Path
) -> None:
    one = objective(db, "pushed: true")
    with db.transaction() as tx:
        _, secret = identity.create_token(tx, name="ci", role="admin", actor=ledger.system("test"))
    with serving(Questions(store, Signer([KEY]), other=nothing), lifespan="off") as observer:
        settings = Settings(home=tmp_path, database_url=database_url, secret_key=KEY, observer_url=observer)
        lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
        with TestClient(create_app(settings=settings, lanes=lanes)) as client:
            client.headers["authorization"] = f"Bearer {secret}"

            def send(*slices: dict[str, Any]) -> int:
                return client.post(f"/api/v1/slos/{one.id}/counts", json={"slices": list(slices)}).status_code

            at = datetime.fromtimestamp(NOW - 300, UTC).isoformat()
            later = datetime.fromtimestamp(NOW - 230, UTC).isoformat()
            assert send({"at": at, "total": 10, "bad": 4}, {"at": later, "total": 5, "good": 5}) == 200
            assert send({"at": at, "total": 12, "bad": 3}) == 200
            assert counts(store, one) == [(9, 12), (5, 5)]
            quiet = datetime.fromtimestamp(NOW - 180, UTC)
            assert send({"at": quiet.isoformat(), "total": 0, "good": 0}) == 200
            period = {"from": at, "to": (quiet + timedelta(minutes=2)).isoformat()}
            others = [datetime.fromtimestamp(NOW - 60 * back, UTC) for back in range(10)]  # they measure nothing of it
            columns = ["slice", "slice_seconds", "service_name", "spans", "version"]
            store.engine.write_rows(
                "watchbill_sli_coverage", columns, [others, [60] * 10, ["shop"] * 10, [9] * 10, [1] * 10]
            )
            read = client.get(f"/api/v1/slos/{one.id}/counts", params=period).json()
            assert (read["offsets"], read["total"], read["unmeasured"]) == ([0, 1], [12, 5], [[3, 4]])
            assert send({"at": at, "total": 1, "good": 2}) == 400
            assert send({"at": at, "total": 1}) == 400
            assert send({"at": at, "total": -1, "bad": 0}) == 400
            assert send({"at": at, "total": 1e300, "bad": 0}) == 400
            assert send({"at": "1901-01-01T00:00:00Z", "total": 1, "bad": 0}) == 400
            assert send({"at": at[:-6], "total": 1, "bad": 0}) == 400, "no offset"
            assert counts(store, one) == [(9, 12), (5, 5)], "what is refused changes nothing"
            assert send({"at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "total": 1, "good": 1}) == 400
            objective(db)  # measured by spans again
            assert send({"at": at, "total": 1, "good": 1}) == 409
        lanes.close()
    with db.transaction() as tx:
        assert [slo.measure for slo in slo_store.live_slos(tx)] == [None]


def test_counters_sent_by_otlp_are_counted_and_late_ones_correct_the_past(db: Database, store: TelemetryStore) -> None:
    from tests.contract.telemetry.test_counter_counts import MINUTE, sums

    one = objective(db, "metric:", "  total: {name: orders}", "  bad: {name: orders, where: {outcome: [failed]}}")
    counter = MetricCounter(db=db, source=store, slice_seconds=60, back=timedelta(hours=3))
    assert counter.step() == 0
    assert counts(store, one) == [], "no series is unmeasured"
    at = round(NOW - MINUTE.timestamp()) - 600
    start = at - 60
    store.insert_metrics([sums((at, 5), (at + 120, 9), start=start)])
    counter.step()
    assert counts(store, one) == [(5, 5), (2, 2), (2, 2)], "a missing counter of errors is no errors"
    store.insert_metrics([sums((at + 60, 5), start=start), sums((at + 120, 1), start=at + 60, outcome="failed")])
    counter.step()
    assert counts(store, one) == [(5, 5), (4, 5)], "minutes without events are measured and not listed here"
