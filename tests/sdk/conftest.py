"""What the SDK keeps for a whole process is put back after each test."""

from __future__ import annotations

import importlib
import logging
import signal
from collections.abc import Iterator

import pytest

from watchbill_sdk import CHAOS, HEALTH, RECORDER, switches


@pytest.fixture(autouse=True)
def _process_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    module = importlib.import_module("watchbill_sdk.setup")
    monkeypatch.setattr(module, "_current", None)
    monkeypatch.setattr("atexit.register", lambda function: function)
    monkeypatch.setattr(CHAOS, "service", "")
    RECORDER.start_again()
    RECORDER._evidence.clear()
    RECORDER._sources.clear()
    handler, factory = signal.getsignal(signal.SIGTERM), logging.getLogRecordFactory()
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.setLogRecordFactory(factory)
    CHAOS.disarm()
    switches.set_polled({})
    HEALTH._checks.clear()
    HEALTH._leaving.clear()
