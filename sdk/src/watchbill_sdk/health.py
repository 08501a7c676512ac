"""Alive, and ready: two questions that are not the same, and a server for processes that have none.

``/healthz`` answers 200 as long as the process can answer. ``/readyz`` answers 200 when every check passes and the
process is not going away, 503 otherwise; it never looks at other services' health unless you add such a check (then
one service's trouble becomes everybody's). ``/evidence`` lists the protections in use; only on the health port, which
is not for the public.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from watchbill_sdk.primitive import label
from watchbill_sdk.recorder import RECORDER

log = logging.getLogger(__name__)
Check = Callable[[], bool]
LIVE_PATH, READY_PATH, EVIDENCE_PATH = "/healthz", "/readyz", "/evidence"


class Health:
    """The state of this process. There is one, :data:`HEALTH`."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._leaving = threading.Event()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._inflight = 0

    def add_check(self, name: str, check: Check) -> None:
        """Ask this too before being ready: quick, local, True when fine; an exception is a no."""
        self._checks[label(name, "a check's name")] = check

    @property
    def leaving(self) -> bool:
        """True once shutdown has begun."""
        return self._leaving.is_set()

    def leave(self) -> None:
        """Turn readiness off for good."""
        self._leaving.set()

    def request_began(self) -> None:
        """Count a request in."""
        with self._lock:
            self._inflight += 1

    def request_ended(self) -> None:
        """Count it out."""
        with self._idle:
            self._inflight -= 1
            if self._inflight <= 0:
                self._idle.notify_all()

    def drained(self, timeout: float) -> bool:
        """Wait until nothing is in flight, at most ``timeout`` seconds; return whether it is so."""
        with self._idle:
            return self._idle.wait_for(lambda: self._inflight <= 0, timeout)

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Return the verdict and each check's ``ok`` or why not."""
        checks = {}
        for name, check in list(self._checks.items()):
            try:
                checks[name] = "ok" if check() else "failing"
            except Exception as error:  # noqa: BLE001  # a check that breaks is a check that fails, and says how
                checks[name] = f"{type(error).__name__}: {error}"[:200]
        if self.leaving:
            checks["shutdown"] = "shutting down"
        return all(value == "ok" for value in checks.values()), checks

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """Return status and JSON body for the health paths; None for every other path."""
        if path == LIVE_PATH:
            return 200, b'{"status":"alive"}'
        if path == READY_PATH:
            ready, checks = self.ready()
            body = {"status": "ready" if ready else "not ready", "checks": checks}
            return (200 if ready else 503), json.dumps(body).encode()
        return None


HEALTH = Health()


class HealthServer:
    """The health paths on a port of their own, in a daemon thread: for workers, gRPC servers and private probes."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server = ThreadingHTTPServer((host, port), _Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="watchbill-health", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        found = HEALTH.answer(path)
        if found is None and path == EVIDENCE_PATH:
            found = 200, json.dumps([asdict(line) for line in RECORDER.all_evidence()]).encode()
        status, body = found or (404, b'{"error":"not found"}')
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every second: only at debug."""
        log.debug(format, *args)
