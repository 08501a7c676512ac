"""The schema's version: bring it up to date, and refuse to work on an older one.

Upgrading takes an advisory lock, so that ten processes starting at once upgrade once, and never
waits long for a table's lock, so that a migration cannot stand in front of paging.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc

from watchbill.kernel.errors import SetupError, Unavailable
from watchbill.runtime.db import driver_url, is_away

_ADVISORY_KEY = 0x57_42_6D_69_67  # "WBmig"
_LOCK_TIMEOUT_MS = 5_000


def head() -> str:
    """The newest revision this version of Watchbill knows."""
    return str(_scripts().get_current_head())


def current(url: str) -> str | None:
    """The database's revision; None when it was never migrated.

    Raises:
        Unavailable: the database does not answer.
    """
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str, *, wait_seconds: float = 120.0) -> tuple[str | None, str]:
    """Bring the schema to `head`; returns the revisions before and after. Does nothing on a newer schema.

    Args:
        url: the database.
        wait_seconds: how long to wait for another process that is migrating.

    Raises:
        Unavailable: the database does not answer, or another migration does not end.
    """
    from alembic import command

    with _connected(url) as holder, _migration_lock(holder, wait_seconds):
        before = MigrationContext.configure(holder).get_current_revision()
        holder.rollback()
        if before is not None and not _known(before):
            return before, before
        with _connected(url) as connection:
            connection.execute(sa.text(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}"))
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        return before, head()


def require_schema(url: str) -> None:
    """Refuse an older schema than ours; a newer one is fine (expand/contract).

    Raises:
        SetupError: the schema is older, or there is none.
        Unavailable: the database does not answer.
    """
    revision = current(url)
    if revision == head() or (revision is not None and not _known(revision)):
        return
    raise SetupError(
        f"the database schema is {revision or 'empty'}; this Watchbill needs {head()}",
        code="schema_old",
        hint="run `watchbill migrate` once, then start the processes again",
    )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "newline")
    return config


def _known(revision: str) -> bool:
    return any(script.revision == revision for script in _scripts().walk_revisions())


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        driver_url(url),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 10, "application_name": "watchbill migrate", "options": "-c timezone=UTC"},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except exc.DBAPIError as error:
        if is_away(error):
            raise Unavailable(
                f"the database does not answer: {str(error.orig).strip()}",
                code="database_away",
                hint="see that PostgreSQL runs and that WATCHBILL_DATABASE_URL is right",
            ) from error
        raise
    finally:
        engine.dispose()


@contextmanager
def _migration_lock(connection: sa.Connection, wait_seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + wait_seconds
    while not connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}).scalar():
        connection.rollback()
        if time.monotonic() > deadline:
            raise Unavailable(
                "another process is migrating the database and does not end",
                code="migration_busy",
                hint="look at pg_stat_activity for application_name 'watchbill migrate'",
            )
        time.sleep(0.2)
    connection.rollback()
    try:
        yield
    finally:
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})
        connection.commit()
