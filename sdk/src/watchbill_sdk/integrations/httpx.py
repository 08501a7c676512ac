"""httpx: a transport around another. ``httpx.Client(transport=Transport(payments))``."""

from __future__ import annotations

from typing import Any

import httpx
from opentelemetry.trace import Span

from watchbill_sdk.clients import Call, guarding
from watchbill_sdk.deadlines import time_left
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.outbound import add_headers


def _prepare(request: httpx.Request) -> None:
    """Headers of this moment, and no timeout longer than what is left."""
    add_headers(request.headers)
    limits: dict[str, Any] = dict(request.extensions.get("timeout") or {})
    left = time_left(float("inf"))
    if left != float("inf"):
        for phase in ("connect", "read", "write", "pool"):
            own = limits.get(phase)
            limits[phase] = left if own is None else min(own, left)
        request.extensions = {**request.extensions, "timeout": limits}


class Transport(httpx.BaseTransport):
    """Send through ``inner`` (httpx's own unless given) with the protections of a dependency.

    A timeout that the deadline caused is :class:`~watchbill_sdk.DeadlineExceeded`.
    """

    def __init__(self, dependency: Dependency, inner: httpx.BaseTransport | None = None) -> None:
        self._dependency = guarding(dependency)
        self._inner = inner if inner is not None else httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        call: Call[httpx.Response] = Call(
            self._dependency, method=request.method, url=str(request.url), host=request.url.host
        )

        def send(span: Span) -> httpx.Response:
            _prepare(request)
            try:
                answer = self._inner.handle_request(request)
            except httpx.TimeoutException as error:
                raise call.late(error) from error
            return call.judge(span, answer, answer.status_code, answer.headers.get)

        return call.run(send, lambda answer: answer.close())

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for ``httpx.AsyncClient``."""

    def __init__(self, dependency: Dependency, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._dependency = guarding(dependency)
        self._inner = inner if inner is not None else httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        call: Call[httpx.Response] = Call(
            self._dependency, method=request.method, url=str(request.url), host=request.url.host
        )

        async def send(span: Span) -> httpx.Response:
            _prepare(request)
            try:
                answer = await self._inner.handle_async_request(request)
            except httpx.TimeoutException as error:
                raise call.late(error) from error
            return call.judge(span, answer, answer.status_code, answer.headers.get)

        return await call.run_async(send, lambda answer: answer.aclose())

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
