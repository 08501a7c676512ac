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


@pytest.fixture
def store(telemetry_folder: Path) -> Iterator[TelemetryStore]:
    """An empty store with the Collector's tables."""
    database = f"test_{uuid4().hex[:12]}"
    made = TelemetryStore(f"chdb://{telemetry_folder}?database={database}")
    made.ensure_schema(30)
    yield made
    made.engine.command(f"DROP DATABASE `{database}`")
    made.close()
