"""Hear hints: one LISTEN connection of a process.

A hint only saves the wait for the next poll. When the connection breaks it is opened again, LISTEN
is sent again, and then everybody is told to look, because hints were missed meanwhile. The
connection goes to PostgreSQL directly: a transaction pooler would swallow LISTEN.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import psycopg
import structlog
from psycopg import sql

from watchbill.runtime import metrics
from watchbill.runtime.db import driver_url

log = structlog.get_logger("watchbill.listen")

_CHECK_STOP_SECONDS = 0.5
_RECONNECT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class Listener:
    """Calls ``heard(channel, payload)`` for each hint, on its own thread; both callables must be quick.

    Args:
        url: the database.
        channels: what to LISTEN on.
        heard: one hint.
        missed: called after each (re)connection: look at everything.
    """

    def __init__(
        self, url: str, *, channels: Sequence[str], heard: Callable[[str, str], None], missed: Callable[[], None]
    ) -> None:
        self._url = driver_url(url).replace("postgresql+psycopg://", "postgresql://", 1)
        self._channels = tuple(channels)
        self._heard = heard
        self._missed = missed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the connection and the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name="watchbill listener"
                ) as connection:
                    for channel in self._channels:
                        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    failures = 0
                    metrics.hints_connected.set(1)
                    self._missed()
                    self._hear(connection)
            except psycopg.Error as error:
                if failures == 0:
                    log.warning("not hearing hints; polling goes on", why=str(error).strip())
                self._stopping.wait(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])
                failures += 1
            finally:
                metrics.hints_connected.set(0)

    def _hear(self, connection: psycopg.Connection) -> None:
        while not self._stopping.is_set():
            for hint in connection.notifies(timeout=_CHECK_STOP_SECONDS):
                self._heard(hint.channel, hint.payload)
                if self._stopping.is_set():
                    return
