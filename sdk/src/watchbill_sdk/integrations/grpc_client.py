"""gRPC clients, sync and ``grpc.aio``: unary calls and streams of every kind.

A code that says "not now" (`OVERLOAD`) counts as a failure for breaker, throttle and retries; every other code is an
answer, as a 404 is in HTTP. A stream is one attempt: its deadline covers it as a whole, its place in the bulkhead is
held until it ends, and for the breaker it counts by its first message, or by its end if that is sooner. Streams are
never retried: nobody knows what was already taken from them.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import grpc
import grpc.aio
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from watchbill_sdk import contract
from watchbill_sdk.clients import guarding
from watchbill_sdk.deadlines import time_left
from watchbill_sdk.dependency import Dependency, Held
from watchbill_sdk.errors import DeadlineExceeded
from watchbill_sdk.outbound import begin_span, client_span, note_answer, outgoing_headers

OVERLOAD = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
)
"""Codes that say that the dependency could not, not that the request was wrong."""
Continuation = Callable[[Any, Any], Any]


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def _shortened(timeout: float | None, seconds: float | None = None) -> float | None:
    """The nearest of the caller's timeout, the dependency's, and what is left."""
    left = min(time_left(float("inf")), float("inf") if seconds is None else max(0.0, seconds))
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(timeout, left)


def _metadata(old: Any) -> list[tuple[str, str]]:
    """Ours besides the caller's; the deadline goes as gRPC's own."""
    new = outgoing_headers()
    new.pop(contract.DEADLINE_HEADER, None)
    return [(key, value) for key, value in old or () if key not in new] + list(new.items())


def _details(details: Any, timeout: float | None) -> _Details:
    return _Details(
        details.method,
        timeout,
        _metadata(details.metadata),
        details.credentials,
        getattr(details, "wait_for_ready", None),
        getattr(details, "compression", None),
    )


def _aio_details(details: Any, timeout: float | None) -> Any:
    metadata = grpc.aio.Metadata(*_metadata(details.metadata))
    return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


def _raise_late(dependency: Dependency, error: grpc.RpcError, *, ours: bool) -> NoReturn:
    """gRPC's DEADLINE_EXCEEDED as ours when the deadline was ours; the server, which has it too, may be the first."""
    if ours and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise DeadlineExceeded(f"the deadline for {dependency.name} has passed", dependency=dependency.name) from error
    raise error


def _span_of(dependency: Dependency, method: str) -> Span:
    return begin_span(method, dependency=dependency.name, method="POST", url=method, host=dependency.name)


