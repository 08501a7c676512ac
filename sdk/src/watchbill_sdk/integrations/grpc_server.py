"""gRPC servers, sync and ``grpc.aio``: unary calls and streams of every kind."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import grpc
import grpc.aio

from watchbill_sdk import contract
from watchbill_sdk.deadlines import deadline, refuse_late
from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.inbound import Inbound, Request
from watchbill_sdk.limiter import Limiter
from watchbill_sdk.primitive import Seconds

Behavior = Callable[[Any, Any], Any]


class _Kind(NamedTuple):
    name: str
    make: Callable[..., Any]
    asks: bool
    """The caller sends a stream."""
    answers: bool
    """The answer is a stream."""


_KINDS = (
    _Kind("unary_unary", grpc.unary_unary_rpc_method_handler, False, False),
    _Kind("unary_stream", grpc.unary_stream_rpc_method_handler, False, True),
    _Kind("stream_unary", grpc.stream_unary_rpc_method_handler, True, False),
    _Kind("stream_stream", grpc.stream_stream_rpc_method_handler, True, True),
)


def _enter(rules: Inbound, context: Any, method: str) -> Request:
    metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}

    def header(name: str) -> str | None:
        value = metadata.get(name)
        return value if isinstance(value, str) and name != contract.DEADLINE_HEADER else None

    entered = rules.enter(method="POST", path=method, scheme="grpc", header=header)
    entered.route = method
    return entered


def _admit(entered: Request, context: Any) -> None:
    """gRPC's deadline besides ours: the nearer counts."""
    entered.admit(enter_deadline=False)
    left = context.time_remaining()
    if left is None or left > 10 * 365 * 86400:  # how gRPC says that there is none
        return
    if left <= 0:
        raise refuse_late("")
    if entered.deadline is None or left < entered.deadline.limit:
        entered.deadline = deadline(left)


def _code(error: ReliabilityError) -> grpc.StatusCode:
    found: grpc.StatusCode = getattr(grpc.StatusCode, error.grpc_status)
    return found


def _tell_degraded(entered: Request, context: Any) -> None:
    extra = entered.headers()
    if extra:
        context.set_trailing_metadata([*(context.trailing_metadata() or ()), *extra])


def _wrapped(handler: Any, wrap: Callable[[Behavior, _Kind], Behavior]) -> Any:
    for kind in _KINDS:
        behavior = getattr(handler, kind.name)
        if behavior is not None:
            return kind.make(wrap(behavior, kind), handler.request_deserializer, handler.response_serializer)
    return handler


class ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """``grpc.server(pool, interceptors=[ServerInterceptor()])``. Arguments: :class:`~watchbill_sdk.inbound.Inbound`.

    A stream is one request: it takes one place of the limiter, and its deadline, until it has ended.
    """

    def __init__(
        self, *, limiter: Limiter | None = None, timeout: Seconds | None = None, trust_metadata: bool = True
    ) -> None:
        self._rules = Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_metadata)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = continuation(details)
        if handler is None:
            return None
        return _wrapped(handler, lambda behavior, kind: sync_behavior(self._rules, behavior, details.method, kind))


def sync_behavior(rules: Inbound, behavior: Behavior, method: str, kind: _Kind) -> Behavior:
    """Return a behavior of a thread that is served under the rules."""
    if kind.answers:

        def served_stream(request: Any, context: Any) -> Iterator[Any]:
            with _served(rules, method, context, stream=True):
                yield from behavior(request, context)

        return served_stream

    def served(request: Any, context: Any) -> Any:
        with _served(rules, method, context, stream=kind.asks):
            return behavior(request, context)

    return served


@contextmanager
def _served(rules: Inbound, method: str, context: Any, *, stream: bool) -> Iterator[None]:
    entered = _enter(rules, context, method)
    failure: BaseException | None = None
    status = 200
    try:
        _admit(entered, context)
        with entered.deadline if entered.deadline is not None else _nothing():
            yield
        _tell_degraded(entered, context)
    except GeneratorExit as gone:  # the caller hung up in the middle of a stream
        failure = gone
        raise
    except ReliabilityError as error:
        failure, status = error, error.status
        _tell_degraded(entered, context)
        context.abort(_code(error), str(error))
    except BaseException as error:
        failure, status = error, 500
        raise
    finally:
        entered.leave(status=status, error=failure, stream=stream)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class AioServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """The same for ``grpc.aio.server``: late handlers are cancelled.

    Handlers may be coroutines, async generators, coroutines that use ``context.write``, and plain functions, which
    gRPC runs in threads.
    """

    def __init__(
        self, *, limiter: Limiter | None = None, timeout: Seconds | None = None, trust_metadata: bool = True
    ) -> None:
        self._rules = Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_metadata)

    async def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        if handler is None:
            return None
        return _wrapped(handler, lambda behavior, kind: self._behavior(behavior, details.method, kind))

    def _behavior(self, behavior: Behavior, method: str, kind: _Kind) -> Behavior:
        if inspect.isasyncgenfunction(behavior):

            async def served_stream(request: Any, context: Any) -> AsyncIterator[Any]:
                async with self._served(method, context, stream=True):
                    async for answer in behavior(request, context):
                        yield answer

            return served_stream
        if not inspect.iscoroutinefunction(behavior):
            return sync_behavior(self._rules, behavior, method, kind)

        async def served(request: Any, context: Any) -> Any:
            async with self._served(method, context, stream=kind.asks or kind.answers):
                return await behavior(request, context)

        return served

    @asynccontextmanager
    async def _served(self, method: str, context: Any, *, stream: bool) -> AsyncIterator[None]:
        entered = _enter(self._rules, context, method)
        failure: BaseException | None = None
        status = 200
        try:
            _admit(entered, context)
            async with AsyncExitStack() as stack:
                if entered.deadline is not None:
                    await stack.enter_async_context(entered.deadline)
                yield
            _tell_degraded(entered, context)
        except GeneratorExit as gone:
            failure = gone
            raise
        except ReliabilityError as error:
            failure, status = error, error.status
            _tell_degraded(entered, context)
            await context.abort(_code(error), str(error))
        except BaseException as error:
            failure, status = error, 500
            raise
        finally:
            entered.leave(status=status, error=failure, stream=stream)
