"""Run one process from its plan: wait for the database, serve, stop on a signal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from watchbill.kernel.errors import SetupError, Unavailable
from watchbill.processes import compose, health, plans, sockets
from watchbill.processes.plans import SUPERVISOR
from watchbill.runtime import config, logging, metrics, migrate
from watchbill.runtime.config import Settings
from watchbill.runtime.loops import LoopGroup

_STOP_SECONDS = 3.0

log = structlog.get_logger("watchbill.process")


def run_process(name: str, settings: Settings) -> None:
    """Run ``server``, ``pager``, ``observer`` or ``worker`` until SIGTERM or SIGINT.

    Raises:
        SetupError: it cannot start here.
    """
    plan = plans.plan_of(name)
    # Threads here mostly wait for PostgreSQL. With Python's default of 5 ms one that computes keeps each
    # of them waiting that long after every answer, some twenty times on the way of one page.
    sys.setswitchinterval(0.0005)
    logging.setup(name, style=settings.log_format, level=settings.log_level)
    for unknown in config.unknown_variables():
        log.warning("unknown setting; a typing error?", variable=unknown)
    stopping = threading.Event()
    _stop_on_signals(stopping)
    listener = sockets.inherited() or _bind(plan, settings)
    context = compose.Context(plan, settings, compose.database_url_of(settings))
    parts = compose.build(context)  # the database may well be migrated meanwhile
    if not _await_schema(context.database_url, stopping):
        context.close()
        return
    first = context.database(next(iter(plan.pools)))
    metrics.watch_backlog(first)

    def ready() -> str | None:
        return health.can_write(first) or (parts.ready() if parts.ready is not None else None)

    group = LoopGroup(parts.loops, listen_url=context.database_url if parts.loops else None)
    for background in parts.background:
        background.start()
    group.start()
    try:
        if plan.port is None:
            _serve_health(plan, settings, listener, ready, stopping)
        else:
            _serve_app(health.with_health(parts.app, ready), listener, stopping, parts.on_stop)
    finally:
        busy = group.stop(_STOP_SECONDS)
        if busy:
            log.warning("loops still busy at the end; their rows come back when the leases expire", loops=busy)
        for background in parts.background:
            background.stop()
        context.close()


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _bind(plan: plans.ProcessPlan, settings: Settings) -> socket.socket:
    if plan.port is not None:
        return sockets.bind(settings.host, getattr(settings, plan.port), setting=config.variable(plan.port))
    port = plan.health_port if settings.health_port is None else settings.health_port
    return sockets.bind(settings.host, port, setting="WATCHBILL_HEALTH_PORT")


def _await_schema(url: str, stopping: threading.Event) -> bool:
    """Wait for the database as long as it takes; False when told to stop meanwhile."""
    said = 0.0
    while not stopping.is_set():
        try:
            migrate.require_schema(url)
            return True
        except SetupError:
            if not os.environ.get(SUPERVISOR):
                raise
            stopping.wait(0.1)  # the supervisor is migrating right now
        except Unavailable as error:
            if time.monotonic() - said > 10:
                log.warning("waiting for the database", why=error.problem.message)
                said = time.monotonic()
            stopping.wait(0.5)
    return False


def _serve_health(
    plan: plans.ProcessPlan,
    settings: Settings,
    listener: socket.socket,
    ready: health.Ready,
    stopping: threading.Event,
) -> None:
    server = health.HealthServer(listener, ready)
    server.start()
    note = _note_address(settings.home, plan.name, sockets.address_of(listener))
    log.info("running", duty=plan.duty, health=sockets.address_of(listener))
    stopping.wait()
    server.stop()
    if note is not None:
        note.unlink(missing_ok=True)


def _note_address(home: Path, name: str, address: str) -> Path | None:
    """Under a supervisor, ``<home>/run/<process>.url`` says where health and metrics are."""
    if not os.environ.get(SUPERVISOR):
        return None
    note = home / "run" / f"{name}.url"
    note.write_text(address + "\n")
    return note


def _serve_app(
    app: Any, listener: socket.socket, stopping: threading.Event, on_stop: Callable[[], None] | None
) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if on_stop is not None:
                on_stop()
            super().handle_exit(sig, frame)

    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            backlog=1024,
        )
    )
    if stopping.is_set():
        return
    log.info("listening", url=sockets.address_of(listener))
    # uvicorn catches the signals itself while it serves and raises them again at its end, for our handler.
    server.run(sockets=[listener])
