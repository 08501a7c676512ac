"""Any ASGI application: Starlette, FastAPI, Litestar, Django's ASGI, plain ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from watchbill_sdk.deadlines import deadline
from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.health import HEALTH
from watchbill_sdk.inbound import Classify, Header, Inbound, answer_for, is_stream
from watchbill_sdk.limiter import Limiter
from watchbill_sdk.primitive import Seconds

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Middleware:
    """Wrap an ASGI application. Arguments as of :class:`~watchbill_sdk.inbound.Inbound`.

    A handler that is late is cancelled, and the answer is 504 if none has begun. Websockets pass untouched.
    """

    def __init__(
        self,
        app: App,
        *,
        limiter: Limiter | None = None,
        timeout: Seconds | None = None,
        trust_headers: bool = True,
        classify: Classify | None = None,
    ) -> None:
        self.app = app
        self._rules = Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_headers, classify=classify)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self.app(scope, _on_startup(receive, self._rules), send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        health = HEALTH.answer(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if health is not None:
            await _answer(send, health[0], {"content-type": "application/json"}, health[1])
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._rules.enter(
            method=scope["method"], path=scope["path"], scheme=scope.get("scheme", "http"), header=header_of(scope)
        )
        status: int | None = None
        failure: BaseException | None = None
        stream = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                stream = is_stream(header_of(message)("content-type"))
                extra = [(name.encode(), value.encode()) for name, value in request.headers()]
                if extra:
                    message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            try:
                request.admit(enter_deadline=False)
                await _within(request.deadline, self.app(scope, receive, sending))
            except ReliabilityError as error:
                failure = error
                if status is not None:
                    raise  # half an answer is sent: only breaking the connection tells the client
                code, headers, body = answer_for(error)
                await _answer(sending, code, headers, body)
        except BaseException as error:
            failure = error
            raise
        finally:
            request.route = route_of(scope)
            request.leave(status=status, error=failure, stream=stream)


async def _within(limit: deadline | None, work: Awaitable[None]) -> None:
    if limit is None:
        await work
        return
    async with limit:
        await work


def _on_startup(receive: Receive, rules: Inbound) -> Receive:
    async def receiving() -> MutableMapping[str, Any]:
        message = await receive()
        if message["type"] == "lifespan.startup":
            rules.started()
        return message

    return receiving


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def header_of(scope: Scope) -> Header:
    """Return a reader of the headers of a request (or of an answer's start), names in any case."""
    raw = scope.get("headers", ())

    def header(name: str) -> str | None:
        wanted = name.lower().encode()
        for key, value in raw:
            if key == wanted:
                return str(value.decode("latin-1"))
        return None

    return header


def route_of(scope: Scope) -> str | None:
    """Return the route's pattern that the framework found: FastAPI, Starlette ≥ 0.x with ``route``, Litestar."""
    route = scope.get("route")
    path = getattr(route, "path", None) or scope.get("path_template")
    if isinstance(path, str):
        root = scope.get("root_path", "")
        return f"{root}{path}" if root and not path.startswith(root) else path
    return None


__all__ = ["Middleware", "header_of", "route_of"]
