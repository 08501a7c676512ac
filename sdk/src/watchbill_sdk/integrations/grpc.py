"""gRPC, both sides, sync and ``grpc.aio``. The deadline is gRPC's own; priority and trace are metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import grpc
import grpc.aio
from opentelemetry.trace import Status, StatusCode

from watchbill_sdk import contract
from watchbill_sdk.deadlines import deadline, refuse_late, remaining, time_left
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.errors import DeadlineExceeded, ReliabilityError
from watchbill_sdk.inbound import Inbound, Request
from watchbill_sdk.limiter import Limiter
from watchbill_sdk.outbound import client_span, note_answer, outgoing_headers
from watchbill_sdk.primitive import Seconds

_KINDS = (
    ("unary_unary", grpc.unary_unary_rpc_method_handler, False),
    ("unary_stream", grpc.unary_stream_rpc_method_handler, True),
    ("stream_unary", grpc.stream_unary_rpc_method_handler, False),
    ("stream_stream", grpc.stream_stream_rpc_method_handler, True),
)


def _rules(limiter: Limiter | None, timeout: Seconds | None, trust_metadata: bool) -> Inbound:
    return Inbound(limiter=limiter, timeout=timeout, trust_headers=trust_metadata)


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


class ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """``grpc.server(pool, interceptors=[ServerInterceptor()])``. Arguments: :class:`~watchbill_sdk.inbound.Inbound`."""

    def __init__(
        self, *, limiter: Limiter | None = None, timeout: Seconds | None = None, trust_metadata: bool = True
    ) -> None:
        self._rules = _rules(limiter, timeout, trust_metadata)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = continuation(details)
        if handler is None:
            return None
        for kind, make, streams in _KINDS:
            behavior = getattr(handler, kind)
            if behavior is not None:
                wrapped = self._stream(behavior, details.method) if streams else self._unary(behavior, details.method)
                return make(wrapped, handler.request_deserializer, handler.response_serializer)
        return handler

    def _unary(self, behavior: Callable[..., Any], method: str) -> Callable[[Any, Any], Any]:
        def served(request: Any, context: Any) -> Any:
            with self._served(method, context):
                return behavior(request, context)

        return served

    def _stream(self, behavior: Callable[..., Any], method: str) -> Callable[[Any, Any], Iterator[Any]]:
        def served(request: Any, context: Any) -> Iterator[Any]:
            with self._served(method, context):
                yield from behavior(request, context)

        return served

    @contextmanager
    def _served(self, method: str, context: Any) -> Iterator[None]:
        entered = _enter(self._rules, context, method)
        failure: BaseException | None = None
        status = 200
        try:
            _admit(entered, context)
            with entered.deadline if entered.deadline is not None else _nothing():
                yield
            _tell_degraded(entered, context)
        except ReliabilityError as error:
            failure, status = error, error.status
            _tell_degraded(entered, context)
            context.abort(_code(error), str(error))
        except BaseException as error:
            failure, status = error, 500
            raise
        finally:
            entered.leave(status=status, error=failure)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _tell_degraded(entered: Request, context: Any) -> None:
    extra = entered.headers()
    if extra:
        context.set_trailing_metadata([*(context.trailing_metadata() or ()), *extra])


class AioServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """The same for ``grpc.aio.server``: late handlers are cancelled."""

    def __init__(
        self, *, limiter: Limiter | None = None, timeout: Seconds | None = None, trust_metadata: bool = True
    ) -> None:
        self._rules = _rules(limiter, timeout, trust_metadata)

    async def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        if handler is None:
            return None
        for kind, make, streams in _KINDS:
            behavior = getattr(handler, kind)
            if behavior is not None:
                wrapped = self._stream(behavior, details.method) if streams else self._unary(behavior, details.method)
                return make(wrapped, handler.request_deserializer, handler.response_serializer)
        return handler

    def _unary(self, behavior: Callable[..., Any], method: str) -> Callable[[Any, Any], Any]:
        async def served(request: Any, context: Any) -> Any:
            entered = _enter(self._rules, context, method)
            failure: BaseException | None = None
            status = 200
            try:
                _admit(entered, context)
                if entered.deadline is None:
                    answer = await behavior(request, context)
                else:
                    async with entered.deadline:
                        answer = await behavior(request, context)
                _tell_degraded(entered, context)
            except ReliabilityError as error:
                failure, status = error, error.status
                _tell_degraded(entered, context)
                await context.abort(_code(error), str(error))
            except BaseException as error:
                failure, status = error, 500
                raise
            else:
                return answer
            finally:
                entered.leave(status=status, error=failure)

        return served

    def _stream(self, behavior: Callable[..., Any], method: str) -> Callable[[Any, Any], Any]:
        async def served(request: Any, context: Any) -> Any:
            entered = _enter(self._rules, context, method)
            failure: BaseException | None = None
            status = 200
            try:
                _admit(entered, context)
                async with entered.deadline if entered.deadline is not None else _Nothing():
                    async for answer in behavior(request, context):
                        yield answer
                _tell_degraded(entered, context)
            except ReliabilityError as error:
                failure, status = error, error.status
                _tell_degraded(entered, context)
                await context.abort(_code(error), str(error))
            except BaseException as error:
                failure, status = error, 500
                raise
            finally:
                entered.leave(status=status, error=failure)

        return served


class _Nothing:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str]] | None
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def _shortened(timeout: float | None) -> float | None:
    left = time_left(float("inf"))
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(timeout, left)


def _metadata(old: Any) -> list[tuple[str, str]]:
    """Ours besides the caller's; the deadline goes as gRPC's own."""
    new = outgoing_headers()
    new.pop(contract.DEADLINE_HEADER, None)
    return [(key, value) for key, value in old or () if key not in new] + list(new.items())


def _raise_late(dependency: Dependency, error: grpc.RpcError) -> NoReturn:
    """gRPC's DEADLINE_EXCEEDED as ours when it was our deadline; timers wake up a little early."""
    left = remaining()
    code = error.code() if hasattr(error, "code") else None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and left is not None and left <= 0.005:
        raise DeadlineExceeded(f"the deadline for {dependency.name} has passed", dependency=dependency.name) from error
    raise error


