"""Any WSGI application: Flask, Django's WSGI, plain ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.health import HEALTH
from watchbill_sdk.inbound import Classify, Header, Inbound, Request, answer_for, is_stream
from watchbill_sdk.limiter import Limiter
from watchbill_sdk.primitive import Seconds

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class Middleware:
    """Wrap a WSGI application. Arguments as of :class:`~watchbill_sdk.inbound.Inbound`.

    A thread cannot be cancelled: a late handler ends by itself, held to its deadline by the clients it uses. A server
    of few threads queues before this middleware sees a request, so a limiter only helps below the number of threads.
    """

    def __init__(
        self,
        app: App,
        *,
        limiter: Limiter | None = None,
        timeout: Seconds | None = None,
        trust_headers: bool = True,
        classify: Classify | None = None,
        route: Callable[[Environ], str | None] = lambda _: None,
    ) -> None:
        self.app = app
        self._route = route
        self._rules = Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_headers, classify=classify)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        health = HEALTH.answer(path) if method in ("GET", "HEAD") else None
        if health is not None:
            return _answer(start_response, health[0], {"content-type": "application/json"}, health[1])
        request = self._rules.enter(
            method=method, path=path, scheme=environ.get("wsgi.url_scheme", "http"), header=header_of(environ)
        )
        status: int | None = None
        stream = False

        def starting(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status, stream
            status = int(line.split(" ", 1)[0])
            stream = any(name.lower() == "content-type" and is_stream(value) for name, value in headers)
            return start_response(line, [*headers, *request.headers()], *rest)

        body: Iterable[bytes] = ()
        try:
            request.admit()
            body = self.app(environ, starting)
        except ReliabilityError as error:
            code, answer_headers, text = answer_for(error)
            found = _answer(starting, code, answer_headers, text)
            request.leave(status=code, error=error)
            return found
        except BaseException as error:
            request.leave(status=500, error=error)
            raise
        return _Body(body, lambda error: self._end(request, environ, status, error, stream))

    def _end(
        self, request: Request, environ: Environ, status: int | None, error: BaseException | None, stream: bool
    ) -> None:
        request.route = self._route(environ)
        request.leave(status=status, error=error, stream=stream)


class _Body:
    """The answer's body; the request ends when the server closes it, as WSGI demands it must."""

    def __init__(self, body: Iterable[bytes], end: Callable[[BaseException | None], None]) -> None:
        self._body, self._end = body, end
        self._error: BaseException | None = None
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as error:
            self._error = error
            raise

    def close(self) -> None:
        """End the request, once."""
        if not self._open:
            return
        self._open = False
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._end(self._error)


def _answer(start_response: StartResponse, status: int, headers: dict[str, str], body: bytes) -> list[bytes]:
    line = f"{status} {HTTPStatus(status).phrase}"
    start_response(line, [*headers.items(), ("content-length", str(len(body)))])
    return [body]


def header_of(environ: Environ) -> Header:
    """Return a reader of the request's headers."""

    def header(name: str) -> str | None:
        found = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return found if isinstance(found, str) else None

    return header
