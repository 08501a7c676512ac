"""Goodput under overload, with and without the adaptive limit: a real server, a real client, the curve drawn.

The server is Starlette on uvicorn in a process of its own; its handler burns CPU (PBKDF2, which leaves the interpreter
lock) on a worker thread, one at a time, so that requests queue when more come than it can do. The client, in another
process, is open-loop: it sends at the moments of a Poisson process, whether or not earlier requests were answered, as
users do, over kept connections. An answer is good when its status is 200 and it comes within half a second of the
moment it was to be sent; then the client hangs up.

Peak is what four patient clients get from the server without a limit (closed loop). The figure is goodput with the
limit at three times that load, as a share of it: the median of five rounds, each of which measures the peak and the
overload one after the other, because on a shared machine a peak of two minutes ago says little about now. The rounds'
limited server never sees anything but overload. The curve is one pass.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.results import Result

NAMES = ("sdk_goodput_without", "sdk_goodput_peak", "sdk_goodput_least")
PATIENCE_SECONDS = 0.5
SECONDS = 4.0
WARM_SECONDS = 3.0
MULTIPLES = (0.5, 0.9, 1.5, 2.0, 3.0)
PAIRS = 5
ROUNDS = 60_000
"""Of PBKDF2-SHA256: some 20 ms of one core."""

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "sdk-goodput.svg"
_REQUEST = b"GET /work HTTP/1.1\r\nhost: bench\r\n\r\n"


def _serve(listener: socket.socket, limited: bool) -> None:
    import hashlib
    from concurrent.futures import ThreadPoolExecutor

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    import watchbill_sdk as wb
    from watchbill_sdk.integrations.starlette import install

    worker = ThreadPoolExecutor(1)

    async def work(_: Request) -> PlainTextResponse:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(worker, hashlib.pbkdf2_hmac, "sha256", b"password", b"salt", ROUNDS)
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/work", work)])
    if limited:
        install(app, limiter=wb.Limiter("bench"))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", backlog=4096)
    uvicorn.Server(config).run(sockets=[listener])


class _Connections:
    """Kept connections; one that was given up on is closed, as a client does that no longer waits."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> bool:
        """Send one request and read its answer; return whether its status is 200."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except BaseException:
            writer.transport.abort()
            raise
        self._idle.append((reader, writer))
        return head.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        """Close those that are idle."""
        for _, writer in self._idle:
            writer.transport.abort()


async def _user(connections: _Connections, due: float, good: list[float]) -> None:
    """One user: a good answer in time, or not."""
    try:
        async with asyncio.timeout_at(due + PATIENCE_SECONDS):
            if await connections.ask():
                good.append(asyncio.get_running_loop().time() - due)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return


async def _closed_loop(port: int) -> float:
    """Answers per second that four clients get who wait for each answer."""
    connections = _Connections(port)
    loop = asyncio.get_running_loop()
    until, done = loop.time() + SECONDS, 0

    async def client() -> None:
        nonlocal done
        while loop.time() < until:
            answered = await connections.ask()  # awaited first: `done +=` would read done before the wait
            done += answered

    await asyncio.gather(*(client() for _ in range(4)))
    connections.close()
    return done / SECONDS


async def _load(port: int, rate: float, seconds: float) -> list[float]:
    """Send at the moments of a Poisson process; return the latencies of the good answers."""
    chance = random.Random(7)
    good: list[float] = []
    connections = _Connections(port)
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    running: set[asyncio.Task[None]] = set()
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - loop.time()))
        task = asyncio.create_task(_user(connections, due, good))
        running.add(task)
        task.add_done_callback(running.discard)
        due += chance.expovariate(rate)
    if running:
        await asyncio.wait(running)
    connections.close()
    return good


def _client(port: int, rates: Sequence[float], pipe: Any) -> None:
    """For each rate: warm up so that the limit has learnt, then measure; without rates the peak. Answers/s."""

    async def measure() -> list[float]:
        if not rates:
            return [await _closed_loop(port)]
        found = []
        for rate in rates:
            await _load(port, rate, WARM_SECONDS)
            found.append(len(await _load(port, rate, SECONDS)) / SECONDS)
            await asyncio.sleep(1.0)  # what was left behind is worked off
        return found

    pipe.send(asyncio.run(measure()))


def _rounds(peak_port: int, limited_port: int, pipe: Any) -> None:
    """(peak, goodput at three times it) of each round."""

    async def measure() -> list[tuple[float, float]]:
        found = []
        for _ in range(PAIRS):
            peak = await _closed_loop(peak_port)
            await _load(limited_port, 3 * peak, WARM_SECONDS)
            found.append((peak, len(await _load(limited_port, 3 * peak, SECONDS)) / SECONDS))
            await asyncio.sleep(1.0)
        return found

    pipe.send(asyncio.run(measure()))


def _curve(limited: bool, rates: Sequence[float]) -> list[float]:
    """A fresh server process and a fresh client process; goodput at each rate."""
    with _server(limited) as port:
        found: list[float] = _ask(_client, port, rates)
        return found


def _ask(target: Callable[..., None], *arguments: Any) -> Any:
    """What a client in a process of its own found."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    client = context.Process(target=target, args=(*arguments, theirs))
    client.start()
    theirs.close()
    try:
        return mine.recv()
    finally:
        client.join()


