"""Start, attach to and stop the embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from watchbill.kernel.errors import SetupError
from watchbill.runtime import disk
from watchbill.runtime.postgres.placement import MAJOR, Placement, place, unwritable

ROLE = "watchbill"
DATABASE = "watchbill"
_SAY_AFTER_SECONDS = 3.0
_ORPHANS_SECONDS = 30.0
_POLL_SECONDS = 0.01

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "huge_pages": "off",
    "io_method": "sync",  # no idle I/O workers
    "jit": "off",  # compiling costs more than our short statements take
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_filename": "'postgresql-%a.log'",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_min_duration_statement": "2000",
    "log_line_prefix": "'%m [%p] %a '",
    "unix_socket_permissions": "0700",
}
"""What we set in ``watchbill.conf``; an operator's ``local.conf`` in the data folder is read after it."""


class EmbeddedPostgres:
    """The embedded server of one home.

    Args:
        home: Watchbill's home folder; the server is placed in or beside it (see `placement`).
        say: called with one line when something takes longer than a few seconds.
        settings: server settings that differ from `SETTINGS`, already quoted as in postgresql.conf.
    """

    def __init__(
        self, home: Path, *, say: Callable[[str], None] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self.attached = False
        self._say = say or (lambda _line: None)
        self._settings = {**SETTINGS, **(settings or {})}
        self._placement: Placement | None = None

    @property
    def placement(self) -> Placement:
        """Where this server lives; decided (and the folders made) at the first use."""
        if self._placement is None:
            self._placement = place(self.home)
        return self._placement

    @property
    def url(self) -> str:
        """The connection URL, with the generated password; never print it."""
        return self.url_for(DATABASE)

    def url_for(self, database: str) -> str:
        """The URL of another database of this server."""
        password = (self.placement.base / "password").read_text().strip()
        return f"postgresql://{ROLE}:{password}@/{database}?host={quote(str(self.placement.sockets), safe='')}"

    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        _reap()
        return running_pid(self.placement.data)

    def start(self) -> str:
        """Attach to the running server or start it, wait until it takes connections; returns `url`.

        Crash recovery is waited for as long as it takes, with a line from time to time.

        Raises:
            SetupError: it cannot start; the message says why and how to mend it.
        """
        try:
            with _locked(self.placement.base / "launcher.lock"):
                self._initialise()
                self._ensure_running()
                self._ensure_database()
        except OSError as error:
            raise unwritable(self.placement.base, error) from error
        return self.url

    def stop(self, *, timeout_seconds: float = 4.0) -> None:
        """Shut down: sessions are ended, everything is written. Past the time limit at once (safe, slower to start)."""
        pid = self.pid()
        if pid is None:
            return
        for stop_signal in (signal.SIGINT, signal.SIGQUIT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
            deadline = time.monotonic() + timeout_seconds
            while time.monotonic() < deadline:
                if running_pid(self.placement.data) is None:
                    _reap()
                    return
                time.sleep(_POLL_SECONDS)
        raise SetupError(f"the embedded PostgreSQL (pid {pid}) does not stop", hint=f"see {self._log_hint()}")

    def _initialise(self) -> None:
        place_ = self.placement
        if not place_.data.exists():
            self._initdb()
        settings = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        self._write_for_server(place_.data / "watchbill.conf", settings)

    def _initdb(self) -> None:
        """Make the data folder under another name and rename it, so that a crash leaves no half."""
        place_ = self.placement
        scratch = place_.base / f"{MAJOR}.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        password = secrets.token_urlsafe(32)
        password_file = scratch.with_name("password.initdb")
        password_file.unlink(missing_ok=True)
        self._write_for_server(password_file, password + "\n")
        if place_.run_as is not None:
            os.chown(scratch, place_.run_as.uid, place_.run_as.gid)
        try:
            made = subprocess.run(
                [
                    place_.binaries / "bin" / "initdb",
                    f"--pgdata={scratch}",
                    f"--username={ROLE}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-locale",
                    "--data-checksums",
                    *(["--no-sync"] if self._settings["fsync"] == "off" else []),
                ],
                capture_output=True,
                text=True,
                check=False,
                **self._as_server(),
            )
        finally:
            password_file.unlink(missing_ok=True)
        if made.returncode != 0:
            raise _readable(made.stderr or made.stdout, place_)
        with (scratch / "postgresql.conf").open("a") as file:
            file.write("\n# Watchbill rewrites watchbill.conf at each start; local.conf is yours.\n")
            file.write("include_if_exists = 'watchbill.conf'\ninclude_if_exists = 'local.conf'\n")
        (scratch / "pg_hba.conf").write_text(
            "# The private socket and the generated password only.\nlocal all all scram-sha-256\n"
        )
        keep = place_.base / "password"
        keep.unlink(missing_ok=True)
        descriptor = os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
            os.fsync(descriptor)
        scratch.rename(place_.data)

    def _ensure_running(self) -> None:
        data = self.placement.data
        if running_pid(data) is not None and self._wait_until_ready(None):
            self.attached = True
            return
        _remove_stale_pid_file(data)
        give_up_on_orphans = time.monotonic() + _ORPHANS_SECONDS
        while True:
            process = self._spawn()
            if self._wait_until_ready(process):
                _spawned.append(process.pid)
                process.returncode = 0  # ours to wait for from now on: it may outlive us, and Popen would complain
                return
            reason = self._startup_output()
            _reap()  # one that was killed a moment ago still owns its lock until it is waited for
            dying = "shared memory block" in reason or "already exists" in reason
            if not dying or time.monotonic() > give_up_on_orphans:
                raise _readable(reason, self.placement)
            self._say("an earlier PostgreSQL was killed; waiting for its last sessions to end")
            time.sleep(0.5)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Its own session: neither Ctrl-C in our terminal nor our death ends it."""
        place_ = self.placement
        command = [
            str(place_.binaries / "bin" / "postgres"),
            "-D",
            str(place_.data),
            "-c",
            f'unix_socket_directories="{place_.sockets}"',
        ]
        output = place_.base / "startup.log"
        with output.open("wb") as file:
            output.chmod(0o600)
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as_server(),
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes] | None) -> bool:
        """Poll the status line of postmaster.pid, as pg_ctl does; False when the server is gone."""
        started = time.monotonic()
        said = started + _SAY_AFTER_SECONDS
        while True:
            if process is not None and process.poll() is not None:
                return False
            if process is None and running_pid(self.placement.data) is None:
                return False
            pid = running_pid(self.placement.data)  # a file that a killed server left says "ready" too
            if pid is not None and (process is None or pid == process.pid) and _status(self.placement.data) == "ready":
                return True
            if time.monotonic() > said:
                waited = time.monotonic() - started
                self._say(f"PostgreSQL is still starting or recovering ({waited:.0f} s); see {self._log_hint()}")
                said = time.monotonic() + 10
            time.sleep(_POLL_SECONDS)

    def _ensure_database(self) -> None:
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if "does not exist" not in str(error):
                raise SetupError(
                    f"the embedded PostgreSQL refuses us: {str(error).strip()}",
                    code="embedded_postgres",
                    hint=f"{self.placement.base / 'password'} must hold the password of role {ROLE}",
                ) from error
            with (
                disk.told_when_full(self.placement.base),
                psycopg.connect(self.url_for("postgres"), autocommit=True) as connection,
            ):
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _as_server(self) -> dict[str, Any]:
        """Arguments of ``subprocess`` that make a child the server's user, with nothing of our environment."""
        run_as = self.placement.run_as
        arguments: dict[str, Any] = {
            "cwd": "/",
            "umask": 0o077,
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        }
        if run_as is not None:
            arguments |= {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}
        return arguments

    def _write_for_server(self, path: Path, text: str) -> None:
        scratch = path.with_name(path.name + ".tmp")
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if self.placement.run_as is not None:
                os.fchown(descriptor, self.placement.run_as.uid, self.placement.run_as.gid)
        scratch.rename(path)

    def _startup_output(self) -> str:
        lines = [(self.placement.base / "startup.log").read_text(errors="replace")]
        logs = sorted((self.placement.data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines += [path.read_text(errors="replace")[-2000:] for path in logs[-1:]]
        return "\n".join(lines)

    def _log_hint(self) -> str:
        return str(self.placement.data / "log")


_spawned: list[int] = []
"""The servers that are children of this process. No thread waits for them: the supervisor forks."""


def _reap() -> None:
    for pid in tuple(_spawned):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # we were forked from the one whose child it is
            ended = pid
        if ended:
            _spawned.remove(pid)


def running_pid(data: Path) -> int | None:
    """The server that runs on this data folder, or None.

    The pid file alone is not believed: after a crash or in a new container the number may belong to
    somebody else. A postmaster works in its data folder, and the kernel says so.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        if not os.path.samefile(f"/proc/{pid}/cwd", data):
            return None
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else abs(pid)


def _status(data: Path) -> str | None:
    """Line 8 of postmaster.pid: starting, ready, standby, stopping."""
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
    except OSError:
        return None
    return lines[7].strip() if len(lines) > 7 else None


def _remove_stale_pid_file(data: Path) -> None:
    """PostgreSQL removes its own stale file unless the number was taken over by another process; then we do."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if Path(f"/proc/{pid}").exists() and running_pid(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _readable(output: str, place_: Placement) -> SetupError:
    """What PostgreSQL said, as one line with a mend."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return disk.full(place_.base)
    if "Permission denied" in output or "Read-only file system" in output:
        hint = "mend the owner and mode of the folder, or choose another with --home DIR"
    elif "shared memory block" in output:
        hint = "another PostgreSQL still works on this folder; end it, then start again"
    else:
        hint = f"the whole story is in {place_.base / 'startup.log'} and {place_.data / 'log'}"
    said = [line for line in output.splitlines() if any(mark in line for mark in ("FATAL", "PANIC", "error:"))]
    if said and "contains errors" in said[-1]:
        said = [line for line in output.splitlines() if "LOG:" in line and "parameter" in line] or said
    last = said[-1] if said else (output.strip().splitlines() or ["it ended without a word"])[-1]
    return SetupError(f"the embedded PostgreSQL does not start: {last.strip()}", code="embedded_postgres", hint=hint)
