"""The embedded PostgreSQL: private, survives its starter, attached again, and clear when it cannot start."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from watchbill.kernel.errors import Conflict, SetupError
from watchbill.runtime import migrate
from watchbill.runtime.postgres import MAJOR, EmbeddedPostgres, dump

FAST = {"fsync": "off"}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path has a space in it."""
    folder = Path(tempfile.mkdtemp(prefix="wb pg "))
    folder.chmod(0o711)
    yield folder
    if (folder / "postgres" / str(MAJOR)).exists():
        EmbeddedPostgres(folder).stop()
    shutil.rmtree(folder)


def answer(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT 42").fetchone()
        assert row is not None
        return int(row[0])


def test_it_is_private_to_its_user_and_does_not_listen_on_tcp(home: Path) -> None:
    postgres = EmbeddedPostgres(home, settings=FAST)
    url = postgres.start()
    assert answer(url) == 42
    place = postgres.placement
    assert stat.S_IMODE(place.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.base / "password").stat().st_mode) == 0o600
    assert place.data.stat().st_uid == place.owner_uid != 0
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW listen_addresses").fetchone()
    assert row == ("",)
    password = (place.base / "password").read_text().strip()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        answer(url.replace(password, "guessed"))


def test_a_start_that_was_killed_in_the_middle_is_no_obstacle(home: Path) -> None:
    half = EmbeddedPostgres(home, settings=FAST).placement.base / f"{MAJOR}.new"
    half.mkdir()
    (half / "PG_VERSION").write_text(f"{MAJOR}\n")
    assert answer(EmbeddedPostgres(home, settings=FAST).start()) == 42
    assert not half.exists()


def test_it_survives_kill_9_of_its_starter_and_is_attached_again(home: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from watchbill.runtime.postgres import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1]), settings={'fsync': 'off'}).start(); print('up', flush=True);"
        "time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    before = EmbeddedPostgres(home).pid()
    starter.kill()
    starter.wait()
    starter.stdout.close()
    postgres = EmbeddedPostgres(home, settings=FAST)
    assert answer(postgres.start()) == 42
    assert postgres.attached
    assert postgres.pid() == before


def test_it_recovers_after_kill_9_of_itself(home: Path) -> None:
    postgres = EmbeddedPostgres(home, settings=FAST)
    url = postgres.start()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    pid = postgres.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while postgres.pid() is not None and time.monotonic() < until:
        time.sleep(0.02)
    with psycopg.connect(postgres.start()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_stale_pid_file_with_somebody_elses_number_is_no_obstacle(home: Path) -> None:
    postgres = EmbeddedPostgres(home, settings=FAST)
    postgres.start()
    pid_file = postgres.placement.data / "postmaster.pid"
    left = pid_file.read_text().split("\n")
    postgres.stop()
    assert postgres.pid() is None
    pid_file.write_text("\n".join([str(os.getpid()), *left[1:]]))
    shutil.chown(pid_file, postgres.placement.owner_uid)
    assert answer(EmbeddedPostgres(home, settings=FAST).start()) == 42


def test_another_major_version_is_refused_with_a_mend(home: Path) -> None:
    data = home / "postgres" / "17"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(SetupError, match=f"written by PostgreSQL 17; this Watchbill runs PostgreSQL {MAJOR}"):
        EmbeddedPostgres(home).start()


def test_settings_that_postgres_refuses_are_one_readable_line(home: Path) -> None:
    with pytest.raises(SetupError, match=r"the embedded PostgreSQL does not start: .*shared_buffers") as raised:
        EmbeddedPostgres(home, settings={**FAST, "shared_buffers": "'plenty'"}).start()
    assert "startup.log" in str(raised.value)


def test_a_backup_comes_back_into_an_empty_database_only(home: Path) -> None:
    postgres = EmbeddedPostgres(home, settings=FAST)
    url = postgres.start()
    migrate.upgrade(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO due_row (kind, subject, payload, due_at, created_at) VALUES ('k','s','{}',now(),now())"
        )
    file = home / "saved.backup"
    assert dump.save(url, file) == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="tables already"):
        dump.bring_back(url, file)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE second")
    dump.bring_back(postgres.url_for("second"), file)
    assert migrate.current(postgres.url_for("second")) == migrate.head()
    with psycopg.connect(postgres.url_for("second")) as connection:
        assert connection.execute("SELECT kind FROM due_row").fetchone() == ("k",)
