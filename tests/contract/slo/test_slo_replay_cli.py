"""``watchbill slo replay`` and ``propose`` over counts in the real engine, through the real API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.serving import nothing, serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import catalog, identity
from watchbill.features.telemetry import GetCounts, TelemetryStore, asking
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.questions import Questions
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer

KEY = "k" * 40
NOW = int(time.time()) // 60 * 60
MINUTES = 3 * 1440
SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: payments
  operations:
    - name: charge card
      match: {route: "POST /charge"}
      objectives: [{name: availability, target: 99.9, window: 30d}]
"""


@pytest.fixture
def cli(store: TelemetryStore, database_url: str, db: Database, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """The command line, against an API whose observer has three days of counts: one outage, one gap."""
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        [operation] = catalog.operations(tx)
        _, secret = identity.create_token(tx, name="cli", role="viewer", actor=ledger.system("test"))
    fill(store, operation.id)
    with serving(Questions(store, Signer([KEY]), other=nothing), lifespan="off") as observer:
        settings = Settings(home=tmp_path, database_url=database_url, secret_key=KEY, observer_url=observer)
        lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
        with serving(create_app(settings=settings, lanes=lanes)) as url:

            def call(*arguments: str) -> Any:
                done = subprocess.run(
                    [sys.executable, "-m", "watchbill.cli.app", *arguments, "--json"],
                    env={**os.environ, "WATCHBILL_URL": url, "WATCHBILL_TOKEN": secret},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                return json.loads(done.stdout)

            yield call
        lanes.close()


def fill(store: TelemetryStore, operation_id: Any) -> None:
    """1,000 events a minute; half of them fail for 20 minutes a day ago; nobody reported for an hour before that."""
    starts = [NOW - 60 * back for back in range(MINUTES, 0, -1)]
    heard = [at for at in starts if not NOW - 2 * 86_400 <= at < NOW - 2 * 86_400 + 3600]
    failing = range(NOW - 86_400, NOW - 86_400 + 20 * 60)
    store.engine.write_rows(
        "watchbill_sli_counts",
        ["operation_id", "objective", "slice", "slice_seconds", "good", "total", "measured", "reason", "version"],
        [
            [operation_id] * len(heard),
            ["availability"] * len(heard),
            [datetime.fromtimestamp(at, UTC) for at in heard],
            [60] * len(heard),
            [500.0 if at in failing else 1000.0 for at in heard],
            [1000.0] * len(heard),
            [1] * len(heard),
            [""] * len(heard),
            [1] * len(heard),
        ],
    )
    store.engine.write_rows(
        "watchbill_sli_coverage",
        ["slice", "slice_seconds", "service_name", "spans", "version"],
        [
            [datetime.fromtimestamp(at, UTC) for at in heard],
            [60] * len(heard),
            ["payments"] * len(heard),
            [1000] * len(heard),
            [1] * len(heard),
        ],
    )
    found = asking.answer(
        store.engine,
        GetCounts(
            operation_id=operation_id,
            objective="availability",
            start_at=datetime.fromtimestamp(NOW - 2 * 86_400 - 120, UTC),
            end_at=datetime.fromtimestamp(NOW - 2 * 86_400 + 3720, UTC),
            slice_seconds=60,
        ),
    )
    assert (found.offsets, found.unmeasured) == ([0, 1, 62, 63], [(2, 62)])


def test_history_says_what_would_have_paged_and_what_can_be_promised(cli: Callable[..., Any]) -> None:
    [result] = cli("slo", "replay", "payments", "--since", "3d", "--target", "99")
    assert result["slo"] == "payments/charge card/availability"
    assert result["today"]["pages"] == 1
    [page] = [alert for alert in result["today"]["alerts"] if alert["tier"] == "page"]
    assert page["detected_after_seconds"] <= 180, "half of all failing burns 500 times too fast"
    assert page["onset_at"] == datetime.fromtimestamp(NOW - 86_400, UTC).isoformat().replace("+00:00", "Z")
    assert result["today"]["precision"] == 0.0, "nobody declared an incident"
    assert result["today"]["recall"] is None
    assert result["proposed"]["pages"] == 1
    assert result["proposed"]["alerts"][0]["detected_after_seconds"] > page["detected_after_seconds"]
    [proposal] = cli("slo", "propose", "payments", "--since", "3d")
    assert proposal["proposed"] == "99.5", "10,000 of 4.26 million failed: 0.23 %"
    assert "would have spent 47 %" in proposal["why"]
