"""aiohttp, both sides: ``install(app)`` and ``ClientSession(middlewares=[client(payments)])``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import aiohttp
from aiohttp import web
from opentelemetry.trace import Span

from watchbill_sdk.clients import Call, guarding
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.health import HEALTH
from watchbill_sdk.inbound import Classify, Inbound, Request, answer_for, is_stream
from watchbill_sdk.limiter import Limiter
from watchbill_sdk.outbound import add_headers
from watchbill_sdk.primitive import Seconds

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def install(
    app: web.Application,
    *,
    limiter: Limiter | None = None,
    timeout: Seconds | None = None,
    trust_headers: bool = True,
    classify: Classify | None = None,
) -> None:
    """Put the rules of :class:`~watchbill_sdk.inbound.Inbound` around every handler of an application."""
    rules = Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_headers, classify=classify)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        health = HEALTH.answer(request.path) if request.method in ("GET", "HEAD") else None
        if health is not None:
            return web.Response(status=health[0], body=health[1], content_type="application/json")
        return await _serve(rules, request, handler)

    async def started(_: web.Application) -> None:
        rules.started()

    async def add_degraded(_: web.Request, answer: web.StreamResponse) -> None:
        entered = _entered.get()
        if entered is not None:
            for name, value in entered.headers():
                answer.headers[name] = value

    app.middlewares.insert(0, middleware)
    app.on_startup.append(started)
    app.on_response_prepare.append(add_degraded)


_entered: ContextVar[Request | None] = ContextVar("watchbill_aiohttp_request", default=None)
"""The request in progress, for answers whose head is sent while the handler still runs."""


async def _serve(rules: Inbound, request: web.Request, handler: Handler) -> web.StreamResponse:
    entered = rules.enter(method=request.method, path=request.path, scheme=request.scheme, header=request.headers.get)
    token = _entered.set(entered)
    resource = request.match_info.route.resource
    entered.route = resource.canonical if resource is not None else None
    status: int | None = None
    stream = False
    failure: BaseException | None = None
    try:
        entered.admit(enter_deadline=False)
        if entered.deadline is None:
            answer = await handler(request)
        else:
            async with entered.deadline:
                answer = await handler(request)
        status, stream = answer.status, is_stream(answer.content_type)
    except web.HTTPException as error:
        status = error.status
        for name, value in entered.headers():
            error.headers[name] = value
        raise
    except ReliabilityError as error:
        failure = error
        status, headers, body = answer_for(error)
        answer = web.Response(status=status, headers=headers, body=body)
    except BaseException as error:
        failure = error
        raise
    else:
        if not answer.prepared:
            for name, value in entered.headers():
                answer.headers[name] = value
    finally:
        _entered.reset(token)
        entered.leave(status=status, error=failure, stream=stream)
    return answer


def client(dependency: Dependency) -> aiohttp.ClientMiddlewareType:
    """Return a client middleware with the protections of a dependency.

    Raises:
        ConfigError: the dependency has a fallback.
    """
    guarding(dependency)

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        call: Call[aiohttp.ClientResponse] = Call(
            dependency, method=request.method, url=str(request.url), host=request.url.host or ""
        )

        async def send(span: Span) -> aiohttp.ClientResponse:
            add_headers(request.headers)
            answer = await handler(request)
            return call.judge(span, answer, answer.status, answer.headers.get)

        async def discard(answer: aiohttp.ClientResponse) -> None:
            answer.release()

        return await call.run_async(send, discard)

    return middleware
