"""The runner: asks for work, carries it out, tells what happens. It only ever calls out; nobody connects to it.

While it works it breathes: every few seconds it sends what the executor wrote and renews its lease. When it cannot for
as long as the lease lasts, it stops the executor, because by then Watchbill calls the run lost and a person may act.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

import httpx
import msgspec
import structlog

from watchbill.features.rollback import Task
from watchbill.kernel.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from watchbill.runners import Context, Result, execute
from watchbill.runtime.http_out import HttpOut

log = structlog.get_logger("watchbill.runner")

_BREATH_SECONDS = 2.0
_MOST_OUTPUT = 256 * 1024
"""Of what was not yet sent; an executor that writes faster has its middle left out, and that is said."""
_FINISH_TRIES = 60


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What ``watchbill runner register`` leaves in a file (mode 0600): where Watchbill is, and who this runner is."""

    url: str
    name: str
    secret: str


def read_credentials(path: Path) -> Credentials:
    """The file's contents.

    Raises:
        NotFound: it is not there, or not such a file. Forbidden: it may not be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except PermissionError as error:
        raise Forbidden(f"{path} may not be read by this user", hint="run as the user who registered it") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NotFound(
            f"{path} holds no runner's credentials",
            place=str(path),
            hint="make them with `watchbill runner register NAME --credentials FILE`",
        ) from error


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Leave them for this user only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(credentials), indent=2) + b"\n")


class Agent:
    """One runner; does one run at a time.

    Args:
        credentials: from the file.
        poll_seconds: how often it asks when there is nothing to do.
        client: instead of a connection to the credentials' URL.
        private: let executors reach loopback and private addresses: the runner stands in the team's own network.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        poll_seconds: float = 1.0,
        private: bool = True,
        client: httpx.Client | None = None,
    ) -> None:
        self._credentials = credentials
        self._poll_seconds = poll_seconds
        self._http = HttpOut(allow_private=private, timeout_seconds=30.0)
        self._client = client or httpx.Client(base_url=credentials.url.rstrip("/"), timeout=15.0, trust_env=False)
        self._headers = {"authorization": f"Bearer {credentials.secret}", "user-agent": "watchbill-runner"}

    def run(self, stopping: threading.Event) -> None:
        """Until told to stop; a run that is going on is finished first, within its own time limit.

        Raises:
            Unauthenticated: the runner is not known there any more.
        """
        log.info("the runner is up", name=self._credentials.name, url=self._credentials.url)
        failures = 0
        while not stopping.is_set():
            try:
                worked = self.work_once()
                failures = 0
            except Unavailable as error:
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning("Watchbill does not answer; asking again", why=error.problem.message)
                stopping.wait(min(30.0, 0.5 * 2 ** min(failures, 6)) * random.uniform(0.7, 1.3))  # noqa: S311  jitter
                continue
            if not worked:
                stopping.wait(self._poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311  jitter
        self._client.close()

    def work_once(self) -> bool:
        """Take one run and carry it out; False when there is none.

        Raises:
            Unavailable: Watchbill does not answer. Unauthenticated: the runner is not known there.
        """
        answer = self._post("/api/v1/runner/claim", {})
        if answer.status_code == HTTPStatus.NO_CONTENT:
            return False
        task = msgspec.json.decode(answer.content, type=Task)
        log.info("taken", rollback=task.number, service=task.service, executor=task.executor)
        result = self._carry_out(task)
        self._tell_end(task, result)
        return True

    def _carry_out(self, task: Task) -> Result:
        output = _Output()
        context = Context(task, write=output.add, http=self._http)
        ended: list[Result] = []
        worker = threading.Thread(target=lambda: ended.append(execute(context)), name="executor", daemon=True)
        worker.start()
        renewed = time.monotonic()
        overdue = task.timeout_seconds + 30.0  # an executor that does not look at its own time limit
        began = time.monotonic()
        while worker.is_alive():
            worker.join(_BREATH_SECONDS)
            if self._breathe(task, output, context.stop_asked.set):
                renewed = time.monotonic()
            elif time.monotonic() - renewed > task.lease_seconds:
                context.stop_asked.set()
            if time.monotonic() - began > overdue:
                log.error("the executor hangs; its end is not awaited", rollback=task.number)
                return Result(outcome="timed_out", message=f"it hung past its limit of {task.timeout_seconds} s")
        self._breathe(task, output, context.stop_asked.set)
        return ended[0] if ended else Result(outcome="failed", message="the executor ended without a word")

    def _breathe(self, task: Task, output: _Output, stop: Callable[[], None]) -> bool:
        """Send what there is and renew; False when nobody answered."""
        text = output.peek()
        try:
            answer = self._post(f"/api/v1/runner/runs/{task.run_id}/breath", {"lease": str(task.lease), "output": text})
        except Unavailable:
            return False
        if answer.status_code == HTTPStatus.CONFLICT:
            log.error("the lease is lost; stopping", rollback=task.number)
            stop()
            return True
        output.sent(len(text))
        if (why := msgspec.json.decode(answer.content).get("stop")) is not None:
            log.warning("told to stop", rollback=task.number, why=why)
            stop()
        return True

    def _tell_end(self, task: Task, result: Result) -> None:
        body = {
            "lease": str(task.lease),
            "outcome": result.outcome,
            "message": result.message[:1000],
            "exit_code": result.exit_code,
        }
        for attempt in range(_FINISH_TRIES):
            try:
                answer = self._post(f"/api/v1/runner/runs/{task.run_id}/finish", body)
            except Unavailable:
                time.sleep(min(5.0, 0.2 * 2**attempt))
                continue
            if answer.status_code == HTTPStatus.CONFLICT:
                log.error("the run was called lost before its end was told", rollback=task.number, end=result.message)
            else:
                log.info("done", rollback=task.number, outcome=result.outcome, message=result.message)
            return
        log.error("nobody could be told the end", rollback=task.number, end=result.message)

    def _post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        try:
            answer = self._client.post(path, json=dict(body), headers=self._headers)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no answer from {self._credentials.url}: {str(error) or type(error).__name__}"
            ) from error
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise Unauthenticated("this runner is not known there, or is revoked", hint="register it again")
        if answer.status_code >= 500 or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unavailable(f"{self._credentials.url} answered {answer.status_code}")
        if answer.is_client_error and answer.status_code != HTTPStatus.CONFLICT:
            raise Unavailable(f"{self._credentials.url} answered {answer.status_code}: {answer.text[:200]}")
        return answer


class _Output:
    """What the executor wrote and was not sent yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._dropped = False

    def add(self, text: str) -> None:
        with self._lock:
            if len(self._text) + len(text) > _MOST_OUTPUT:
                if not self._dropped:
                    self._text += "\n… some output is left out: it came faster than it could be sent …\n"
                self._dropped = True
                return
            self._dropped = False
            self._text += text

    def peek(self) -> str:
        with self._lock:
            return self._text

    def sent(self, length: int) -> None:
        with self._lock:
            self._text = self._text[length:]
