"""``/healthz`` (alive), ``/readyz`` (can do its work) and ``/metrics`` of every process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from watchbill.kernel.errors import Unavailable
from watchbill.runtime import metrics
from watchbill.runtime.db import Database

log = structlog.get_logger()

Ready = Callable[[], str | None]
"""None when ready, else one line that says what is missing."""
AsgiApp = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def can_write(db: Database) -> str | None:
    """A real write: one small message into the write-ahead log, flushed at commit.

    It needs no table, and fails where an alert would fail: no connection, a standby, a full disk.
    """
    try:
        with db.transaction() as tx:
            tx.execute(sa.text("SELECT pg_logical_emit_message(true, 'watchbill', 'ready?')"))
    except Unavailable as error:
        return error.problem.message
    return None


def answer(path: str, ready: Ready) -> tuple[int, str, bytes]:
    """Status, content type and body for one of the three paths."""
    if path == "/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.exposition()
    missing = ready() if path == "/readyz" else None
    body = {"status": "ok"} if missing is None else {"status": "unavailable", "why": missing}
    return 200 if missing is None else 503, "application/json", msgspec.json.encode(body)


def with_health(app: AsgiApp, ready: Ready) -> AsgiApp:
    """An ASGI app that answers the three paths itself and leaves the rest to ``app``.

    They run on threads of their own, so that a busy pool cannot make a live process look dead.
    """
    import anyio
    import anyio.to_thread

    limiter: list[anyio.CapacityLimiter] = []

    async def wrapped(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS:
            await app(scope, receive, send)
            return
        if not limiter:
            limiter.append(anyio.CapacityLimiter(2))
        status, kind, body = await anyio.to_thread.run_sync(answer, scope["path"], ready, limiter=limiter[0])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 503:
            headers.append((b"retry-after", b"5"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return wrapped


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A probe that hung up while it was answered is one line, not a traceback on the terminal."""
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError):
            log.debug("a probe hung up", client=str(client_address), error=str(error))
        else:
            log.error("a probe was not answered", client=str(client_address), exc_info=error)


class HealthServer:
    """The same three paths for a process that serves nothing else; standard library only."""

    def __init__(self, listener: socket, ready: Ready) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.split("?", 1)[0]
                status, kind, body = answer(path, ready) if path in _PATHS else (404, "text/plain", b"not found\n")
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Probes are not news."""

        self._server = _Server(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the socket."""
        self._server.shutdown()
        self._server.server_close()
