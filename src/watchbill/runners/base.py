"""What every executor gets and gives: a task, a place to write, a way to be stopped; and how it ended.

An executor is one module: a ``run(context) -> Result``. It never raises for what the outside world does; it says so.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import msgspec

from watchbill.features.rollback import Task
from watchbill.runtime.http_out import AddressForbidden, Answer, HttpOut

Outcome = Literal["succeeded", "failed", "timed_out", "cancelled"]
P = TypeVar("P")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; ``message`` is one sentence for the timeline."""

    outcome: Outcome
    message: str
    exit_code: int | None = None


class Refused(Exception):
    """The executor cannot or may not go on; the message says why."""


class Stopped(Exception):
    """Time is over, or a person stopped it."""

    def __init__(self, outcome: Literal["timed_out", "cancelled"]) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Context:
    """One run of one executor.

    Args:
        task: what to do.
        write: takes a piece of output; streamed to the timeline.
        http: for URLs of the manifest. The runner is the team's own machine: its network is theirs to reach.
        environment: where ``env:`` references are looked up.
    """

    def __init__(
        self,
        task: Task,
        *,
        write: Callable[[str], None],
        http: HttpOut,
        environment: Mapping[str, str] | None = None,
        poll_seconds: float = 2.0,
    ) -> None:
        self.task = task
        self.http = http
        self.poll_seconds = poll_seconds
        self.stop_asked = threading.Event()
        self._write = write
        self._environment = os.environ if environment is None else environment
        self._secrets: set[str] = set()
        self._held = ""
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + task.timeout_seconds

    def plan(self, kind: type[P]) -> P:
        """The plan as the executor's struct.

        Raises:
            Refused: it is not such a plan.
        """
        try:
            return msgspec.convert(self.task.plan, kind)
        except msgspec.ValidationError as error:
            raise Refused(f"the plan is not understood: {error}") from error

    def say(self, text: str) -> None:
        """A line of output. Secrets that were resolved never appear in it."""
        self.write(text.rstrip("\n") + "\n")

    def write(self, text: str) -> None:
        """Raw output, with secrets blotted out, also one that comes in two pieces: its beginning is held back."""
        with self._lock:
            text = self.blotted(self._held + text)
            keep = max((_begun(text, secret) for secret in self._secrets), default=0)
            self._held = text[len(text) - keep :]
            self._write(text[: len(text) - keep])

    def flush(self) -> None:
        """Write what was held back: it was no secret after all."""
        with self._lock:
            held, self._held = self._held, ""
            if held:
                self._write(held)

    def blotted(self, text: str) -> str:
        """The text with every secret that was resolved replaced."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "•••")
        return text

    def secret(self, reference: str) -> str:
        """What ``env:NAME`` or ``file:/path`` stands for on this machine.

        Raises:
            Refused: it is not there.
        """
        kind, _, where = reference.partition(":")
        try:
            value = self._environment[where] if kind == "env" else Path(where).read_text(encoding="utf-8").strip()
        except (KeyError, OSError) as error:
            raise Refused(f"the secret {reference} is not on this runner") from error
        if value:
            self._secrets.add(value)
        return value

    def resolved(self, values: Mapping[str, str]) -> dict[str, str]:
        """Values with those that are references resolved; ``Bearer env:NAME`` works too."""
        return {name: self._resolve(value) for name, value in values.items()}

    def _resolve(self, value: str) -> str:
        for scheme in ("env:", "file:/"):
            before, found, after = value.partition(scheme)
            if found and (not before or before.endswith(" ")):
                return before + self.secret(found + after)
        return value

    @property
    def seconds_left(self) -> float:
        """Until the time limit."""
        return self._deadline - time.monotonic()

    def check(self) -> None:
        """
        Raises:
            Stopped: a person stopped it, or time is over.
        """
        if self.stop_asked.is_set():
            raise Stopped("cancelled")
        if self.seconds_left <= 0:
            raise Stopped("timed_out")

    def wait(self) -> None:
        """Until it is worth asking again.

        Raises:
            Stopped: see `check`.
        """
        self.check()
        self.stop_asked.wait(max(0.0, min(self.poll_seconds, self.seconds_left)))
        self.check()

    def call(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """One HTTP request; 4xx and 5xx are for the caller to judge.

        Raises:
            Refused: no answer, or an address that may not be reached.
        """
        self.check()
        try:
            return self.http.request(method, url, json=json, headers=headers, content=content)
        except (httpx.HTTPError, AddressForbidden, OSError) as error:
            raise Refused(f"{method} {url} got no answer: {str(error) or type(error).__name__}") from error

    def wanted(self, answer: Answer, what: str) -> Any:
        """The JSON of a 2xx, None for an empty one.

        Raises:
            Refused: it is no 2xx, or not JSON.
        """
        if not answer.ok:
            raise Refused(f"{what} answered {answer.status}: {answer.text[:300]}")
        if not answer.body.strip():
            return None
        try:
            return msgspec.json.decode(answer.body)
        except msgspec.DecodeError as error:
            raise Refused(f"{what} answered {answer.status} with something that is not JSON") from error


def _begun(text: str, secret: str) -> int:
    """How many of the text's last characters may be the beginning of the secret."""
    return next((size for size in range(min(len(secret) - 1, len(text)), 0, -1) if text.endswith(secret[:size])), 0)
