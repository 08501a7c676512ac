"""The OTLP/HTTP receiver, as a plain ASGI app.

Plain, because OTLP fixes every status, header and body itself (a framework's errors would be wrong ones), and because
the body must be unpacked while it arrives, so that a bomb or an overload is refused before it is in memory.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
import structlog

from watchbill.features.telemetry import GroupCommit, LateSpans, Signal
from watchbill.intake.otlp import Decoded, Encoding, decode, export_reply, status_reply
from watchbill.intake.otlp.replies import CONTENT_TYPE
from watchbill.kernel.errors import Unavailable, WatchbillError

log = structlog.get_logger("watchbill.otlp")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Verify = Callable[[str], bool]
"""Whether a key may send telemetry; raises Unavailable when nobody can say."""

_SIGNALS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_UNPACK_STEP = 256 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one receiver takes at most. ``commit_seconds`` bounds the wait for the engine, then 503."""

    body_bytes: int = 64 * 1024 * 1024
    in_flight_bytes: int = 192 * 1024 * 1024
    commit_seconds: float = 30.0
    read_seconds: float = 30.0
    retention: timedelta = timedelta(days=30)
    horizon: timedelta = timedelta(minutes=15)


class _Refused(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


class KnownKeys:
    """Remembers keys that were good, so that telemetry flows on from known senders while PostgreSQL is away.

    Only digests are kept. A good answer counts for ``fresh_seconds``; older ones only while nobody can be asked.
    """

    def __init__(self, verify: Verify, *, fresh_seconds: float = 60.0, limit: int = 10_000) -> None:
        self._verify = verify
        self._fresh = fresh_seconds
        self._limit = limit
        self._good: dict[bytes, float] = {}

    def remembered(self, key: str) -> bool:
        """A fresh good answer, without asking."""
        at = self._good.get(sha256(key.encode()).digest())
        return at is not None and time.monotonic() - at < self._fresh

    def ask(self, key: str) -> bool:
        """Ask; raises Unavailable when nobody can say and the key was never good."""
        digest = sha256(key.encode()).digest()
        try:
            good = self._verify(key)
        except Unavailable:
            if digest in self._good:
                return True
            raise
        if good:
            if len(self._good) >= self._limit:
                self._good.pop(next(iter(self._good)))
            self._good[digest] = time.monotonic()
        else:
            self._good.pop(digest, None)
        return good


class OtlpReceiver:
    """``POST /v1/traces``, ``/v1/metrics`` and ``/v1/logs``.

    A 200 is sent only after the rows are in the engine. ``keys`` None: everybody on this machine may send.
    """

    def __init__(
        self,
        commit: GroupCommit,
        late: LateSpans,
        *,
        limits: Limits | None = None,
        keys: KnownKeys | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._commit = commit
        self._late = late
        self._limits = limits or Limits()
        self._keys = keys
        self._now_ns = now_ns
        self._held = 0
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="otlp-decode")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get("content-type", "").split(";", 1)[0].strip().lower()
        encoding: Encoding = _ENCODINGS.get(content_type, "protobuf" if "protobuf" in content_type else "json")
        holding = _Holding(self)
        try:
            signal = _signal(scope)
            await self._authorise(headers)
            if content_type not in _ENCODINGS:
                raise _Refused(415, "send application/x-protobuf or application/json")
            body = await self._body(headers, receive, holding)
            decoded = await self._decode(signal, body, encoding)
            del body
            await self._store(signal, decoded)
            if decoded.late_minutes:
                self._late.touch(decoded.late_minutes)
            reply = export_reply(signal, encoding, rejected=decoded.rejected, message=decoded.message)
            await _answer(send, 200, encoding, reply)
        except _Refused as refused:
            await _answer(
                send, refused.status, encoding, status_reply(refused.status, encoding, refused.message), refused.headers
            )
        except WatchbillError as error:
            status = error.status if error.status in {400, 413} else 503
            extra = [(b"retry-after", b"5")] if status == 503 else []
            await _answer(send, status, encoding, status_reply(status, encoding, say(error)), extra)
        finally:
            holding.release()

    async def _authorise(self, headers: dict[str, str]) -> None:
        if self._keys is None:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else headers.get("x-watchbill-key", "")
        if not key:
            raise _Refused(
                401,
                "a key is required: send 'Authorization: Bearer KEY' (OTEL_EXPORTER_OTLP_HEADERS)",
                www_authenticate="Bearer",
            )
        if not self._keys.remembered(key):
            good = await asyncio.get_running_loop().run_in_executor(self._threads, self._keys.ask, key)
            if not good:
                raise _Refused(401, "this key is not known here, or is revoked", www_authenticate="Bearer")

    async def _body(  # noqa: PLR0912 - one pass over the bytes, each check in its place
        self, headers: dict[str, str], receive: Receive, holding: _Holding
    ) -> bytes:
        """Read and unpack, never holding more than the limit, and never more than all requests may together."""
        limit = self._limits.body_bytes
        coding = headers.get("content-encoding", "identity").strip().lower() or "identity"
        if coding not in {"identity", "gzip"}:
            raise _Refused(
                415, f"content-encoding '{coding[:40]}' is not taken; send gzip or none", accept_encoding="gzip"
            )
        length = headers.get("content-length", "")
        if length.isdigit():
            if int(length) > limit:
                raise _Refused(413, f"the body is over {limit} bytes; send smaller batches")
            if int(length) > self._limits.in_flight_bytes - self._held:
                raise _overloaded()
        unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        parts: list[bytes] = []
        size = 0
        inside = False
        deadline = time.monotonic() + self._limits.read_seconds
        more = True
        while more:
            try:
                message = await asyncio.wait_for(receive(), max(0.01, deadline - time.monotonic()))
            except TimeoutError:
                raise _Refused(408, "the body did not arrive in time") from None
            if message["type"] == "http.disconnect":
                raise _Refused(400, "the sender hung up")
            more = message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            while chunk:
                if unpack is None:
                    piece, chunk = chunk, b""
                else:
                    inside = True
                    try:
                        piece = unpack.decompress(chunk, _UNPACK_STEP)
                    except zlib.error as error:
                        raise _Refused(400, f"this is not gzip: {error}") from None
                    chunk = unpack.unconsumed_tail
                    if unpack.eof:
                        # Members may follow one another; each is its own stream.
                        chunk = unpack.unused_data
                        unpack, inside = zlib.decompressobj(wbits=31), False
                size += len(piece)
                if size > limit:
                    raise _Refused(413, f"the body is over {limit} bytes unpacked; send smaller batches")
                holding.add(len(piece))
                parts.append(piece)
                if chunk and size > _UNPACK_STEP:
                    await asyncio.sleep(0)
        if inside:
            raise _Refused(400, "the gzip data ends too early")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _decode(self, signal: Signal, body: bytes, encoding: Encoding) -> Decoded:
        limits = self._limits

        def work() -> Decoded:
            return decode(
                signal,
                body,
                encoding,
                now_ns=self._now_ns(),
                retention_ns=int(limits.retention.total_seconds()) * 1_000_000_000,
                horizon_ns=int(limits.horizon.total_seconds()) * 1_000_000_000,
            )

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _store(self, signal: Signal, decoded: Decoded) -> None:
        if not decoded.payload:
            return
        done = asyncio.wrap_future(self._commit.submit(signal, decoded.payload, kinds=decoded.kinds))
        try:
            await asyncio.wait_for(done, self._limits.commit_seconds)
        except TimeoutError:
            raise Unavailable("the telemetry engine is too slow now; send again") from None
        except WatchbillError:
            raise
        except Exception as error:
            log.exception("a request could not be stored", signal=signal)
            raise Unavailable(f"the telemetry engine failed: {error}") from error

    def hold(self, byte_count: int) -> None:
        """Count bytes in flight; refuse beyond the bound."""
        if self._held + byte_count > self._limits.in_flight_bytes:
            raise _overloaded()
        self._held += byte_count

    def let_go(self, byte_count: int) -> None:
        """Bytes that are no longer in flight."""
        self._held -= byte_count


class _Holding:
    """The bytes that one request keeps in memory until it is answered."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver
        self._bytes = 0

    def add(self, byte_count: int) -> None:
        self._receiver.hold(byte_count)
        self._bytes += byte_count

    def release(self) -> None:
        self._receiver.let_go(self._bytes)
        self._bytes = 0


def _overloaded() -> _Refused:
    return _Refused(503, "too much telemetry is in flight; send again", retry_after="1")


def say(error: WatchbillError) -> str:
    """What went wrong, and in which field."""
    problem = error.problem
    place = f" ({problem.field})" if problem.field else ""
    return f"{problem.message}{place}"


def _signal(scope: Scope) -> Signal:
    signal = _SIGNALS.get(scope["path"].rstrip("/"))
    if signal is None:
        raise _Refused(404, "there is nothing here; OTLP is taken on /v1/traces, /v1/metrics and /v1/logs")
    if scope["method"] != "POST":
        raise _Refused(405, "use POST", allow="POST")
    return signal


async def _answer(
    send: Send, status: int, encoding: Encoding, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [
        (b"content-type", CONTENT_TYPE[encoding].encode()),
        (b"content-length", str(len(body)).encode()),
        *(extra or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
