"""Run a command on the runner's machine, with its output streamed and its whole process group stopped in the end.

Also when the runner itself is killed: a guard beside the command reads from a pipe that only the runner holds, and ends
the command when that pipe ends without a word. So nothing goes on unwatched while the run is called lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

from watchbill.features.rollback.plans import Shell
from watchbill.runners.base import Context, Result, Stopped

_GRACE_SECONDS = 5.0
_GUARD = """read -r word || { kill -TERM "-$1"; sleep 5; kill -KILL "-$1"; } 2>/dev/null"""
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "KUBECONFIG", "VIRTUAL_ENV", "PYTHONPATH")
"""Of the runner's own environment; its secrets reach a command only where the manifest refers to them."""


def run(context: Context) -> Result:
    """Succeeded with exit code 0. Past the time limit or when stopped: SIGTERM to the group, then SIGKILL."""
    plan = context.plan(Shell)
    words = " ".join(plan.command)
    if context.task.dry_run:
        context.say(f"would run: {words}" + (f" in {plan.directory}" if plan.directory else ""))
        return Result(outcome="succeeded", message=f"would run: {words}")
    context.say(f"$ {words}")
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {
        "WATCHBILL_ROLLBACK": str(context.task.number),
        "WATCHBILL_SERVICE": context.task.service,
        "WATCHBILL_ENVIRONMENT": context.task.environment,
        "WATCHBILL_BAD_VERSION": context.task.version or "",
        "WATCHBILL_PREVIOUS_VERSION": context.task.previous_version or "",
        **context.resolved(plan.environment),
    }
    try:
        process = subprocess.Popen(
            plan.command,
            cwd=plan.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Result(outcome="failed", message=f"{plan.command[0]} cannot be started: {error.strerror}", exit_code=127)
    reader = threading.Thread(target=_copy, args=(process, context), daemon=True)
    reader.start()
    try:
        with _guarded(process):
            return _watch(process, context, plan.command[0])
    finally:
        # A grandchild may hold the pipe open for ever: the command's own end is what counts.
        reader.join(1.0)
        if not reader.is_alive() and process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While this lasts the death of the runner is the end of the command's process group."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            guard.communicate(b"done\n", timeout=_GRACE_SECONDS)


def _watch(process: subprocess.Popen[bytes], context: Context, name: str) -> Result:
    try:
        while (code := _poll(process)) is None:
            context.check()
    except Stopped as stopped:
        _stop(process)
        what = f"took longer than {context.task.timeout_seconds} s" if stopped.outcome == "timed_out" else "was stopped"
        return Result(outcome=stopped.outcome, message=f"the command {what}", exit_code=process.returncode)
    if code == 0:
        return Result(outcome="succeeded", message=f"{name} ended with exit code 0", exit_code=0)
    return Result(outcome="failed", message=f"{name} ended with exit code {code}", exit_code=code)


def _poll(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(0.05)
    except subprocess.TimeoutExpired:
        return None


def _copy(process: subprocess.Popen[bytes], context: Context) -> None:
    if process.stdout is None:
        return
    with contextlib.suppress(ValueError):  # closed under us: the command is over
        while piece := os.read(process.stdout.fileno(), 8192):
            context.write(piece.decode("utf-8", "replace"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
