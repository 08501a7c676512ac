"""Event posted → webhook on the wire, at 50 new incidents a second, each step durable.

Prediction, written before the first run: intake commit 4 ms, wake-up 1 ms, routing commit 6 ms (about
25 statements over a socket), claim 2 ms, POST 2 ms: p50 about 15 ms, p99 under 100 ms for the queue that
builds when a commit is slow. Alertmanager does the same in memory and is shown beside it where installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from bench._stack import MANIFEST, Connection, Stack, free_port, percentile, running
from bench.results import Result

NAMES = ("page_latency_p50", "page_latency_p99")
RATE = 50
SECONDS = 10
WARM_UP = 50
SENDERS = 8


def run() -> list[Result]:
    """p50 and p99 in milliseconds over 500 incidents after a warm-up."""
    with running() as stack:
        waits = asyncio.run(_watchbill(stack))
    peer = asyncio.run(_alertmanager())
    p50, p99 = percentile(waits, 0.50) * 1000, percentile(waits, 0.99) * 1000
    measured = [percentile(peer, 0.50) * 1000, percentile(peer, 0.99) * 1000] if peer else [None, None]
    return [
        Result(
            name=name,
            value=value,
            unit="ms",
            better="lower",
            peer="Alertmanager, in memory, group_wait 0s, same run" if there else None,
            peer_value=there,
            ratio=value / there if there else None,
            limit=f"at {RATE} new incidents/s, every step durable",
            limit_value=limit,
        )
        for name, value, there, limit in (
            ("page_latency", p50, measured[0], 30.0),
            ("page_latency_p99", p99, measured[1], 150.0),
        )
    ]


async def _watchbill(stack: Stack) -> list[float]:
    manifest = stack.home.parent / "watchbill.yaml"
    manifest.write_text(MANIFEST)
    stack.cli("apply", str(manifest))
    async with _sink() as (port, arrived):
        for method in stack.cli("contact", "list", "--person", "dana@bench.example"):
            stack.cli("contact", "remove", method["id"], "--person", "dana@bench.example")
        stack.cli("contact", "add", "webhook", f"http://127.0.0.1:{port}/", "--person", "dana@bench.example")
        key = stack.cli("integration", "create", "bench", "--format", "events")["key"]

        def event(number: int) -> bytes:
            return msgspec.json.encode({"identity": f"bench-{number}", "title": f"bench-{number}"})

        return await _drive(
            stack.port, "/api/v1/events", event, arrived, bearer=key, name_of=lambda body: body["incident"]["title"]
        )


async def _alertmanager() -> list[float]:
    """The same through Alertmanager; empty when it is not installed."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        return []
    async with _sink() as (sink_port, arrived):
        with tempfile.TemporaryDirectory(prefix="wbbench-am-") as folder:
            port = free_port()
            config = Path(folder) / "am.yml"
            config.write_text(
                "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1m, repeat_interval: 1h}\n"
                f"receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{sink_port}/'}}]}}]\n"
            )
            process = subprocess.Popen(
                [
                    *(binary, f"--config.file={config}", f"--storage.path={folder}/data"),
                    *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await _until_open(port)

                def alert(number: int) -> bytes:
                    return msgspec.json.encode([{"labels": {"alertname": f"bench-{number}"}}])

                return await _drive(
                    port,
                    "/api/v2/alerts",
                    alert,
                    arrived,
                    name_of=lambda body: body["alerts"][0]["labels"]["alertname"],
                )
            finally:
                process.terminate()
                process.wait(10)


async def _drive(
    port: int,
    path: str,
    body_of: Callable[[int], bytes],
    arrived: dict[str, float],
    *,
    name_of: Callable[..., str],
    bearer: str = "",
) -> list[float]:
    """Post at the fixed rate whatever the answers take; waits from the first byte posted to the webhook's arrival."""
    connections = [Connection(port) for _ in range(SENDERS)]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    posted: dict[str, float] = {}

    async def one(number: int) -> None:
        connection = await free.get()
        posted[f"bench-{number}"] = time.perf_counter()
        status = await connection.post(path, body_of(number), bearer=bearer)
        assert status in (200, 202), status
        free.put_nowait(connection)

    arrived.clear()
    arrived["name_of"] = name_of  # type: ignore[assignment]
    began = time.perf_counter()
    tasks = []
    total = WARM_UP + RATE * SECONDS
    for number in range(total):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    for _ in range(200):
        if len(arrived) - 1 >= total:
            break
        await asyncio.sleep(0.1)
    missing = [name for name in posted if name not in arrived]
    assert not missing, f"{len(missing)} pages did not arrive"
    return [arrived[f"bench-{n}"] - posted[f"bench-{n}"] for n in range(WARM_UP, total)]


@contextlib.asynccontextmanager
async def _sink() -> AsyncIterator[tuple[int, dict[str, float]]]:
    """A webhook's receiver that notes when each title first arrived."""
    arrived: dict[str, float] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = time.perf_counter()
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                body = msgspec.json.decode(await reader.readexactly(length))
                name_of: Callable[..., str] = arrived["name_of"]  # type: ignore[assignment]
                arrived.setdefault(name_of(body), at)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], arrived


async def _until_open(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the peer did not start")