def _ended(held: Held, span: Span, dependency: Dependency, code: grpc.StatusCode) -> None:
    """A stream is over: tell primitives and span how."""
    error: BaseException | None = None
    if code is grpc.StatusCode.CANCELLED:
        error = asyncio.CancelledError()  # by us, as a rule: it says nothing about the dependency
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        error = DeadlineExceeded(f"the deadline for {dependency.name} has passed", dependency=dependency.name)
    elif code in OVERLOAD:
        error = ConnectionError(code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()
    held.end(error)


class ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # grpcio ships no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """``grpc.intercept_channel(channel, ClientInterceptor(payments))`` protects calls and streams.

    ``retry`` names the full unary methods that may be repeated ("/shop.Payments/Get"); no others are. A future call is
    awaited here, because a breaker must know how it ended.
    """

    def __init__(self, dependency: Dependency, *, retry: frozenset[str] = frozenset()) -> None:
        self._dependency = guarding(dependency)
        self._retry = retry

    def intercept_unary_unary(self, continuation: Continuation, details: Any, request: Any) -> Any:
        """Make one call."""
        if details.method in self._retry:
            return self._dependency.call(self._once, continuation, details, request)
        return self.intercept_stream_unary(continuation, details, request)

    def intercept_stream_unary(self, continuation: Continuation, details: Any, requests: Any) -> Any:
        """Send a stream (or one message), get one answer."""
        with self._dependency.attempt():
            return self._once(continuation, details, requests)

    def _once(self, continuation: Continuation, details: Any, request: Any) -> Any:
        name = self._dependency.name
        with client_span(details.method, dependency=name, method="POST", url=details.method, host=name) as span:
            timeout = _shortened(details.timeout)
            call = continuation(_details(details, timeout), request)
            error = call.exception()
            if isinstance(error, grpc.RpcError):
                span.set_attribute("error.type", error.code().name)
                span.set_status(Status(StatusCode.ERROR))
                if error.code() in OVERLOAD:
                    _raise_late(self._dependency, error, ours=timeout != details.timeout)
            note_answer(dict(call.trailing_metadata() or ()).get)
            return call

    def intercept_unary_stream(self, continuation: Continuation, details: Any, request: Any) -> Any:
        """Get a stream."""
        held = self._dependency.begin()
        span = _span_of(self._dependency, details.method)
        try:
            with trace.use_span(span, end_on_exit=False):
                timeout = _shortened(details.timeout, held.seconds)
                call = continuation(_details(details, timeout), request)
        except BaseException as error:
            span.end()
            held.end(error)
            raise
        stream = _Stream(call, self._dependency, held, span, ours=timeout != details.timeout)
        if not call.add_callback(stream.over):
            stream.over()
        return stream

    intercept_stream_stream = intercept_unary_stream


class _Stream:
    """A call that answers with a stream; everything but reading is the call's own."""

    def __init__(self, call: Any, dependency: Dependency, held: Held, span: Span, *, ours: bool) -> None:
        self._call = call
        self._dependency = dependency
        self._held, self._span = held, span
        self._ours = ours
        self._proved = False

    def over(self) -> None:
        """Called by gRPC, on a thread of its own, when the call has ended in whatever way."""
        _ended(self._held, self._span, self._dependency, self._call.code())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            answer = next(self._call)
        except StopIteration:
            note_answer(dict(self._call.trailing_metadata() or ()).get)
            raise
        except grpc.RpcError as error:
            _raise_late(self._dependency, error, ours=self._ours)
        if not self._proved:
            self._proved = True
            self._held.proved()
        return answer


class AioClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """The same for unary calls of ``grpc.aio``; :func:`aio_client` has it for all."""

    def __init__(self, dependency: Dependency, *, retry: frozenset[str] = frozenset()) -> None:
        self._dependency = guarding(dependency)
        self._retry = retry

    async def intercept_unary_unary(self, continuation: Continuation, details: Any, request: Any) -> Any:
        """Make one call."""
        if _named(details) in self._retry:
            return await self._dependency.call_async(_once_async, self._dependency, continuation, details, request)
        async with self._dependency.attempt_async():
            return await _once_async(self._dependency, continuation, details, request)


class _AioStreamUnary(grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    async def intercept_stream_unary(self, continuation: Continuation, details: Any, requests: Any) -> Any:
        async with self._dependency.attempt_async():
            return await _once_async(self._dependency, continuation, details, requests)


class _AioUnaryStream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    async def intercept_unary_stream(self, continuation: Continuation, details: Any, request: Any) -> Any:
        return await _stream_async(self._dependency, continuation, details, request)


class _AioStreamStream(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    async def intercept_stream_stream(self, continuation: Continuation, details: Any, requests: Any) -> Any:
        return await _stream_async(self._dependency, continuation, details, requests)


def aio_client(dependency: Dependency, *, retry: frozenset[str] = frozenset()) -> list[Any]:
    """Return interceptors for calls and streams: ``grpc.aio.insecure_channel(target, interceptors=aio_client(bank))``.

    They are four because ``grpc.aio`` takes one kind of call from each.
    """
    return [
        AioClientInterceptor(dependency, retry=retry),
        _AioUnaryStream(dependency),
        _AioStreamUnary(dependency),
        _AioStreamStream(dependency),
    ]


def _named(details: Any) -> str:
    method = details.method
    return method.decode() if isinstance(method, bytes) else str(method)


async def _once_async(dependency: Dependency, continuation: Continuation, details: Any, request: Any) -> Any:
    name, method = dependency.name, _named(details)
    with client_span(method, dependency=name, method="POST", url=method, host=name) as span:
        timeout = _shortened(details.timeout)
        call = await continuation(_aio_details(details, timeout), request)
        try:
            await call
        except grpc.RpcError as error:
            span.set_attribute("error.type", error.code().name)
            span.set_status(Status(StatusCode.ERROR))
            if error.code() in OVERLOAD:
                _raise_late(dependency, error, ours=timeout != details.timeout)
        note_answer(dict(await call.trailing_metadata() or ()).get)
        return call


_watching: set[asyncio.Task[None]] = set()
"""The loop holds tasks weakly only."""


async def _stream_async(dependency: Dependency, continuation: Continuation, details: Any, request: Any) -> Any:
    held = await dependency.begin_async()
    span = _span_of(dependency, _named(details))
    try:
        with trace.use_span(span, end_on_exit=False):
            call = await continuation(_aio_details(details, _shortened(details.timeout, held.seconds)), request)
    except BaseException as error:
        span.end()
        held.end(error)
        raise
    # In this context, so that what a downstream did without is noted on the request that asked.
    task = asyncio.get_running_loop().create_task(
        _watch(call, dependency, held, span), context=contextvars.copy_context()
    )
    _watching.add(task)
    task.add_done_callback(_watching.discard)
    return call


async def _watch(call: Any, dependency: Dependency, held: Held, span: Span) -> None:
    """Follow a stream beside who reads it: its first sign of life, then its end."""
    code = grpc.StatusCode.CANCELLED
    try:
        await call.initial_metadata()
        if not call.done():
            held.proved()
        code = await call.code()
        if code is grpc.StatusCode.OK:
            note_answer(dict(await call.trailing_metadata() or ()).get)
    finally:
        _ended(held, span, dependency, code)
