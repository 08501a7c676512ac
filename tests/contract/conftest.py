"""A real embedded ClickHouse: one folder for each test process, a database of its own for each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from watchbill.features.telemetry import TelemetryStore

NOW_NS = time.time_ns()


@pytest.fixture(scope="session")
def telemetry_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("telemetry")
    keeper = TelemetryStore(f"chdb://{folder}")
    keeper.ping()
    yield folder
    keeper.close()


@pytest.fixture(scope="session")
def _telemetry_url(telemetry_folder: Path) -> Iterator[str]:
    """A database with the Collector's tables: making them takes as long as a test, emptying them does not."""
    url = f"chdb://{telemetry_folder}?database=test_{uuid4().hex[:12]}"
    made = TelemetryStore(url)
    made.ensure_schema(30)
    yield url
    made.close()


@pytest.fixture
def store(_telemetry_url: str) -> Iterator[TelemetryStore]:
    """An empty store with the Collector's tables, which knows nothing of earlier ones."""
    made = TelemetryStore(_telemetry_url)
    made.ensure_schema(30)
    filled = "SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0"
    for (table,) in made.engine.rows(filled):
        made.engine.command(f"TRUNCATE TABLE `{table}`")
    yield made
    made.close()