@contextmanager
def _server(limited: bool) -> Iterator[int]:
    """The port of a server process."""
    context = multiprocessing.get_context("spawn")
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = listener.getsockname()[1]
    server = context.Process(target=_serve, args=(listener, limited))
    server.start()
    try:
        _await(port, server)
        yield port
    finally:
        server.terminate()
        server.join(15)
        if server.is_alive():
            server.kill()
            server.join()
        listener.close()


def _await(port: int, server: Any) -> None:
    for _ in range(500):
        if not server.is_alive():
            raise RuntimeError("sdk_goodput: the server did not start")
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as probe:
                probe.sendall(_REQUEST)
                if probe.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("sdk_goodput: the server does not answer")


def run() -> list[Result]:
    """Measure both curves over the same loads and draw them; then the rounds."""
    peak = _curve(limited=False, rates=[])[0]
    rates = [peak * multiple for multiple in MULTIPLES]
    without = _curve(limited=False, rates=rates)
    limited = _curve(limited=True, rates=rates)
    with _server(limited=False) as plain, _server(limited=True) as guarded:
        rounds: list[tuple[float, float]] = _ask(_rounds, plain, guarded)
    shares = [good / best for best, good in rounds]
    print("sdk_goodput rounds: " + ", ".join(f"{good:.0f} of {best:.0f}/s" for best, good in rounds), flush=True)
    peak = max(peak, *(best for best, _ in rounds))
    IMAGE.write_text(_draw(rates, without, limited), encoding="utf-8")
    return [
        Result(
            name="sdk_goodput",
            value=round(statistics.median(shares), 3),
            unit="of peak at 3× load",
            better="higher",
            peer="the same server without a limit",
            peer_value=round(without[-1] / peak, 3),
            ratio=round(limited[-1] / max(without[-1], 1 / SECONDS), 2),
            limit="≥ 80% of peak",
            limit_value=0.8,
        ),
        Result(name="sdk_goodput_without", value=round(without[-1], 1), unit="good answers/s at 3×", better="higher"),
        Result(name="sdk_goodput_least", value=round(min(shares), 3), unit="of peak, worst round", better="higher"),
        Result(name="sdk_goodput_peak", value=round(peak, 1), unit="good answers/s", better="higher"),
    ]


def _draw(rates: Sequence[float], without: Sequence[float], limited: Sequence[float]) -> str:
    """The two curves as an SVG that reads in light and dark."""
    width, height, left, right, top, bottom = 640, 360, 56, 150, 24, 48
    most_x, most_y = max(rates), max(*without, *limited) * 1.15

    def point(x: float, y: float) -> tuple[float, float]:
        return (
            left + x / most_x * (width - left - right),
            height - bottom - y / most_y * (height - top - bottom),
        )

    def line(values: Sequence[float], colour: str, name: str) -> str:
        places = [point(x, y) for x, y in zip(rates, values, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places)
        x, y = places[-1]
        return (
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>{dots}'
            f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>'
        )

    def ticks() -> str:
        parts = []
        for part in range(5):
            y_value = most_y * part / 4
            x, y = point(0, y_value)
            parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#8884"/>')
            parts.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{y_value:.0f}</text>')
        for multiple, rate in zip(MULTIPLES, rates, strict=True):
            x, y = point(rate, 0)
            parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{multiple:g}×</text>')
        return "".join(parts)

    middle = left + (width - left - right) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Goodput against offered load" font-family="system-ui, sans-serif" font-size="13" fill="#777">'
        f"{ticks()}"
        f"{line(without, '#d9480f', 'no limit')}{line(limited, '#1c7ed6', 'adaptive limit')}"
        f'<text x="{middle}" y="{height - 8}" text-anchor="middle">offered load, multiples of the peak</text>'
        f'<text x="{left}" y="14">good answers per second (within {PATIENCE_SECONDS:g} s)</text></svg>\n'
    )
