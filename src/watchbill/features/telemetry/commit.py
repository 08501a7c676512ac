"""Group commit: requests that arrive together become one insert, and each is answered only after it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future

import msgspec
import structlog

from watchbill.features.telemetry.model import Signal
from watchbill.features.telemetry.store import TelemetryStore
from watchbill.kernel.errors import Invalid, Unavailable

log = structlog.get_logger("watchbill.telemetry")

_GROUP_BYTES = 16 * 1024 * 1024
_GROUP_REQUESTS = 64


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    payload: bytes
    kinds: frozenset[str]
    done: Future[None]


class GroupCommit:
    """One thread that writes; while it writes, the next group gathers. Start it, ``submit``, stop it.

    1. Take what waits of the oldest request's signal, up to 16 MiB or 64 requests (one larger request goes alone).
    2. Insert it at once; the engine answers when the rows are on disk.
    3. Resolve every request of the group. When the engine cannot read the group, each request is tried alone,
       so that one poison request fails by itself.
    """

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store
        self._queues: dict[Signal, deque[_Waiting]] = {"traces": deque(), "metrics": deque(), "logs": deque()}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin writing on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="telemetry-commit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def submit(self, signal: Signal, payload: bytes, *, kinds: Iterable[str] = ()) -> Future[None]:
        """Queue one serialized Export request; the future resolves when its rows are durable.

        It fails with Unavailable (send again) or Invalid (never will work).
        """
        done: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise Unavailable("the observer is stopping", hint="send again; it will be back")
            self._queues[signal].append(_Waiting(payload=payload, kinds=frozenset(kinds), done=done))
            self._changed.notify()
        return done

    def _run(self) -> None:
        order: deque[Signal] = deque(("traces", "metrics", "logs"))
        while True:
            with self._changed:
                while not any(self._queues.values()):
                    if self._stopping:
                        return
                    self._changed.wait()
                order.rotate(-1)
                signal = next(name for name in order if self._queues[name])
                group = self._take(self._queues[signal])
            self._write(signal, group)

    @staticmethod
    def _take(queue: deque[_Waiting]) -> list[_Waiting]:
        group = [queue.popleft()]
        size = len(group[0].payload)
        while queue and len(group) < _GROUP_REQUESTS and size + len(queue[0].payload) <= _GROUP_BYTES:
            size += len(queue[0].payload)
            group.append(queue.popleft())
        return group

    def _write(self, signal: Signal, group: list[_Waiting]) -> None:
        try:
            self._insert(signal, group)
        except Invalid as error:
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            for waiting in group:
                self._write(signal, [waiting])
            return
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("an insert failed", signal=signal, requests=len(group))
            for waiting in group:
                waiting.done.set_exception(error)
            return
        for waiting in group:
            waiting.done.set_result(None)

    def _insert(self, signal: Signal, group: list[_Waiting]) -> None:
        payloads = [waiting.payload for waiting in group]
        if signal == "traces":
            self._store.insert_traces(payloads)
        elif signal == "logs":
            self._store.insert_logs(payloads)
        else:
            kinds = sorted(frozenset().union(*(waiting.kinds for waiting in group)))
            self._store.insert_metrics(payloads, kinds=kinds)
