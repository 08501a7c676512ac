"""Starting and stopping what the demo needs, and nothing else.

Every process is started by `Processes.start` and stopped by `Processes.stop_all`. The kernel stops them too when
the demo itself is killed (``PR_SET_PDEATHSIG``).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class Process:
    """A running program; its output goes to ``log``."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def children(self) -> dict[int, str]:
        """Its child processes: pid → command line."""
        children = Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children")
        found: dict[int, str] = {}
        for pid in map(int, children.read_text().split()):
            with contextlib.suppress(FileNotFoundError):  # it ended between the two reads
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def ask_to_end(self) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)

    def stop(self, *, timeout_seconds: float = 10) -> int:
        """Ask it to end, wait, and end it by force when it does not. Returns its exit code."""
        self.ask_to_end()
        try:
            self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        return self._popen.returncode

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of its log, for a reader who wants to know why it failed."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


class Processes:
    """All that was started."""

    def __init__(self, *, folder: Path, log_folder: Path) -> None:
        self._folder = folder
        self._log_folder = log_folder
        self._started: list[Process] = []

    def start(self, name: str, argv: Sequence[str], *, environment: Mapping[str, str]) -> Process:
        """Start a program in the repository's folder, with ``environment`` added to ours."""
        log = self._log_folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                list(argv),
                cwd=self._folder,
                env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C on the terminal reaches the demo only, which then stops all in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one prctl call, no lock is taken in it
            )
        process = Process(name, popen, log)
        self._started.append(process)
        return process

    def died(self) -> list[Process]:
        """Those that ended although nobody stopped them."""
        return [process for process in self._started if process.exit_code is not None]

    def forget(self, process: Process) -> None:
        """It was stopped on purpose."""
        self._started.remove(process)

    def stop_all(self) -> None:
        """The first one started goes last: the others may still send it something while they end."""
        for process in self._started[1:]:
            process.ask_to_end()
        for process in reversed(self._started):
            process.stop()
        self._started.clear()


def clean_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Our environment without what would lead the demo to another Watchbill or Collector, and with ``added``."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHBILL_", "OTEL_", "SHOP_"))}
    return {**ours, **added}


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def choose_port(wanted: int, taken: set[int]) -> int:
    """``wanted`` when it is free on loopback, else any free one. Adds it to ``taken``."""
    for candidate in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            if port not in taken:
                taken.add(port)
                return port
    return choose_port(0, taken)
