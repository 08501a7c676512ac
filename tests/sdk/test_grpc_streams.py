"""gRPC streams on real servers: what they hold they give back, however they end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

import watchbill_sdk as wb
from watchbill_sdk import HEALTH, contract
from watchbill_sdk.fallbacks import begin_request
from watchbill_sdk.integrations.grpc import AioServerInterceptor, ClientInterceptor, ServerInterceptor, aio_client
from watchbill_sdk.recorder import RECORDER


def endless(request: bytes, context: Any) -> Iterator[bytes]:
    while True:
        yield b"."
        time.sleep(0.002)


def marked(request: bytes, context: Any) -> Iterator[bytes]:
    yield b"1"
    wb.mark_degraded("reviews")
    yield b"2"


def refuse(code: grpc.StatusCode) -> Callable[[bytes, Any], bytes]:
    def answer(request: bytes, context: Any) -> bytes:
        context.abort(code, "no")
        return b""

    return answer


def refuse_stream(request: bytes, context: Any) -> Iterator[bytes]:
    context.abort(grpc.StatusCode.UNAVAILABLE, "no")
    yield b""


def generic(**handlers: Any) -> Any:
    return grpc.method_handlers_generic_handler("t.T", handlers)


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


@pytest.fixture(scope="module")
def limiter() -> wb.Limiter:
    return wb.Limiter("grpc-streams", wb.Fixed(50))


@pytest.fixture(scope="module")
def target(limiter: wb.Limiter) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[ServerInterceptor(limiter=limiter, timeout=20)])
    server.add_generic_rpc_handlers(
        (
            generic(
                Endless=grpc.unary_stream_rpc_method_handler(endless),
                Marked=grpc.unary_stream_rpc_method_handler(marked),
                Missing=grpc.unary_unary_rpc_method_handler(refuse(grpc.StatusCode.NOT_FOUND)),
                Away=grpc.unary_unary_rpc_method_handler(refuse(grpc.StatusCode.UNAVAILABLE)),
                AwayStream=grpc.unary_stream_rpc_method_handler(refuse_stream),
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(10)


@pytest.fixture
def channel(target: str) -> Iterator[Callable[[wb.Dependency], grpc.Channel]]:
    plain = grpc.insecure_channel(target)
    yield lambda dependency: grpc.intercept_channel(plain, ClientInterceptor(dependency))
    plain.close()


def test_a_stream_holds_its_places_until_it_is_cancelled(
    channel: Callable[[wb.Dependency], grpc.Channel], limiter: wb.Limiter
) -> None:
    places = wb.Bulkhead("held", 1)
    ask = channel(wb.Dependency("held", bulkhead=places)).unary_stream("/t.T/Endless")
    before = HEALTH._inflight
    stream = ask(b"")
    assert [next(stream), next(stream)] == [b".", b"."]
    assert limiter.inflight == 1
    with pytest.raises(wb.BulkheadFull):
        next(ask(b""))
    stream.cancel()
    assert eventually(lambda: limiter.inflight == 0 and places._inflight == 0)
    assert HEALTH._inflight == before
    assert RECORDER.value(contract.CALLS, "held", "rejected") == 1


def test_a_stream_proves_a_breaker_by_its_first_message_and_a_refused_one_opens_it(
    channel: Callable[[wb.Dependency], grpc.Channel],
) -> None:
    breaker = wb.Breaker("prove", failures=1, recovery=0.05)
    shop = channel(wb.Dependency("prove", breaker=breaker))
    with pytest.raises(grpc.RpcError):
        next(shop.unary_stream("/t.T/AwayStream")(b""))
    assert eventually(lambda: breaker.state == "open")
    with pytest.raises(wb.BreakerOpen):
        next(shop.unary_stream("/t.T/Endless")(b""))
    time.sleep(0.06)
    stream = shop.unary_stream("/t.T/Endless")(b"")
    next(stream)
    assert breaker.state == "closed"
    stream.cancel()


def test_what_is_not_found_opens_no_breaker_and_what_is_away_does(
    channel: Callable[[wb.Dependency], grpc.Channel],
) -> None:
    breaker = wb.Breaker("codes", failures=2)
    shop = channel(wb.Dependency("codes", breaker=breaker))
    for method, state in (("Missing", "closed"), ("Away", "open")):
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as refused:
                shop.unary_unary(f"/t.T/{method}")(b"")
            assert refused.value.details() == "no"
        assert breaker.state == state


def test_what_a_stream_did_without_reaches_the_request_that_asked(
    channel: Callable[[wb.Dependency], grpc.Channel],
) -> None:
    _, end = begin_request()
    assert list(channel(wb.Dependency("marked"))
                .unary_stream("/t.T/Marked")(b"")) == [b"1", b"2"]  # fmt: skip
    assert wb.degraded() == ("reviews",)
    end()


def test_the_timeout_of_a_dependency_ends_a_stream_without_a_deadline_around_it(
    channel: Callable[[wb.Dependency], grpc.Channel],
) -> None:
    stream = channel(wb.Dependency("short", timeout=0.05)).unary_stream("/t.T/Endless")(b"")
    with pytest.raises(wb.DeadlineExceeded):
        for _ in stream:
            pass
    assert eventually(lambda: RECORDER.value(contract.CALLS, "short", "timeout") == 1)
    assert wb.remaining() is None


def test_streams_of_grpc_aio_give_back_what_they_hold_and_handlers_may_be_of_every_shape() -> None:
    limiter = wb.Limiter("aio-streams", wb.Fixed(50))

    async def endless_async(request: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.002)

    async def writing(request: bytes, context: Any) -> None:
        await context.write(b"written")
        wb.mark_degraded("reviews")

    def threaded(request: bytes, context: Any) -> bytes:
        return threading.current_thread().name.encode()

    def threaded_stream(request: bytes, context: Any) -> Iterator[bytes]:
        yield from (b"a", b"b")

    async def go() -> None:
        server = grpc.aio.server(interceptors=[AioServerInterceptor(limiter=limiter, timeout=20)])
        shapes = generic(
            Endless=grpc.unary_stream_rpc_method_handler(endless_async),
            Writing=grpc.unary_stream_rpc_method_handler(writing),
            Threaded=grpc.unary_unary_rpc_method_handler(threaded),
            ThreadedStream=grpc.unary_stream_rpc_method_handler(threaded_stream),
        )
        server.add_generic_rpc_handlers((shapes,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        places = wb.Bulkhead("aio-held", 1)
        held = wb.Dependency("aio-held", timeout=5, bulkhead=places, breaker=wb.Breaker("aio-held"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=aio_client(held)) as channel:
            stream = channel.unary_stream("/t.T/Endless")(b"")
            assert await stream.read() == b"."
            assert limiter.inflight == 1
            with pytest.raises(wb.BulkheadFull):
                async for _ in channel.unary_stream("/t.T/Endless")(b""):
                    pass
            stream.cancel()
            for _ in range(500):
                if limiter.inflight == places._inflight == 0:
                    break
                await asyncio.sleep(0.005)
            assert (limiter.inflight, places._inflight) == (0, 0)
            _, end = begin_request()
            assert [each async for each in channel.unary_stream("/t.T/Writing")(b"")] == [b"written"]
            await asyncio.sleep(0.01)
            assert wb.degraded() == ("reviews",)
            end()
            assert [each async for each in channel.unary_stream("/t.T/ThreadedStream")(b"")] == [b"a", b"b"]
            assert await channel.unary_unary("/t.T/Threaded")(b"") != threading.current_thread().name.encode()
        await server.stop(0)

    asyncio.run(go())
