"""Child processes by fork: what all of them import is imported once and shared in memory.

An import of everything costs a process two seconds of CPU and some 60 MB; a forked child has it at once, and pays
only for the pages it writes. Why this is safe here: docs/decisions/0012-processes-are-forked.md.

The rule that keeps it safe: whoever forks has one thread, no database connection and no engine open.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import structlog

from watchbill.kernel.errors import SetupError, WatchbillError
from watchbill.processes import plans

log = structlog.get_logger("watchbill.supervisor")

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_M_ARENA_MAX = -8
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_COMMON = (
    "watchbill.processes.run",
    "watchbill.processes.prepare",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)


def preload() -> None:
    """Import what the processes are made of. What cannot be imported is left to the process that needs it.

    ClickHouse is not among it: only the observer loads that, and only when it opens its store.
    """
    gc.disable()  # nothing that imports make is garbage
    try:
        for module in (*_COMMON, *(plan.build.partition(":")[0] for plan in plans.PLANS.values())):
            try:
                importlib.import_module(module)
            except Exception as error:  # noqa: BLE001  one broken library must not keep the pager from starting
                log.warning("cannot import beforehand", module=module, why=str(error))
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)  # glibc would keep an arena per thread, tens of megabytes each
        gc.freeze()  # a collection would write to every object, and each process would get its own copy
    finally:
        gc.enable()


class Forked:
    """One forked child; the same words as `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens to one that has ended: until it is waited for, nobody else gets its number."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout_seconds: float) -> int:
        """The exit code; kills a child that takes longer."""
        until = time.monotonic() + timeout_seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise TimeoutError(f"process {self.pid} did not end within {timeout_seconds:.1f} s")
            time.sleep(0.01)
        return self.poll() or 0


def fork(name: str, run: Callable[[], int], *, environment: Mapping[str, str], keep: Collection[int] = ()) -> Forked:
    """Run ``run`` in a child; what it returns is the exit code.

    The child has a process group of its own (Ctrl-C reaches the supervisor alone, which stops its children in
    order), default signals, no standard input, of the open files only standard output and error and ``keep``, and
    is killed when we die. Fork from the main thread: a child is tied to the life of the thread that made it.
    """
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if others:
        raise RuntimeError(f"a fork beside running threads ({', '.join(others)}) would copy their locks for ever")
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(name, run, parent, environment, keep)  # never returns
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Forked(pid)


def _run_child(
    name: str, run: Callable[[], int], parent: int, environment: Mapping[str, str], keep: Collection[int]
) -> None:
    code = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.setpgid(0, 0)
        _die_with(parent)
        _close_files(keep)
        os.environ.clear()
        os.environ.update(environment)
        _call_ourselves(name)
        code = run()
    except WatchbillError as error:
        sys.stderr.write(f"error [{error.problem.code}]: {error}\n")
        code = error.exit_code
    except BaseException:  # noqa: BLE001  the end of a process: told as any uncaught error is
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # the parent's frames lie below ours: they must not unwind here


def _die_with(parent: int) -> None:
    """A supervisor that is killed takes its children with it; PostgreSQL is not one of them.

    The kernel sends SIGKILL when the parent dies: all that matters is on disk by then, and ports and
    the telemetry folder must be free for whoever starts next.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SetupError("the supervisor died before this process began", code="no_supervisor")


def _close_files(keep: Collection[int]) -> None:
    """Above all the home's lock and the other processes' sockets: they must be free when their owner is gone."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number in sorted(int(entry) for entry in os.listdir("/proc/self/fd")):
        if number > 2 and number not in keep:
            try:
                os.close(number)
            except OSError:
                continue  # the folder that was being listed


def _call_ourselves(name: str) -> None:
    """Appear as ``watchbill run <name>`` in ps and top: overwrite the arguments we were started with."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"wb-{name}".encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc_pid_stat(5)
    if start and end - start > 8:
        words = f"watchbill\0run\0{name}".encode()[: end - start - 1]
        ctypes.memmove(start, words.ljust(end - start, b"\0"), end - start)
