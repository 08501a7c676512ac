"""One embedded PostgreSQL for the whole run, a clean migrated database for each test, a virtual clock."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import migrate
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

_RUN_FOLDER = "WATCHBILL_TEST_RUN_FOLDER"
_PREFIX = f"wbtest-{os.getuid()}-"
_TEMPLATE = "watchbill_template"
Empty = Callable[[], None]
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


# A run of every test takes thirty examples of each property; HYPOTHESIS_PROFILE=long takes a thousand.
hypothesis_settings.register_profile("suite", max_examples=30, deadline=None)
hypothesis_settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process names the run's folder; xdist workers inherit it. What a killed run left is swept."""
    if hasattr(config, "workerinput"):
        return
    temporary = Path(tempfile.gettempdir())
    for left in temporary.glob(f"{_PREFIX}*"):
        pid = left.name.rsplit("-", 1)[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _stop_and_remove(left)
    os.environ[_RUN_FOLDER] = str(temporary / f"{_PREFIX}{os.getpid()}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the proofs have counted: commit boundaries and simulated days, from whichever worker they ran in."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    proofs = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "proof"
    ]
    if proofs:
        terminalreporter.section("proofs")
        for proof in sorted(map(str, proofs)):
            terminalreporter.write_line(proof)
        counted = [re.search(r"(\d+) of (\d+) commit boundaries, (\d+) lost", str(proof)) for proof in proofs]
        done, there, lost = (sum(int(found[group]) for found in counted if found) for group in (1, 2, 3))
        if there:
            terminalreporter.write_line(f"crash matrix: {done} of {there} commit boundaries, {lost} lost")


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = Path(os.environ.get(_RUN_FOLDER, ""))
    if not hasattr(config, "workerinput") and folder.name.startswith(_PREFIX):
        _stop_and_remove(folder)


def _stop_and_remove(folder: Path) -> None:
    if (folder / "postgres").exists():
        with suppress(WatchbillError):
            EmbeddedPostgres(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _logs_go_to_pytest() -> None:
    """Shown with the test that wrote them; structlog's own default draws a coloured traceback, seconds each."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def _postgres() -> EmbeddedPostgres:
    folder = Path(os.environ[_RUN_FOLDER])
    folder.mkdir(mode=0o711, exist_ok=True)
    return EmbeddedPostgres(folder, settings=_NOT_DURABLE)


@pytest.fixture(scope="session")
def postgres_url(_postgres: EmbeddedPostgres) -> str:
    """The URL of the run's own PostgreSQL, its role may do anything; the database itself is empty."""
    return _postgres.start()


@pytest.fixture(scope="session")
def empty_database_url(_postgres: EmbeddedPostgres, postgres_url: str) -> Iterator[str]:
    """A database without any schema, of this worker's own."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    yield _postgres.url_for(name)
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _worker_url(_postgres: EmbeddedPostgres, postgres_url: str) -> str:
    """A migrated database of this worker; the schema is made once per run and copied."""
    name = f"worker_{uuid.uuid4().hex[:12]}"
    with _one_at_a_time(Path(os.environ[_RUN_FOLDER]) / "template.lock"):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            query = "SELECT datistemplate FROM pg_database WHERE datname = %s"
            made = connection.execute(query, (_TEMPLATE,)).fetchone()
        if made is None or not made[0]:
            _administer(postgres_url, f"DROP DATABASE IF EXISTS {_TEMPLATE}", f"CREATE DATABASE {_TEMPLATE}")
            migrate.upgrade(_postgres.url_for(_TEMPLATE))
            _administer(postgres_url, f"ALTER DATABASE {_TEMPLATE} IS_TEMPLATE true")
        _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    return _postgres.url_for(name)


def _administer(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


_EMPTY_ALL = """
DO $$
DECLARE found record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR found IN SELECT format('%I', relname) AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
      AND relname <> 'alembic_version'
  LOOP
    EXECUTE 'DELETE FROM ' || found.name;
  END LOOP;
  PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


@pytest.fixture
def database_url(_worker_url: str) -> str:
    """The URL of a migrated database with nothing in it. Emptying takes a few milliseconds."""
    with psycopg.connect(_worker_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        connection.execute(_EMPTY_ALL)
    return _worker_url


@pytest.fixture(scope="session")
def long_lived_database(_postgres: EmbeddedPostgres, postgres_url: str, _worker_url: str) -> tuple[str, Empty]:
    """A migrated database for a process that outlives single tests, and how to empty it under that process."""
    name = f"long_{uuid.uuid4().hex[:12]}"
    with _one_at_a_time(Path(os.environ[_RUN_FOLDER]) / "template.lock"):
        _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    url = _postgres.url_for(name)

    def empty() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_EMPTY_ALL)

    return url, empty


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A migrated, empty database on the database's own clock, as in production."""
    database = Database(database_url, name="test")
    yield database
    database.dispose()


@pytest.fixture
def clock() -> VirtualClock:
    """Monday 2 March 2026, 09:00 UTC; it moves only when told to."""
    return VirtualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def virtual_db(database_url: str, clock: VirtualClock) -> Iterator[Database]:
    """A migrated, empty database whose transactions take place at ``clock``."""
    database = Database(database_url, name="test-virtual", clock=clock)
    yield database
    database.dispose()
