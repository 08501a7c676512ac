"""A whole Watchbill of real processes for a bench: own home, free ports, stopped at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

MANIFEST = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: platform}
spec:
  members: [dana@bench.example]
  fallback: true
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: platform
"""


class Stack:
    """A running installation and how to talk to it."""

    def __init__(self, home: Path, port: int, otlp_port: int, process: subprocess.Popen[bytes], ready_seconds: float):
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.otlp_port = otlp_port
        self.process = process
        self.ready_seconds = ready_seconds

    def cli(self, *arguments: str) -> Any:
        """Run a command with --json against this installation."""
        done = subprocess.run(
            [sys.executable, "-m", "watchbill.cli.app", *arguments, "--home", str(self.home), "--json"],
            check=True,
            capture_output=True,
        )
        return msgspec.json.decode(done.stdout)

    def memory_mb(self) -> float:
        """Proportional set size of every process in the group: shared pages count once."""
        return sum(_pss_mb(pid) for pid in _family(self.process.pid))


@contextlib.contextmanager
def running(**environment: str) -> Iterator[Stack]:
    """Start `watchbill up`, wait until it can take an alert, and stop it."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # else a start by root keeps PostgreSQL's data elsewhere, where nobody removes it
        home = Path(folder) / "home"
        port, otlp_port = free_port(), free_port()
        began = time.perf_counter()
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "watchbill.cli.app", "up", "--home", str(home)),
                    *("--port", str(port), "--otlp-port", str(otlp_port)),
                ],
                env={**os.environ, "WATCHBILL_ALLOW_PRIVATE_ADDRESSES": "true", **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_ready(process, f"http://127.0.0.1:{port}/readyz", Path(folder) / "log")
            yield Stack(home, port, otlp_port, process, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"Watchbill did not start:\n{log.read_text()[-4000:]}")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Connection:
    """A kept-alive HTTP/1.1 connection, thin enough not to be the thing that is measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, *, bearer: str = "") -> int:
        """Send and return the status."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        authorization = f"authorization: Bearer {bearer}\r\n" if bearer else ""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"{authorization}content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in answer.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        await reader.readexactly(length)
        return int(answer.split(b" ", 2)[1])


def _family(pid: int) -> list[int]:
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += _family(int(child))
    return found


def _pss_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
