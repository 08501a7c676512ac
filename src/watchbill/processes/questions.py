"""The observer's door for questions of our other processes: a plain ASGI app beside the OTLP receiver."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from watchbill.features.telemetry import TelemetryStore, asking
from watchbill.kernel.errors import Forbidden, Invalid, Unavailable, WatchbillError
from watchbill.runtime.signing import Signer

log = structlog.get_logger("watchbill.questions")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST_BODY = 64 * 1024
_AT_ONCE = 8


class Questions:
    """Answers signed questions on two threads; when too many wait, it says so instead of queueing them."""

    def __init__(self, store: TelemetryStore, signer: Signer, *, other: App) -> None:
        self._store = store
        self._signer = signer
        self._other = other
        self._waiting = 0
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="questions")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: our path is answered here, every other one by the receiver."""
        if scope["type"] != "http" or scope["path"] != asking.PATH:
            await self._other(scope, receive, send)
            return
        try:
            if scope["method"] != "POST":
                raise Invalid("questions are asked with POST", code="method_not_allowed")
            body = await _body(receive)
            self._check(scope, body)
            status, answer = 200, await self._answer(body)
        except WatchbillError as error:
            status, answer = error.status, msgspec.json.encode({"error": error.problem})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _check(self, scope: Scope, body: bytes) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        scheme, _, signature = given.partition(" ")
        if scheme != "Watchbill":
            raise Forbidden("only Watchbill's own processes ask here", hint="ask the server's API")
        claims = self._signer.verify(asking.PURPOSE, signature, now=datetime.now(UTC))
        if not hmac.compare_digest(claims.get("body", ""), hashlib.sha256(body).hexdigest()):
            raise Forbidden("this signature is of another question", code="bad_link")

    async def _answer(self, body: bytes) -> bytes:
        try:
            question = msgspec.json.decode(body, type=asking.Question)
        except msgspec.ValidationError as error:
            raise Invalid(f"the question is not one we know: {error}") from error
        except msgspec.DecodeError as error:
            raise Invalid(f"the question is not JSON: {error}") from error
        if self._waiting >= _AT_ONCE:
            raise Unavailable("too many questions at once", hint="try again in a moment")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            answer: bytes = await loop.run_in_executor(self._threads, self._look, question)
            return answer
        finally:
            self._waiting -= 1

    def _look(self, question: asking.Question) -> bytes:
        try:
            if isinstance(question, asking.PutCounts):
                self._store.put_counts(
                    operation_id=question.operation_id,
                    objective=question.objective,
                    slice_seconds=question.slice_seconds,
                    counts=question.counts,
                )
                return str(len(question.counts)).encode()
            answer: bytes = msgspec.json.encode(asking.answer(self._store.engine, question))
        except WatchbillError:
            raise
        except Exception as error:
            log.exception("a question was not answered", ask=type(question).__name__)
            raise Unavailable("the observer could not answer; its log says why") from error
        return answer


async def _body(receive: Receive) -> bytes:
    parts: bytes = b""
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if len(parts) > _LONGEST_BODY:
            raise Invalid("the question is too long", code="too_large")
        if not message.get("more_body"):
            return parts
