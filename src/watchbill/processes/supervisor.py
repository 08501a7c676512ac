"""The supervisor of ``watchbill up``: the engines, one of each process, and an orderly end.

Order of a start: home lock → ports → PostgreSQL, and beside it the imports → children, which wait for → migrations →
ready. Whatever is wrong with the machine is found before the first child is started, and is one clear line.

Children inherit standard error, so there is one log stream and every line names its process. The
listening sockets are bound here and handed down: while a child is restarted its callers wait in the
socket's queue instead of being refused.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from urllib.parse import urlsplit

import structlog

from watchbill.kernel.errors import SetupError, WatchbillError
from watchbill.processes import forks, plans, sockets
from watchbill.processes.plans import SUPERVISOR
from watchbill.runtime import config, disk
from watchbill.runtime.config import Settings
from watchbill.runtime.home import HomeLock, Running
from watchbill.runtime.postgres import EmbeddedPostgres
from watchbill.runtime.postgres.placement import unwritable

log = structlog.get_logger("watchbill.supervisor")

BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_STABLE_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_LOOK_AT_POSTGRES_SECONDS = 1.0
_CHILDREN_STOP_SECONDS = 3.0
_SAY_AFTER_SECONDS = 10.0


class Child:
    """One supervised process."""

    def __init__(self, plan: plans.ProcessPlan, listener: socket.socket | None, environment: dict[str, str]) -> None:
        self.plan = plan
        self.listener = listener
        self.restarts = 0
        self._environment = environment
        self._process: forks.Forked | None = None
        self._started_at = 0.0
        self._failures = 0
        self._start_again_at: float | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Fork, with the listening socket handed down."""
        environment = dict(self._environment)
        keep: list[int] = []
        if self.listener is not None:
            keep = [self.listener.fileno()]
            environment[sockets.LISTEN_FD] = str(self.listener.fileno())
        self._process = forks.fork(self.plan.name, self._run, environment=environment, keep=keep)
        self._started_at = time.monotonic()
        self._start_again_at = None

    def _run(self) -> int:
        from watchbill.processes.run import run_process

        settings = config.load()
        with disk.told_when_full(settings.home):
            run_process(self.plan.name, settings)
        return 0

    def look(self) -> int | None:
        """Start again what has ended, with backoff; returns the exit code when it has just ended."""
        if self._process is None:
            if self._start_again_at is not None and time.monotonic() >= self._start_again_at:
                self.restarts += 1
                self.start()
            return None
        code = self._process.poll()
        if code is None:
            return None
        if time.monotonic() - self._started_at > _STABLE_SECONDS:
            self._failures = 0
        pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._process = None
        self._start_again_at = time.monotonic() + pause
        log.warning("process ended; starting it again", which=self.plan.name, how=_how(code), in_seconds=pause)
        return code

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, until: float) -> None:
        """Wait for the end; past ``until`` (monotonic seconds) kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.05, until - time.monotonic()))
        except TimeoutError:
            log.warning("process did not stop in time; killed", which=self.plan.name)
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_CHILDREN_STOP_SECONDS)
        self._process = None


class RunnerChild(Child):
    """The runner of this machine, only with ``--local-runner``. It is told nothing of our settings and secrets."""

    def __init__(self, settings: Settings) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHBILL_")}
        super().__init__(plans.RUNNER, None, environment)
        self._settings = settings

    def _run(self) -> int:
        from watchbill.processes.local_runner import run_local_runner
        from watchbill.processes.prepare import RUNNER_FILE

        return run_local_runner(self._settings.home / RUNNER_FILE, style=self._settings.log_format)


class Supervisor:
    """Start, watch and stop an installation on one machine.

    Args:
        settings: from the environment and the command line.
        say: one line for the person at the terminal (standard output).
    """

    def __init__(self, settings: Settings, *, say: Callable[[str], None]) -> None:
        self.settings = settings
        self._say = say
        self._stopping = False
        self._lock: HomeLock | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[Child] = []

    def run(self) -> None:
        """Start, say the address, and watch until SIGTERM or SIGINT.

        Raises:
            SetupError: it cannot start here.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            with disk.told_when_full(self.settings.home):
                self._start()
            while not self._stopping:
                self._watch()
        finally:
            self._stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self) -> None:
        began = time.monotonic()
        settings = self.settings
        for unknown in config.unknown_variables():
            log.warning("unknown setting; a typing error?", variable=unknown)
        self._lock = HomeLock(settings.home)
        web = sockets.bind(settings.host, settings.port, setting="--port")
        otlp = sockets.bind(settings.host, settings.otlp_port, setting="--otlp-port")
        settings = self.settings = config.load(
            settings.environment(), port=web.getsockname()[1], otlp_port=otlp.getsockname()[1]
        )
        settings.secret_keys  # noqa: B018  made here, before four processes want it at once
        url = self._start_postgres_and_import()
        self._make_children(url, {"server": web, "observer": otlp})
        for child in self._children:
            child.start()  # they put themselves together while the schema is brought up to date, and wait for it
        secret = self._prepare(url, sockets.address_of(web))
        self._await_ready()
        if self._stopping:
            return
        if settings.local_runner:
            runner = RunnerChild(settings)
            self._children.append(runner)
            runner.start()
        self._lock.announce(Running(pid=os.getpid(), url=sockets.address_of(web), otlp_url=sockets.address_of(otlp)))
        self._say(f"Watchbill is ready at {settings.base_url} (after {time.monotonic() - began:.1f} s)")
        over_grpc = f"   gRPC: {settings.host}:{settings.grpc_port}" if settings.grpc_port else ""
        self._say(f"OTLP over HTTP: {sockets.address_of(otlp)}{over_grpc}   home: {settings.home}")
        if secret is not None:
            self._say(f"Admin token, shown only now: {secret}")

    def _start_postgres_and_import(self) -> str:
        """PostgreSQL starts on a thread while we import; the thread has ended before anything is forked."""
        if self.settings.database_url:
            forks.preload()
            return self.settings.database_url
        found: list[str | BaseException] = []

        def start() -> None:
            try:
                found.append(self._start_postgres())
            except BaseException as error:  # noqa: BLE001  raised below, on the thread that waits
                found.append(error)

        starting = threading.Thread(target=start, name="postgres-start")
        starting.start()
        forks.preload()
        starting.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def _start_postgres(self) -> str:
        self._postgres = EmbeddedPostgres(self.settings.home, say=self._say)
        url = self._postgres.start()
        if self._postgres.attached:
            log.info("attached to the PostgreSQL that was still running", pid=self._postgres.pid())
        return url

    def _make_children(self, url: str, listeners: dict[str, socket.socket]) -> None:
        addresses = self.settings.home / "run"
        try:
            addresses.mkdir(mode=0o700, exist_ok=True)
            for left in addresses.glob("*.url"):
                left.unlink()
        except OSError as error:
            raise unwritable(addresses, error) from error
        environment = {
            **os.environ,
            **self.settings.environment(),
            "WATCHBILL_DATABASE_URL": url,
            "WATCHBILL_LOG_FORMAT": self._log_format(),
            SUPERVISOR: str(os.getpid()),
        }
        for name, plan in plans.PLANS.items():
            own = dict(environment)
            if plan.port is None and self.settings.health_port is None:
                own["WATCHBILL_HEALTH_PORT"] = "0"
            self._children.append(Child(plan, listeners.get(name), own))

    def _log_format(self) -> str:
        if self.settings.log_format != "auto":
            return self.settings.log_format
        return "console" if sys.stderr.isatty() else "json"

    def _prepare(self, url: str, address: str) -> str | None:
        """Migrate, and let people in; returns the first start's admin token.

        In a process of its own: we must hold no connection when a child is forked again later.
        """
        reading, writing = os.pipe()

        def run() -> int:
            from watchbill.processes.prepare import prepare

            home = self.settings.home
            with os.fdopen(writing, "w") as answer, disk.told_when_full(home):
                local_runner = self.settings.local_runner
                answer.write(prepare(url=url, address=address, home=home, local_runner=local_runner) or "")
            return 0

        environment = {**os.environ, SUPERVISOR: str(os.getpid())}
        try:
            task = forks.fork("prepare", run, environment=environment, keep=[writing])
        finally:
            os.close(writing)
        with os.fdopen(reading) as answer:
            secret = answer.read()
        if task.wait(_CHILDREN_STOP_SECONDS) != 0:
            raise SetupError("the database could not be prepared; the line above says why", code="prepare")
        return secret or None

    def _await_ready(self) -> None:
        """Until every process answers. A process that says it cannot start here ends the whole start."""
        said = time.monotonic() + _SAY_AFTER_SECONDS
        waiting = list(self._children)
        while waiting and not self._stopping:
            for child in self._children:
                code = child.look()
                if code == SetupError.exit_code:
                    raise SetupError(
                        f"the {child.plan.name} cannot start here; its own line above says why", code="child"
                    )
            waiting = [child for child in waiting if not self._answers(child)]
            if waiting and time.monotonic() > said:
                self._say(f"still waiting for: {', '.join(child.plan.name for child in waiting)}")
                said = time.monotonic() + _SAY_AFTER_SECONDS
            if waiting:
                time.sleep(0.05)

    def _answers(self, child: Child) -> bool:
        if child.listener is not None:
            return _is_healthy(sockets.address_of(child.listener))
        try:
            note = (self.settings.home / "run" / f"{child.plan.name}.url").read_text().strip()
        except OSError:
            return False
        return _is_healthy(note)

    def _watch(self) -> None:
        until = time.monotonic() + _LOOK_AT_POSTGRES_SECONDS
        while not self._stopping and time.monotonic() < until:
            for child in self._children:
                child.look()
            time.sleep(_LOOK_SECONDS)
        if self._postgres is not None and not self._stopping and self._postgres.pid() is None:
            log.error("the embedded PostgreSQL is gone; starting it again")
            try:
                self._postgres.start()
            except WatchbillError as error:
                log.error("PostgreSQL does not start; trying again", why=str(error))

    def _stop(self) -> None:
        """Children first, all at once; then PostgreSQL; then the home is free."""
        began = time.monotonic()
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.wait(began + _CHILDREN_STOP_SECONDS)
        if self._postgres is not None:
            self._postgres.stop(timeout_seconds=1.5)
        if self._lock is not None:
            self._lock.release()
        for child in self._children:
            if child.listener is not None:
                child.listener.close()
        if self._children:
            log.info("stopped", seconds=round(time.monotonic() - began, 1))


def _is_healthy(address: str) -> bool:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=0.5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