class ClientInterceptor(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """``grpc.intercept_channel(channel, ClientInterceptor(payments))`` protects unary calls.

    ``retry`` names the full methods that may be repeated ("/shop.Payments/Get"); no others are. A future call is
    awaited here, because a breaker must know how it ended.
    """

    def __init__(self, dependency: Dependency, *, retry: frozenset[str] = frozenset()) -> None:
        self._dependency = dependency
        self._retry = retry

    def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """Make one call."""
        name = self._dependency.name

        def once() -> Any:
            with client_span(details.method, dependency=name, method="POST", url=details.method, host=name) as span:
                new = _Details(
                    details.method,
                    _shortened(details.timeout),
                    _metadata(details.metadata),
                    details.credentials,
                    getattr(details, "wait_for_ready", None),
                    getattr(details, "compression", None),
                )
                call = continuation(new, request)
                error = call.exception()
                if isinstance(error, grpc.RpcError):
                    span.set_status(Status(StatusCode.ERROR))
                    _raise_late(self._dependency, error)
                note_answer(dict(call.trailing_metadata() or ()).get)
                return call

        if details.method in self._retry:
            return self._dependency.call(once)
        with self._dependency.attempt():
            return once()


class AioClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpcio ships no types
    """The same for ``grpc.aio.insecure_channel(target, interceptors=[AioClientInterceptor(payments)])``."""

    def __init__(self, dependency: Dependency, *, retry: frozenset[str] = frozenset()) -> None:
        self._dependency = dependency
        self._retry = retry

    async def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """Make one call."""
        name = self._dependency.name
        method = details.method.decode() if isinstance(details.method, bytes) else details.method

        async def once() -> Any:
            with client_span(method, dependency=name, method="POST", url=method, host=name):
                metadata = grpc.aio.Metadata(*_metadata(details.metadata))
                new = grpc.aio.ClientCallDetails(
                    details.method, _shortened(details.timeout), metadata, details.credentials, details.wait_for_ready
                )
                call = await continuation(new, request)
                try:
                    await call
                except grpc.RpcError as error:
                    _raise_late(self._dependency, error)
                note_answer(dict(await call.trailing_metadata() or ()).get)
                return call

        if method in self._retry:
            return await self._dependency.call_async(once)
        async with self._dependency.attempt_async():
            return await once()
