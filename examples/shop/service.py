"""What the four services share: serve HTTP, call each other, and record both as spans.

Spans follow the OpenTelemetry semantic conventions for HTTP: a SERVER span per request with
``http.request.method``, ``http.route`` and ``http.response.status_code``; a CLIENT span per call; the W3C
``traceparent`` header carries the trace from one service to the next. A 5xx answer sets the span's status to
error.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from examples.shop.telemetry import start_telemetry

MAX_BODY_BYTES = 64 * 1024


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


class Service:
    """One service: its routes (``"POST /charge"``), its version, and where its neighbours are."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        routes: Mapping[str, Route],
        tracer: Tracer,
        neighbours: Mapping[str, str],
    ) -> None:
        self.name = name
        self.version = version
        self.tracer = tracer
        self._neighbours = neighbours
        self._routes = [_route(name, handler) for name, handler in routes.items()]

    def call(
        self,
        neighbour: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        timeout_seconds: float = 2.0,
    ) -> Answer:
        """Call another service of the shop inside the current trace; its faults come back as an `Answer`."""
        url = self._neighbours[neighbour] + path
        target = urlsplit(url)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.full": url,
            "server.address": target.hostname or "",
            "server.port": target.port or 80,
            "peer.service": neighbour,
        }
        with self.tracer.start_as_current_span(method, kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers = {"Content-Type": "application/json"}
            propagate.inject(headers)
            data = json.dumps(body).encode() if body is not None else None
            answer, fault = send(method, url, data=data, headers=headers, timeout_seconds=timeout_seconds)
            if answer.status:
                span.set_attribute("http.response.status_code", answer.status)
            if answer.status == 0 or answer.status >= 400:
                span.set_attribute("error.type", fault or str(answer.status))
                span.set_status(Status(StatusCode.ERROR))
            return answer

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Find the route, run it inside a SERVER span, and answer; a route that raises is a 500."""
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and route.method == method:
                return self._handle(route, match.groupdict(), path, headers, body)
        return Answer(404, {"error": f"{self.name} has no {method} {path}"})

    def _handle(
        self, route: _Route, names: Mapping[str, str], path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        attributes: dict[str, str | int] = {
            "http.request.method": route.method,
            "http.route": route.template,
            "url.path": path,
            "url.scheme": "http",
        }
        token = context.attach(propagate.extract(headers))
        try:
            with self.tracer.start_as_current_span(
                f"{route.method} {route.template}", kind=SpanKind.SERVER, attributes=attributes
            ) as span:
                answer = self._run(route.handler, names, body, span)
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status >= 500:
                    span.set_attribute("error.type", str(answer.status))
                    span.set_status(Status(StatusCode.ERROR, str(answer.body.get("error", ""))))
                return answer
        finally:
            context.detach(token)

    def _run(self, handler: Route, path: Mapping[str, str], body: bytes, span: trace.Span) -> Answer:
        try:
            fields = json.loads(body) if body else {}
        except ValueError as error:
            return Answer(400, {"error": f"the body is not JSON: {error}"})
        if not isinstance(fields, dict):
            return Answer(400, {"error": "the body must be a JSON object"})
        try:
            return handler(self, Request(path, fields))
        except Exception as error:  # noqa: BLE001 - the edge of the service: whatever a route raises is a 500
            span.record_exception(error)
            return Answer(500, {"error": f"{type(error).__name__}: {error}"})


def send(
    method: str, url: str, *, data: bytes | None, headers: Mapping[str, str], timeout_seconds: float
) -> tuple[Answer, str | None]:
    """One HTTP request; (answer, None), or (status 0, the fault's name) when there is no answer."""
    request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            return Answer(response.status, json.loads(response.read() or b"{}")), None
    except urllib.error.HTTPError as error:
        with error:
            error.read()
        return Answer(error.code, {}), None
    except (OSError, ValueError) as error:
        return Answer(0, {}), type(error).__name__


class _Server(ThreadingHTTPServer):
    # A new version binds the port while the old one still serves, so that a release refuses nobody.
    allow_reuse_port = True
    request_queue_size = 128
    daemon_threads = False  # server_close waits for requests in flight


def _handler_class(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def _serve(self) -> None:
            if self.path == "/healthz":
                self._answer(Answer(200, {"service": service.name, "version": service.version}))
                return
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY_BYTES:
                self._answer(Answer(413, {"error": f"a body may have {MAX_BODY_BYTES} bytes"}))
                return
            body = self.rfile.read(length)
            # Header names are case-insensitive, and propagators look for lower case.
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(service.handle(self.command, urlsplit(self.path).path, headers, body))

        def _answer(self, answer: Answer) -> None:
            payload = json.dumps(answer.body).encode()
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the caller gave up waiting; its own span says so

        do_GET = do_POST = _serve  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *args: Any) -> None:
            """Spans say it already."""

    return Handler


def run_service(
    *,
    name: str,
    routes: Mapping[str, Route],
    calls: tuple[str, ...] = (),
    versions: tuple[str, ...] = ("v1",),
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight, send the last spans, and end.

    ``--port``, ``--version`` and one ``--<neighbour>-url`` for each service it calls are the arguments.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.shop.{name}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", choices=versions, default=versions[0])
    for neighbour in calls:
        parser.add_argument(f"--{neighbour}-url", required=True, dest=neighbour)
    arguments = parser.parse_args()

    provider = start_telemetry(service=name, version=arguments.version)
    service = Service(
        name=name,
        version=arguments.version,
        routes=routes,
        tracer=provider.get_tracer("examples.shop"),
        neighbours={neighbour: getattr(arguments, neighbour) for neighbour in calls},
    )
    server = _Server(("127.0.0.1", arguments.port), _handler_class(service))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="serve")
    serving.start()
    print(f"{name} {arguments.version} listens on http://127.0.0.1:{arguments.port}", flush=True)
    stop.wait()
    server.shutdown()
    serving.join()
    server.server_close()
    provider.shutdown()
