"""Fanning hints out: one LISTEN connection per process, a bounded queue per stream.

A reader too slow for its queue is told to look at everything (``resync``), as everybody is after the
connection was lost: missing a hint only costs a refetch. Events: ``ready``, ``changed`` (data
``incident:17``), ``resync``, ``bye``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from watchbill.runtime.listen import Listener

CHANNEL = "watchbill_live"
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 900.0
"""A stream ends after this and its page opens another, which checks the session again."""
QUEUE = 64

_RESYNC = "resync"
_BYE = "bye"


class Broadcaster:
    """Fans hints out to streams. `start` and `publish` may be called from any thread."""

    def __init__(self, url: str) -> None:
        self._listener = Listener(url, channels=[CHANNEL], heard=self._heard, missed=self.resync)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[tuple[str, str]]] = set()
        self._closed = False

    async def start(self) -> None:
        """Begin to listen, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._listener.start()

    def close(self) -> None:
        """Say goodbye to every stream; call it when the process is told to stop, before connections are awaited."""
        self._closed = True
        self._send((_BYE, ""))
        self._listener.stop(timeout_seconds=0.0)

    def resync(self) -> None:
        """Everybody should look at everything."""
        self._send((_RESYNC, ""))

    def _heard(self, _channel: str, payload: str) -> None:
        self._send(("changed", payload))

    def _send(self, message: tuple[str, str]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with suppress(RuntimeError):  # the loop closed in between: nobody is left to tell
                self._loop.call_soon_threadsafe(self._fan_out, message)

    def _fan_out(self, message: tuple[str, str]) -> None:
        for queue in self._queues:
            if queue.full():  # too slow to be told each thing: it looks at everything instead
                while not queue.empty():
                    queue.get_nowait()
                message = (_RESYNC, "") if message[0] == "changed" else message
            queue.put_nowait(message)

    async def stream(self) -> AsyncIterator[str]:
        """The lines of one SSE response, until the process stops or the stream has lived long enough."""
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        ends_at = asyncio.get_running_loop().time() + LONGEST_SECONDS
        try:
            yield "retry: 2000\nevent: ready\ndata: ok\n\n"
            while not self._closed and asyncio.get_running_loop().time() < ends_at:
                try:
                    name, data = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if name == _BYE:
                    break
                yield f"event: {name}\ndata: {data or 'all'}\n\n"
            yield "event: bye\ndata: ok\n\n"
        finally:
            self._queues.discard(queue)
