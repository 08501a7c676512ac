"""How long until it can take an alert, what it costs when idle, and how quickly help appears."""

from __future__ import annotations

import subprocess
import sys
import time

from bench._stack import running
from bench.results import Result

NAMES = ("start_ready", "idle_memory", "help_time")


def run() -> list[Result]:
    """Two starts of a fresh home (a cold file cache is not ours to measure), then ten seconds of idling."""
    with running():
        pass
    with running() as stack:
        time.sleep(10)
        memory = stack.memory_mb()
        ready = stack.ready_seconds
    helps = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "watchbill.cli.app", "--help"], check=True, capture_output=True)
        helps.append(time.perf_counter() - began)
    return [
        Result(name="start_ready", value=ready, unit="s", better="lower", limit="start to ready", limit_value=6),
        Result(
            name="idle_memory", value=memory, unit="MB", better="lower", limit="all processes, PSS", limit_value=800
        ),
        Result(
            name="help_time",
            value=sorted(helps)[2] * 1000,
            unit="ms",
            better="lower",
            limit="watchbill --help, median of 5",
            limit_value=300,
        ),
    ]
