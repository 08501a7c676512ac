"""Demand from a real Prometheus: each hour's mean and busiest minute, and the reason where there is none."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from watchbill.features import capacity, catalog, identity
from watchbill.features.capacity.prometheus import DemandPuller
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

_PEAK = sa.text(
    "SELECT peak[12] FROM capacity_day WHERE service_id = :service AND kind = 'concurrency'"
    " ORDER BY day_at DESC LIMIT 1"
)
MIDNIGHT = int(time.time()) // 86_400 * 86_400
DAYS = 2
SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: shop}
spec: {members: [alice@example.org], fallback: true}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: store}
spec:
  owner: shop
  capacity:
    replicas: 4
    prometheus:
      rate: sum(rate(requests_total[5m]))
      concurrency: sum(active_requests)
      saturation: "requests_total / nothing_there"
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: stock}
spec:
  owner: shop
  capacity: {prometheus: {concurrency: active_requests, saturation: "sum(active_requests"}}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: mail}
spec:
  owner: shop
  capacity: {prometheus: {server: other, saturation: "sum(active_requests)"}}
"""


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus that knows two days: 5 requests a second, and of two instances 10 requests at once, 30 for five
    minutes at the end of each hour."""
    binary, tool = shutil.which("prometheus"), shutil.which("promtool")
    if binary is None or tool is None:
        pytest.skip("Prometheus is not installed: `apt-get install prometheus`")
    start = MIDNIGHT - DAYS * 86_400
    times = range(start, MIDNIGHT + 60, 60)
    lines = ["# TYPE requests counter", *(f"requests_total {5 * (at - start)} {at}" for at in times)]
    lines.append("# TYPE active_requests gauge")
    for instance in "ab":
        lines += [
            f'active_requests{{instance="{instance}"}} {15 if at % 3600 > 3300 else 5} {at}' for at in times
        ]
    (folder / "history").write_text("\n".join([*lines, "# EOF", ""]))
    made = [tool, "tsdb", "create-blocks-from", "openmetrics", "history", "data"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
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


def test_each_hour_is_read_and_a_query_that_answers_nothing_says_so(
    database_url: str, tmp_path: Path
) -> None:
    now = Database(database_url, clock=VirtualClock(datetime.fromtimestamp(MIDNIGHT + 600, UTC)))
    with now.transaction() as tx:
        identity.ensure_person(tx, login="alice@example.org", name="Alice")
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
    with prometheus(tmp_path) as url:
        puller = DemandPuller(db=now, servers={"default": url})
        puller.pull()
        puller.pull()  # what answered today is not asked again
        puller.stop()
    begun = datetime.fromtimestamp(MIDNIGHT, UTC) - timedelta(days=DAYS)
    with now.transaction() as tx:
        store, stock, mail = (catalog.service_by_name(tx, name=name) for name in ("store", "stock", "mail"))
        assert store is not None
        assert stock is not None
        assert mail is not None
        rates = dict(capacity.history(tx, service_id=store.id, operation="", since=begun))
        at_once = dict(capacity.history(tx, service_id=store.id, operation="", since=begun, kind="concurrency"))
        refused = {
            (one.service_id, one.kind): one.refused
            for one in capacity.forecasts(tx, service_ids=[store.id, stock.id, mail.id])
        }
        peak = tx.execute(_PEAK, {"service": store.id}).scalar()
    assert rates[begun + timedelta(hours=20)] == pytest.approx(5, rel=0.02)
    noon = at_once[begun + timedelta(hours=36)]
    assert noon is not None
    assert math.isclose(noon, (10 * 55 + 30 * 5) / 60, rel_tol=0.05)
    assert peak == 30, "the busiest minute, not the mean"
    assert "has no value" in (refused[store.id, "saturation"] or "")
    assert "2 series" in (refused[stock.id, "concurrency"] or "")
    assert "parse error" in (refused[stock.id, "saturation"] or "")
    assert "no Prometheus 'other'" in (refused[mail.id, "saturation"] or "")
    now.dispose()
