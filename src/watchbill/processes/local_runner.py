"""The runner that ``watchbill up --local-runner`` starts beside the four processes."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Literal

from watchbill.runners.agent import Agent, read_credentials
from watchbill.runtime import logging


def run_local_runner(credentials: Path, *, style: Literal["auto", "console", "json"]) -> int:
    """Work until SIGTERM or SIGINT; the exit code."""
    logging.setup("runner", style=style)
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    Agent(read_credentials(credentials), poll_seconds=0.5).run(stopping)
    return 0
