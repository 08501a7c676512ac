"""Lanes: separate threads and connections for kinds of work, so that slow screens cannot stop an acknowledgement.

A handler says ``opt={"lane": "act"}`` (or ``"intake"``); without it, it runs in ``"screens"``. Litestar runs a sync
handler and its sync dependencies through one executor for the whole interpreter; ours looks up the lane of the
request (a context variable set by `LaneMiddleware`) and hands the call to that lane's threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

from litestar.concurrency import set_asyncio_executor
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from watchbill.kernel.errors import Unavailable
from watchbill.runtime.db import Database

LaneName = Literal["intake", "act", "screens"]
P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Threads and a connection pool of the same size, with a bound on the requests that wait for them."""

    def __init__(self, name: str, db: Database, *, threads: int, most_requests: int) -> None:
        self.name = name
        self.db = db
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=f"lane-{name}")
        self.most_requests = most_requests
        self.requests = 0  # touched on the event loop only

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Count a request in; calls of sync handlers inside run on this lane's threads.

        Raises:
            Unavailable: too many requests wait already; waiting longer would help nobody.
        """
        if self.requests >= self.most_requests:
            raise Unavailable(
                f"too many requests wait ({self.name})", code="busy", hint="try again after the time in Retry-After"
            )
        self.requests += 1
        token = _lane.set(self)
        try:
            yield
        finally:
            _lane.reset(token)
            self.requests -= 1

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a sync function on this lane's threads; for async handlers."""
        bound = partial(copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.executor, bound)


class Lanes:
    """All lanes of a server."""

    def __init__(self, lanes: Mapping[LaneName, Lane]) -> None:
        self._lanes = dict(lanes)

    @classmethod
    def over(
        cls, database: Callable[[str, int], Database], *, threads: Mapping[LaneName, int] | None = None
    ) -> Lanes:
        """Lanes whose databases ``database(name, pool_size)`` makes, with as many connections as threads."""
        sizes = {**_THREADS, **(threads or {})}
        return cls(
            {
                name: Lane(name, database(f"server-{name}", size), threads=size, most_requests=_MOST[name])
                for name, size in sizes.items()
            }
        )

    def __getitem__(self, name: str) -> Lane:
        return self._lanes[name]  # type: ignore[index]

    def __deepcopy__(self, memo: dict[int, object]) -> Lanes:
        """Litestar copies what routers hold; threads and connections are one for all."""
        return self

    def of(self, scope: Scope) -> Lane:
        """The lane of the handler that this request was routed to."""
        handler = scope.get("route_handler")
        return self[handler.opt.get("lane", "screens") if handler is not None else "screens"]

    def close(self) -> None:
        """Let running calls end, then close threads and connections."""
        for lane in self._lanes.values():
            lane.executor.shutdown(wait=True, cancel_futures=True)
            lane.db.dispose()


_THREADS: dict[LaneName, int] = {"intake": 4, "act": 4, "screens": 6}
_MOST: dict[LaneName, int] = {"intake": 512, "act": 256, "screens": 128}
_lane: ContextVar[Lane | None] = ContextVar("watchbill_lane", default=None)


class LaneMiddleware(ASGIMiddleware):
    """Admits each request into its lane. Streams (``opt={"stream": True}``) hold no thread and are not counted."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        lane = self.lanes.of(scope)
        if scope["route_handler"].opt.get("stream"):
            await next_app(scope, receive, send)
            return
        async with lane.admit():
            await next_app(scope, receive, send)


class _ByLane(ThreadPoolExecutor):
    """Hands each call to the lane of the request that makes it; calls outside any request run on its own threads."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        lane = _lane.get()
        if lane is None:
            return super().submit(fn, *args, **kwargs)
        return lane.executor.submit(fn, *args, **kwargs)


def use_lanes() -> None:
    """Make Litestar run sync callables by lane; must not be called on a running event loop. Again is no change."""
    set_asyncio_executor(_BY_LANE)


_BY_LANE = _ByLane(2, thread_name_prefix="no-lane")
"""One for the interpreter, because Litestar keeps one; it has no state of its own but two spare threads."""
