"""Real processes, a real SMTP server and real HTTP: what the tests of lost pages are played with."""

from __future__ import annotations

import asyncio
import atexit
import email
import email.policy
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from aiosmtpd.controller import Controller

Found = TypeVar("Found")

PATIENCE_SECONDS = 60.0
"""Far above what anything here takes: order is asserted, never time."""


def eventually(look: Callable[[], Found | None], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """Look until something is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError("it did not happen in time")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Mail:
    """One mail that the sink accepted."""

    def __init__(self, to: str, content: bytes) -> None:
        message = email.message_from_bytes(content, policy=email.policy.default)
        body = message.get_body(("plain",))
        self.to = to
        self.id = str(message["Message-ID"])
        self.text = "" if body is None else body.get_content()

    @property
    def acknowledge_path(self) -> str:
        """The path of the signed link."""
        found = re.search(r"https?://[^/\s]+(/a/\S+)", self.text)
        assert found, self.text
        return found.group(1)


class MailSink:
    """An SMTP server on loopback. While ``slow`` is set it has the mail but does not say so yet."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.in_flight = 0
        self.slow = threading.Event()
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self._controller.start()
        self.url = f"smtp://127.0.0.1:{self._controller.port}"

    async def handle_DATA(self, _server: object, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd names it
        if self.slow.is_set():
            self.in_flight += 1
            while self.slow.is_set():
                await asyncio.sleep(0.02)
            return "451 the sender is gone: not kept"
        self.mails.extend(Mail(to, envelope.content) for to in envelope.rcpt_tos)
        return "250 kept"

    def to(self, login: str) -> list[Mail]:
        return [mail for mail in list(self.mails) if mail.to.split("@")[0] == login]

    def stop(self) -> None:
        self.slow.clear()
        self._controller.stop()


class ForkServer:
    """One a test run: see `tests.crash.forkserver`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forkserver.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.stop)

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


@cache
def fork_server() -> ForkServer:
    return ForkServer()


class Process:
    """A process of Watchbill's, killed and started again at will."""

    def __init__(self, name: str, environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._environment = environment
        self._log = log
        self._pid: int | None = None

    def start(self) -> None:
        self._pid = fork_server().ask(
            name=self.name, environment={**os.environ, **self._environment}, log=str(self._log)
        )

    @property
    def alive(self) -> bool:
        return self._pid is not None and fork_server().ask(poll=self._pid) is None

    def signal(self, number: signal.Signals) -> None:
        assert self._pid is not None
        fork_server().ask(signal=int(number), to=self._pid)

    def kill(self) -> None:
        """kill -9, and wait until the kernel has taken its connections away."""
        if self._pid is not None:
            self.signal(signal.SIGKILL)
            fork_server().ask(wait=self._pid)
            self._pid = None


class Answer:
    """A status, headers and a body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Installation:
    """A server and a pager over one database, and what people and tools do with them over HTTP."""

    def __init__(self, *, database_url: str, home: Path, smtp_url: str, token: str) -> None:
        self.port = free_port()
        self.log = home / "log"
        self.token = token
        environment = {
            "WATCHBILL_HOME": str(home),
            "WATCHBILL_DATABASE_URL": database_url,
            "WATCHBILL_SMTP_URL": smtp_url,
            "WATCHBILL_SECRET_KEY": "k" * 40,
            "WATCHBILL_LOG_FORMAT": "json",
            "WATCHBILL_PORT": str(self.port),
        }
        self.server = Process("server", environment, self.log)
        self.pager_health = free_port()
        self.pager = Process("pager", {**environment, "WATCHBILL_HEALTH_PORT": str(self.pager_health)}, self.log)

    def start(self) -> None:
        self.pager.start()
        self.server.start()
        self.await_server()
        self.await_pager()

    def await_server(self) -> None:
        eventually(lambda: self.get("/readyz").status == 200)

    def await_pager(self) -> None:
        eventually(lambda: call("GET", f"http://127.0.0.1:{self.pager_health}/readyz").status == 200)

    def kill(self) -> None:
        self.pager.kill()
        self.server.kill()

    def end(self) -> None:
        """Kill both, and show what they said beside a failed test."""
        self.kill()
        sys.stdout.write(self.log.read_text())

    def get(self, path: str) -> Answer:
        return call("GET", f"http://127.0.0.1:{self.port}{path}", token=self.token)

    def post(self, path: str, body: object = None, *, token: str | None = None) -> Answer:
        return call("POST", f"http://127.0.0.1:{self.port}{path}", body, token=token or self.token)

    def send_event(self, identity: str = "high-errors", **more: object) -> Answer:
        """Post a firing event once."""
        event = {"identity": identity, "title": f"{identity} on payments", "service": "payments", **more}
        return self.post("/api/v1/events", event)

    def timeline(self) -> list[str]:
        """The names of the only incident's timeline, through the API."""
        (incident,) = self.get("/api/v1/incidents").json
        detail = self.get(f"/api/v1/incidents/{incident['number']}").json
        return [entry["name"] for entry in detail["timeline"]]


def call(method: str, url: str, body: object = None, *, token: str | None = None) -> Answer:
    """One request; status 0 when nobody answered."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if data is not None:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())
    except OSError as error:
        return Answer(0, {}, str(error).encode())
