"""The home folder: one Watchbill at a time, and a note of where it answers."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import msgspec

from watchbill.kernel.errors import SetupError

LOCAL_FILE = "local.json"


class LocalAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What `watchbill up` leaves in its home, for commands on the same machine: address and admin token."""

    url: str
    token: str


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a home and where it answers; lies in ``<home>/running.json`` while it runs."""

    pid: int
    url: str
    otlp_url: str


class HomeLock:
    """Held by the supervisor as long as it lives; the kernel lets go when it dies, however it dies.

    Raises:
        SetupError: the home cannot be written, its disk is full, or another Watchbill holds it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        try:
            home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(home / "watchbill.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unwritable(home, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise SetupError(
                    f"{home} is in use by another Watchbill (pid {holder or 'unknown'})",
                    code="home_in_use",
                    hint="stop that one, or choose another folder with --home DIR",
                ) from error
            raise _unwritable(home, error) from error

    def announce(self, running: Running) -> None:
        """Write where we answer, for commands on this machine."""
        scratch = self.home / "running.json.new"
        scratch.write_bytes(msgspec.json.encode(running))
        scratch.replace(self.home / "running.json")

    def release(self) -> None:
        """Let go and remove the note."""
        (self.home / "running.json").unlink(missing_ok=True)
        os.close(self._descriptor)


def running(home: Path) -> Running | None:
    """Who runs in this home; None when nobody does."""
    try:
        found = msgspec.json.decode((home / "running.json").read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
    return found if Path(f"/proc/{found.pid}").exists() else None


def present_token(home: Path) -> str | None:
    """The token that lies in this home; None when there is none."""
    try:
        return msgspec.json.decode((home / LOCAL_FILE).read_bytes(), type=LocalAccess).token
    except (OSError, msgspec.MsgspecError):
        return None


def leave_access(home: Path, access: LocalAccess) -> None:
    """Write ``<home>/local.json``, mode 0600.

    Raises:
        SetupError: the home cannot be written.
    """
    scratch = home / (LOCAL_FILE + ".new")
    try:
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(access))
        scratch.replace(home / LOCAL_FILE)
    except OSError as error:
        raise _unwritable(home, error) from error


def _unwritable(home: Path, error: OSError) -> SetupError:
    from watchbill.runtime.postgres.placement import unwritable  # only here: it would load the database driver

    return unwritable(home, error)
