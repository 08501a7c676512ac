"""Microseconds that each primitive of watchbill-sdk adds to a call, beside tenacity, pybreaker and hyx, in one run.

A function that does nothing is called bare and protected, in rounds that take turns; each figure is the median of the
rounds' differences, so a busy machine touches all alike. hyx has async primitives only, so it meets our async ones.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.results import Result

CALLS = 2_000
ROUNDS = 15
NAMES = (
    "sdk_retry", "sdk_retry_async", "sdk_breaker", "sdk_breaker_async", "sdk_bulkhead", "sdk_bulkhead_async",
    "sdk_timeout_async", "sdk_fallback_async", "sdk_limiter", "sdk_throttle", "sdk_deadline", "sdk_switch",
    "sdk_dependency", "sdk_hedge_async",
)  # fmt: skip
LIMIT_US = 50.0


def nothing() -> int:
    """The work."""
    return 1


async def nothing_async() -> int:
    """The work, as a coroutine."""
    return 1


def _sync_contenders() -> dict[str, Callable[[], Any]]:
    import pybreaker
    import tenacity

    import watchbill_sdk as wb

    payments = wb.Dependency(
        "all",
        timeout=5,
        retry=wb.Retry("all", on=OSError),
        breaker=wb.Breaker("all"),
        bulkhead=wb.Bulkhead("all", 10),
        throttle=wb.Throttle("all"),
    )
    return {
        "sdk_retry": wb.Retry("retry", on=OSError)(nothing),
        "sdk_breaker": wb.Breaker("breaker")(nothing),
        "sdk_bulkhead": wb.Bulkhead("bulkhead", 10)(nothing),
        "sdk_limiter": wb.Limiter("limiter")(nothing),
        "sdk_throttle": wb.Throttle("throttle")(nothing),
        "sdk_deadline": wb.deadline(5)(nothing),
        "sdk_switch": wb.Switch("switch")(nothing),
        "sdk_dependency": payments(nothing),
        "tenacity": tenacity.retry(
            stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type(OSError)
        )(nothing),
        "pybreaker": pybreaker.CircuitBreaker()(nothing),
    }


def _async_contenders() -> dict[str, Callable[[], Awaitable[Any]]]:
    import tenacity
    from hyx.bulkhead import bulkhead
    from hyx.circuitbreaker import consecutive_breaker
    from hyx.fallback import fallback
    from hyx.retry import retry
    from hyx.timeout import timeout

    import watchbill_sdk as wb

    async def instead(*_: object, **__: object) -> int:
        return 0

    return {
        "sdk_retry_async": wb.Retry("retry", on=OSError)(nothing_async),
        "sdk_breaker_async": wb.Breaker("breaker")(nothing_async),
        "sdk_bulkhead_async": wb.Bulkhead("bulkhead", 10)(nothing_async),
        "sdk_timeout_async": wb.deadline(5)(nothing_async),
        "sdk_fallback_async": wb.Fallback("fallback", 0)(nothing_async),
        "sdk_hedge_async": wb.Hedge("hedge", after=5)(nothing_async),
        "hyx_retry": retry(on=OSError, attempts=3)(nothing_async),
        "hyx_breaker": consecutive_breaker(exceptions=(OSError,))(nothing_async),
        "hyx_bulkhead": bulkhead(max_concurrency=10, max_capacity=20)(nothing_async),
        "hyx_timeout": timeout(5)(nothing_async),
        "hyx_fallback": fallback(instead, on=OSError)(nothing_async),
        "tenacity_async": tenacity.retry(
            stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type(OSError)
        )(nothing_async),
    }


def _measure_sync(contenders: dict[str, Callable[[], Any]]) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS + 1):
        bare = _time(nothing)
        for name, call in contenders.items():
            seconds = _time(call)
            if turn:  # the first round warms up
                took[name].append((seconds - bare) / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in took.items()}


def _time(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - began


async def _measure_async() -> dict[str, float]:
    contenders = _async_contenders()
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS + 1):
        bare = await _time_async(nothing_async)
        for name, call in contenders.items():
            seconds = await _time_async(call)
            if turn:
                took[name].append((seconds - bare) / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in took.items()}


async def _time_async(call: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return time.perf_counter() - began


_PEERS = {
    "sdk_retry": ("tenacity", "tenacity"),
    "sdk_retry_async": ("hyx", "hyx_retry"),
    "sdk_breaker": ("pybreaker", "pybreaker"),
    "sdk_breaker_async": ("hyx", "hyx_breaker"),
    "sdk_bulkhead_async": ("hyx", "hyx_bulkhead"),
    "sdk_timeout_async": ("hyx", "hyx_timeout"),
    "sdk_fallback_async": ("hyx", "hyx_fallback"),
}


def run() -> list[Result]:
    """Each primitive on a call that succeeds at once; ``sdk_overhead`` is five of them together."""
    found = _measure_sync(_sync_contenders()) | asyncio.run(_measure_async())
    results = []
    for name in NAMES:
        peer, key = _PEERS.get(name, (None, None))
        value = found[name]
        results.append(
            Result(
                name=name,
                value=round(value, 2),
                unit="µs",
                better="lower",
                peer=peer,
                peer_value=round(found[key], 2) if key else None,
                ratio=round(found[key] / value, 2) if key else None,
            )
        )
    results.append(
        Result(
            name="sdk_retry_async_tenacity",
            value=round(found["sdk_retry_async"], 2),
            unit="µs",
            better="lower",
            peer="tenacity",
            peer_value=round(found["tenacity_async"], 2),
            ratio=round(found["tenacity_async"] / found["sdk_retry_async"], 2),
        )
    )
    results.append(
        Result(
            name="sdk_overhead",
            value=round(found["sdk_dependency"], 2),
            unit="µs",
            better="lower",
            limit=f"timeout, retry, breaker, bulkhead and throttle together, {LIMIT_US:g} µs a call",
            limit_value=LIMIT_US,
        )
    )
    return results
