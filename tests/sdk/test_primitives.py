"""Each primitive, plainly: in sync and async code, refused and let through, and what it leaves as evidence."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import watchbill_sdk as wb
from watchbill_sdk import contract
from watchbill_sdk.deadlines import header_value, read_headers
from watchbill_sdk.fallbacks import begin_request
from watchbill_sdk.integrations.wsgi import Middleware
from watchbill_sdk.outbound import outgoing_headers
from watchbill_sdk.recorder import RECORDER
from watchbill_sdk.switches import set_polled

QUICK: dict[str, Any] = {"wait_initial": 0.001, "wait_max": 0.002, "wait_jitter": 0.001}
BAD_SECONDS = [0, -1, float("nan"), float("inf"), True, "2", timedelta(0), None]


def used(dependency: str, primitive: str) -> bool:
    return any(e.used_at > 0 for e in wb.evidence() if (e.dependency, e.primitive) == (dependency, primitive))


@pytest.mark.parametrize("bad", BAD_SECONDS)
def test_seconds_that_are_no_time_are_refused_when_the_primitive_is_made(bad: Any) -> None:
    for make in (
        lambda: wb.deadline(bad),
        lambda: wb.Breaker("d", recovery=bad),
        lambda: wb.Hedge("d", after=bad),
        lambda: wb.Throttle("d", window=bad),
        lambda: wb.Retry("d", on=OSError, wait_initial=bad),
    ):
        with pytest.raises(wb.ConfigError, match="positive, finite"):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: wb.Bulkhead("d", 0),
        lambda: wb.Bulkhead("d", 1, wait=float("nan")),
        lambda: wb.Bulkhead("d", 1, wait=-1),
        lambda: wb.RetryBudget("d", ratio=0),
        lambda: wb.RetryBudget("d", ratio=float("nan")),
        lambda: wb.Retry("d", on=(), attempts=2),
        lambda: wb.Retry("d", on=OSError, attempts=0),
        lambda: wb.Throttle("d", k=float("nan")),
        lambda: wb.Breaker("", failures=2),
        lambda: wb.Breaker("x" * 101),
        lambda: wb.Fallback("d", 1, on=()),
    ],
)
def test_settings_that_cannot_work_are_refused_when_the_primitive_is_made(make: Any) -> None:
    with pytest.raises(wb.ConfigError):
        make()


def test_a_nested_deadline_only_shortens() -> None:
    assert wb.remaining() is None
    with wb.deadline(5):
        with wb.deadline(60):
            assert 4.9 < (wb.remaining() or 0) <= 5
        with wb.deadline(timedelta(seconds=1)):
            assert (wb.remaining() or 9) <= 1
            assert wb.time_left(30) <= 1
            assert wb.time_left(0.1) == 0.1
    assert wb.remaining() is None
    assert wb.time_left(30) == 30


def test_sync_code_learns_at_its_next_step_that_time_is_up() -> None:
    with wb.deadline(0.01, dependency="steps"):
        wb.check()
        time.sleep(0.015)
        with pytest.raises(wb.DeadlineExceeded):
            wb.check()
        with pytest.raises(TimeoutError), wb.deadline(1):
            pytest.fail("nothing may start after the deadline")
    assert used("steps", "timeout")


def test_async_code_is_cancelled_and_the_inner_deadline_does_not_outlive_the_outer() -> None:
    async def go() -> None:
        began = time.monotonic()
        with pytest.raises(wb.DeadlineExceeded):
            async with wb.deadline(0.02), wb.deadline(9):
                await asyncio.sleep(5)
        assert time.monotonic() - began < 1

        @wb.deadline(0.02)
        async def slow() -> None:
            await asyncio.sleep(5)

        results = await asyncio.gather(slow(), slow(), return_exceptions=True)
        assert [type(result) for result in results] == [wb.DeadlineExceeded] * 2

    asyncio.run(go())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1500", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("nan", None),
        ("soon", None),
        ("1e300", 3600.0),
        ("inf", 3600.0),
        ("", None),
    ],
)
def test_the_deadline_header_of_a_stranger(text: str, seconds: float | None) -> None:
    assert read_headers({contract.DEADLINE_HEADER: text}.get) == seconds
    assert read_headers({contract.ENVOY_DEADLINE_HEADER: text}.get) == seconds


def test_the_deadline_goes_out_as_whole_milliseconds() -> None:
    assert header_value() is None
    with wb.deadline(1):
        assert 900 < int(header_value() or "0") <= 1000


def test_retries_stay_near_a_tenth_of_traffic_when_everything_fails() -> None:
    retry = wb.Retry("storm", on=OSError, attempts=3, budget=wb.RetryBudget("storm", reserve=5), **QUICK)
    calls = 0

    @retry
    def failing() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    for _ in range(100):
        with pytest.raises(ConnectionError):
            failing()
    assert 100 + 5 <= calls <= 100 + 5 + 10 + 1
    assert RECORDER.value(contract.RETRIES, "storm", "budget_spent")
    assert used("storm", "retry")


def test_a_retry_ends_with_success_and_what_was_not_named_is_raised_at_once() -> None:
    seen: list[int] = []
    retry = wb.Retry("twice", on=ConnectionError, attempts=3, **QUICK)

    def flaky(value: int) -> int:
        seen.append(value)
        if len(seen) < 3:
            raise ConnectionError
        return value

    assert retry.call(flaky, 7) == 7
    assert seen == [7, 7, 7]
    with pytest.raises(ZeroDivisionError):
        retry.call(lambda: 1 // 0)

    async def flaky_async() -> str:
        seen.append(0)
        if len(seen) < 5:
            raise ConnectionError
        return "done"

    assert asyncio.run(retry(flaky_async)()) == "done"


def test_nobody_retries_past_the_deadline_or_a_refusal() -> None:
    retry = wb.Retry("late", on=Exception, attempts=5, wait_initial=1)
    calls: list[int] = []

    def failing(error: Exception) -> None:
        calls.append(1)
        raise error

    with wb.deadline(0.5), pytest.raises(ConnectionError):
        retry.call(failing, ConnectionError())
    with pytest.raises(wb.BreakerOpen):
        retry.call(failing, wb.BreakerOpen("open"))
    assert len(calls) == 2
    assert RECORDER.value(contract.RETRIES, "late", "deadline") == 1


def test_a_breaker_opens_lets_one_probe_and_closes() -> None:
    breaker = wb.Breaker("bank", failures=3, recovery=0.03)
    for _ in range(3):
        with pytest.raises(ConnectionError), breaker.guard():
            raise ConnectionError
    assert breaker.state == "open"
    with pytest.raises(wb.BreakerOpen) as refused, breaker.guard():
        pytest.fail("open")
    assert refused.value.retry_after == pytest.approx(0.03)
    time.sleep(0.04)
    probe = breaker.begin()
    assert breaker.state == "half_open"
    with pytest.raises(wb.BreakerOpen):
        breaker.begin()  # one probe at a time
    breaker.end(probe, None)
    assert breaker.state == "closed"
    assert RECORDER.value(contract.BREAKER_CHANGES, "bank", "open") == 1
    assert RECORDER.value(contract.BREAKER_STATE, "bank") == 0


def test_a_breaker_counts_neither_refusals_nor_cancellation_nor_late_news() -> None:
    breaker = wb.Breaker("counting", failures=1, recovery=60, ignore=(KeyError,))
    for error in (wb.Overloaded("x"), asyncio.CancelledError(), KeyError()):
        breaker.end(breaker.begin(), error)
    assert breaker.state == "closed"
    early = breaker.begin()
    breaker.end(breaker.begin(), OSError())
    assert breaker.state == "open"
    breaker.end(early, None)
    assert breaker.state == "open", "a call from before it opened proves nothing"


@given(st.lists(st.booleans(), max_size=40))
def test_a_breaker_is_open_exactly_after_as_many_failures_in_a_row_as_it_was_told(outcomes: list[bool]) -> None:
    breaker, row = wb.Breaker("in-a-row", failures=3, recovery=60), 0
    for good in outcomes:
        breaker.end(breaker.begin(), None if good else OSError())
        row = 0 if good else row + 1
        assert breaker.state == ("open" if row == 3 else "closed")
        if row == 3:
            return


def test_a_cancelled_probe_leaves_room_for_the_next() -> None:
    breaker = wb.Breaker("probe", failures=1, recovery=0.01)
    breaker.end(breaker.begin(), OSError())
    time.sleep(0.02)
    breaker.end(breaker.begin(), asyncio.CancelledError())
    breaker.end(breaker.begin(), None)
    assert breaker.state == "closed"


def test_a_bulkhead_refuses_or_lets_wait_threads_and_coroutines_alike() -> None:
    strict = wb.Bulkhead("strict", 1)
    with strict.guard(), pytest.raises(wb.BulkheadFull), strict.guard():
        pytest.fail("full")
    patient = wb.Bulkhead("patient", 2, wait=2)
    running = peak = 0
    lock = threading.Lock()

    @patient
    def work() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    async def work_async() -> None:
        async with patient.guard():
            await asyncio.to_thread(lambda: None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()

    async def all_of_them() -> None:
        await asyncio.gather(*(work_async() for _ in range(8)))

    asyncio.run(all_of_them())
    for thread in threads:
        thread.join()
    assert peak <= 2
    assert RECORDER.value(contract.CONCURRENCY_INFLIGHT, "patient", "bulkhead") == 0


def test_who_waits_for_a_bulkhead_waits_no_longer_than_its_deadline() -> None:
    bulkhead = wb.Bulkhead("impatient", 1, wait=30)
    began = time.monotonic()
    with bulkhead.guard(), wb.deadline(0.02), pytest.raises(wb.BulkheadFull), bulkhead.guard():
        pytest.fail("full")

    async def cancelled() -> None:
        task = asyncio.ensure_future(bulkhead.begin_async())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with bulkhead.guard():
        asyncio.run(cancelled())
    with bulkhead.guard():
        pass
    assert time.monotonic() - began < 5


def test_a_throttle_holds_back_after_refusals_and_recovers_with_the_window() -> None:
    now = [0.0]
    throttle = wb.Throttle("tired", window=120, clock=lambda: now[0], chance=lambda: 0.5)
    for _ in range(20):
        throttle.begin()
        throttle.end(None, None)
    sent = 0
    for _ in range(200):
        try:
            throttle.begin()
        except wb.Throttled:
            continue
        sent += 1
        throttle.end(None, OSError())
    assert 55 <= sent <= 65  # until (requests − 2·20)/(requests + 1) passes one half: 81 requests, 20 of them before
    now[0] = 121.0
    assert throttle.probability == 0.0
    throttle.begin()


def test_a_hedge_takes_the_first_good_answer_and_pays_from_the_budget() -> None:
    budget = wb.RetryBudget("tail", reserve=2)
    hedge = wb.Hedge("tail", after=0.01, budget=budget)
    calls: list[int] = []

    async def answer() -> int:
        calls.append(1)
        number = len(calls)
        await asyncio.sleep(5 if number == 1 else 0)
        return number

    assert asyncio.run(hedge.call_async(answer)) == 2
    calls.clear()

    @hedge
    def answer_sync() -> int:
        calls.append(1)
        number = len(calls)
        time.sleep(0.1 if number == 1 else 0)
        return number

    assert answer_sync() == 2
    assert RECORDER.value(contract.HEDGES, "tail", "won") == 2
    calls.clear()
    assert answer_sync() == 1, "no token is left"
    assert RECORDER.value(contract.HEDGES, "tail", "budget_spent") == 1

    async def broken() -> None:
        raise KeyError("both")

    with pytest.raises(KeyError):
        asyncio.run(hedge.call_async(broken))


def test_a_fallback_answers_and_says_so() -> None:
    _, end = begin_request()
    try:

        @wb.Fallback("recommendations", lambda user: [f"bestseller for {user}"])
        def recommend(user: str) -> list[str]:
            raise wb.BreakerOpen("open")

        @wb.Fallback("reviews", 0)
        async def reviews() -> int:
            raise ConnectionError

        assert recommend("bob") == ["bestseller for bob"]
        assert asyncio.run(reviews()) == 0
        assert wb.degraded() == ("recommendations", "reviews")
    finally:
        end()
    assert wb.degraded() == ()
    assert RECORDER.value(contract.DEGRADED, "recommendations", "breaker_open") == 1

    @wb.Fallback("bugs", None)
    def bug() -> None:
        raise TypeError("hidden by no fallback")

    with pytest.raises(TypeError):
        bug()


def test_a_switch_listens_to_here_then_environment_then_poll_then_default(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = wb.Switch("gift-wrap")
    assert switch
    set_polled({"gift-wrap": False})
    assert not switch
    monkeypatch.setenv("WATCHBILL_SWITCH_GIFT_WRAP", "on")
    assert switch
    switch.off()
    with pytest.raises(wb.SwitchedOff), switch.guard():
        pytest.fail("off")
    switch.follow()
    monkeypatch.setenv("WATCHBILL_SWITCH_GIFT_WRAP", "perhaps")
    assert not switch, "an unintelligible environment is passed over"


def test_a_dependency_applies_everything_in_order_and_leaves_evidence() -> None:
    calls: list[float | None] = []
    payments = wb.Dependency(
        "payments",
        timeout=1,
        retry=wb.Retry("payments", on=OSError, attempts=2, **QUICK),
        breaker=wb.Breaker("payments", failures=4, recovery=60),
        bulkhead=wb.Bulkhead("payments", 3),
        throttle=wb.Throttle("payments", chance=lambda: 1.0),
        switch=wb.Switch("payments"),
        fallback=wb.Fallback("payments", "later", on=(wb.BreakerOpen,)),
    )

    @payments
    def charge(fail: bool) -> str:
        calls.append(wb.remaining())
        if fail:
            raise ConnectionError
        return "charged"

    assert charge(False) == "charged"
    assert calls == [pytest.approx(1, abs=0.1)]
    for _ in range(2):
        with pytest.raises(ConnectionError):
            charge(True)
    assert len(calls) == 5, "each was tried twice, and the breaker saw all four"
    assert charge(False) == "later"
    assert {e.primitive for e in wb.evidence() if e.dependency == "payments" and e.used_at} == {
        "timeout", "retry", "breaker", "bulkhead", "throttle", "switch", "fallback",
    }  # fmt: skip
    counted = [RECORDER.value(contract.CALLS, "payments", word) for word in ("ok", "error", "rejected")]
    assert counted == [1, 2, 1]

    async def slow() -> None:
        await asyncio.sleep(5)

    quick = wb.Dependency("quick", timeout=0.01)
    with pytest.raises(wb.DeadlineExceeded):
        asyncio.run(quick(slow)())
    assert RECORDER.value(contract.CALLS, "quick", "timeout") == 1


def test_a_server_sheds_by_the_priority_of_the_request_and_passes_it_on() -> None:
    limiter = wb.Limiter("edge", wb.Fixed(10))
    passed_on: list[str | None] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        passed_on.append(outgoing_headers().get("request-priority"))
        start_response("200 OK", [])
        return [b"done"]

    def ask(served: Middleware, priority: str, path: str = "/orders") -> tuple[str, dict[str, str]]:
        answers: list[tuple[str, dict[str, str]]] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_REQUEST_PRIORITY": priority}
        body = served(environ, lambda line, headers, *_: answers.append((line, dict(headers))))
        list(body)
        getattr(body, "close", lambda: None)()
        return answers[0]

    served = Middleware(app, limiter=limiter)
    held = [limiter.begin(wb.Priority.CRITICAL) for _ in range(8)]
    line, headers = ask(served, "low")
    assert line == "503 Service Unavailable"
    assert headers["retry-after"] == "1"
    assert ask(served, "critical")[0] == "200 OK"
    assert ask(served, "whatever")[0] == "200 OK", "an unknown word is normal"
    assert passed_on == ["critical", None]
    assert RECORDER.value(contract.SHED, "edge", "low") == 1
    strangers = Middleware(app, limiter=limiter, trust_headers=False, classify=lambda method, path, header: None)
    held.append(limiter.begin(wb.Priority.CRITICAL))
    assert ask(strangers, "critical")[0].startswith("503"), "at the edge nobody says of itself that it is critical"
    for one in held:
        limiter.end(one, None)
    assert limiter.inflight == 0
    wb.HEALTH.leave()
    assert ask(served, "low", "/readyz")[0].startswith("503")
    assert ask(served, "low", "/healthz")[0] == "200 OK"


def test_a_forked_child_hedges_on_threads_of_its_own() -> None:
    hedge = wb.Hedge("forked", after=1)
    assert hedge.call(lambda: 1) == 1
    child = os.fork()
    if child == 0:
        os._exit(0 if hedge.call(lambda: 2) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_how_long_a_stream_of_events_lasted_teaches_a_limiter_nothing() -> None:
    from watchbill_sdk.integrations.asgi import Middleware

    now = [0.0]
    limiter = wb.Limiter("sse", wb.AIMD(timeout=1.0, limit=50), window=1, least_samples=1, clock=lambda: now[0])

    def app(content_type: bytes) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            now[0] += 60
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
            await send({"type": "http.response.body", "body": b""})

        return Middleware(serve, limiter=limiter)

    async def ask(content_type: bytes) -> int:
        async def nothing(*_: Any) -> None:
            return None

        await app(content_type)({"type": "http", "method": "GET", "path": "/", "headers": []}, nothing, nothing)
        return limiter.limit

    assert asyncio.run(ask(b"text/event-stream; charset=utf-8")) == 50
    assert asyncio.run(ask(b"application/json")) == 45
    assert limiter.inflight == 0


def test_a_client_takes_no_dependency_whose_fallback_it_could_not_use() -> None:
    from watchbill_sdk.integrations import aiohttp, grpc, httpx, requests

    backed = wb.Dependency("backed", fallback=wb.Fallback("backed", None))
    http: list[Any] = [httpx.Transport, httpx.AsyncTransport, requests.Adapter, aiohttp.client]
    for make in (*http, grpc.ClientInterceptor, grpc.aio_client):
        with pytest.raises(wb.ConfigError, match="put it on the function that calls"):
            make(backed)
