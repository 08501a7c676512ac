"""What the four services share: serve HTTP, call each other, and stay upright while something they call does not.

Each is a plain WSGI application on the standard library's server; watchbill-sdk does the rest. `watchbill_sdk.setup`
sends traces, metrics and evidence; its middleware takes over the caller's trace and deadline, sheds beyond what the
service can do, and records a SERVER span for each request; its transport makes the CLIENT spans and guards each call
with a timeout, a breaker and, where a call may be repeated, retries within a budget.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import httpx
from opentelemetry import trace

import watchbill_sdk as wb
from watchbill_sdk.integrations.httpx import Transport
from watchbill_sdk.integrations.wsgi import Middleware

MAX_BODY_BYTES = 64 * 1024
DEADLINE_SECONDS = 5.0
"""What a visitor waits at most; each service passes on what is left of it."""
LEAST_AT_ONCE = 40
"""The limit on requests in flight adapts to the latency, and never goes below this."""


@dataclass(frozen=True)
class Request:
    """One request: the values of the route's ``{names}``, and the JSON body (an empty dict without one)."""

    path: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A status and a JSON body. ``status`` 0 means that the called service could not be reached in time."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


Route = Callable[["Service", Request], Answer]
Environ = dict[str, Any]


class _Route(NamedTuple):
    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Route


def _route(name: str, handler: Route) -> _Route:
    """``POST /stock/{item}`` → its method, its path, and a pattern with a group named ``item``."""
    method, template = name.split(" ", 1)
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
    return _Route(method, template, re.compile(pattern), handler)


def dependency(name: str, timeout_seconds: float) -> wb.Dependency:
    """How the shop calls any of its services: never longer than this, not while it is down, retried within 10%."""
    again = (httpx.TransportError, wb.BadAnswer)
    return wb.Dependency(
        name,
        timeout=timeout_seconds,
        retry=wb.Retry(name, on=again, attempts=2, wait_initial=0.05, wait_jitter=0.1),
        breaker=wb.Breaker(name, failures=10, recovery=5),
    )


class Service:
    """One service: its routes (``"POST /charge"``), its version, and where its neighbours are."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        routes: Mapping[str, Route],
        neighbours: Mapping[str, tuple[str, float]],
    ) -> None:
        self.name = name
        self.version = version
        self.tracer = trace.get_tracer("examples.shop")
        self._neighbours = {
            neighbour: httpx.Client(base_url=url, transport=Transport(dependency(neighbour, timeout_seconds)))
            for neighbour, (url, timeout_seconds) in neighbours.items()
        }
        self._routes = [_route(name, handler) for name, handler in routes.items()]

    def call(self, neighbour: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Call another service of the shop inside the current trace; its faults come back as an `Answer`."""
        try:
            answer = self._neighbours[neighbour].request(method, path, json=body)
            return Answer(answer.status_code, answer.json() if answer.is_success else {})
        except (wb.ReliabilityError, httpx.TransportError, ValueError) as error:
            return Answer(0, {"error": f"{type(error).__name__}: {error}"})

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI: find the route and answer; a route that raises is a 500."""
        answer = self._handle(environ)
        payload = json.dumps(answer.body).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(payload)))]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [payload]

    def _handle(self, environ: Environ) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_BODY_BYTES:
            return Answer(413, {"error": f"a body may have {MAX_BODY_BYTES} bytes"})
        body = environ["wsgi.input"].read(length)
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and route.method == method:
                environ["shop.route"] = route.template
                return self._run(route.handler, match.groupdict(), body)
        return Answer(404, {"error": f"{self.name} has no {method} {path}"})

    def _run(self, handler: Route, path: Mapping[str, str], body: bytes) -> Answer:
        try:
            fields = json.loads(body) if body else {}
        except ValueError as error:
            return Answer(400, {"error": f"the body is not JSON: {error}"})
        if not isinstance(fields, dict):
            return Answer(400, {"error": "the body must be a JSON object"})
        try:
            return handler(self, Request(path, fields))
        except Exception as error:  # noqa: BLE001 - the edge of the service: whatever a route raises is a 500
            trace.get_current_span().record_exception(error)
            return Answer(500, {"error": f"{type(error).__name__}: {error}"})

    def close(self) -> None:
        """Let go of the connections."""
        for client in self._neighbours.values():
            client.close()


class _Server(ThreadingMixIn, WSGIServer):
    # A new version binds the port while the old one still serves, so that a release refuses nobody.
    allow_reuse_port = True
    request_queue_size = 128
    daemon_threads = False  # server_close waits for requests in flight


class _Handler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Spans say it already."""


def run_service(
    *,
    name: str,
    routes: Mapping[str, Route],
    calls: Mapping[str, float] | None = None,
    versions: tuple[str, ...] = ("v1",),
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight, send the last spans, and end.

    ``calls`` are the services it calls, with the seconds that it waits for one. ``--port``, ``--version`` and one
    ``--<neighbour>-url`` for each service it calls are the arguments.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.shop.{name}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", choices=versions, default=versions[0])
    for neighbour in calls or ():
        parser.add_argument(f"--{neighbour}-url", required=True, dest=neighbour)
    arguments = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    started = wb.setup(name, version=arguments.version, environment=os.environ.get("SHOP_ENVIRONMENT"))
    service = Service(
        name=name,
        version=arguments.version,
        routes=routes,
        neighbours={neighbour: (getattr(arguments, neighbour), wait) for neighbour, wait in (calls or {}).items()},
    )
    guarded = Middleware(
        service,
        limiter=wb.Limiter(name, wb.Gradient2(estimate=LEAST_AT_ONCE, least=LEAST_AT_ONCE)),
        timeout=DEADLINE_SECONDS,
        route=lambda environ: environ.get("shop.route"),
    )

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/healthz":
            return guarded(environ, start_response)
        # The shop's deployer asks which version serves.
        start_response("200 OK", [("content-type", "application/json")])
        return [json.dumps({"service": name, "version": service.version}).encode()]

    server = _Server(("127.0.0.1", arguments.port), _Handler)
    server.set_app(app)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="serve")
    serving.start()
    print(f"{name} {arguments.version} listens on http://127.0.0.1:{arguments.port}", flush=True)
    stop.wait()
    server.shutdown()
    serving.join()
    server.server_close()
    service.close()
    started.flush()
