"""Leaving without breaking anything: readiness off, drain, flush, and then what SIGTERM did before.

The handler is put in front of the one that was there (uvicorn's and gunicorn's included: the ASGI middleware installs
again when the server starts, because servers set theirs late), so the server's own graceful stop still runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from watchbill_sdk.health import HEALTH

log = logging.getLogger(__name__)
_LONGEST_DRAIN_SECONDS = 25.0
"""Requests in flight get this long: Kubernetes kills after 30 s by default."""

_before_exit: Callable[[], None] | None = None
_drain = 0.0


def install(*, drain: float = 0.0, before_exit: Callable[[], None] | None = None) -> None:
    """Put the handler in front, from the main thread; elsewhere signals cannot be handled and nothing is done."""
    global _before_exit, _drain
    _before_exit, _drain = before_exit, drain
    install_again()


def install_again() -> None:
    """Put the handler in front of whatever a server has installed since; once is enough, more do no harm."""
    if _before_exit is None or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.getsignal(signal.SIGTERM)
    if getattr(previous, "_watchbill", False) or previous == signal.SIG_IGN:
        return

    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        HEALTH.leave()
        if callable(previous):
            _hand_over(previous, number, frame)
        elif asked:  # drained, or somebody is impatient
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            asked = True
            threading.Thread(target=_leave_alone, args=(number,), name="watchbill-shutdown", daemon=True).start()

    handle._watchbill = True  # type: ignore[attr-defined]  # a mark on our own function
    signal.signal(signal.SIGTERM, handle)


def _hand_over(previous: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    """Let the server that was here before stop as it does, after the drain; it finishes its requests itself."""
    if _drain <= 0:
        previous(number, frame)
        return
    try:
        asyncio.get_running_loop().call_later(_drain, previous, number, None)
    except RuntimeError:
        # A sync server's handler must run on the main thread: put it back and send the signal again.
        signal.signal(number, previous)
        timer = threading.Timer(_drain, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()


def _leave_alone(number: int) -> None:
    """Nobody else handles the signal: drain and flush here, then end as the signal would have."""
    threading.Event().wait(_drain)
    if not HEALTH.drained(_LONGEST_DRAIN_SECONDS):
        log.warning("shutdown: requests were still running after %g s", _LONGEST_DRAIN_SECONDS)
    flush()
    os.kill(os.getpid(), number)


def flush() -> None:
    """Send what is waiting, within its own limit."""
    if _before_exit is not None:
        _before_exit()
