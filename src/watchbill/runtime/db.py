"""PostgreSQL: engines, transactions and the clock they carry.

A use-case is a plain function ``(tx, *, ...)``. ``tx.now`` is the instant of the transaction: the
database's clock in production, a virtual one in tests; SQL of ours never says ``now()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy import exc

from watchbill.kernel.clock import Clock
from watchbill.kernel.errors import SetupError, Unavailable

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every feature's ``store`` declares its tables here."""

Instant = sa.DateTime(timezone=True)


class Tx:
    """One open transaction: a connection, the instant it stands for, and what to do when it commits."""

    __slots__ = ("_gathered", "_hints", "connection", "now")

    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self._hints: dict[tuple[str, str], None] = {}
        self._gathered: dict[Writer, list[dict[str, Any]]] = {}

    def execute(
        self,
        statement: sa.Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> sa.CursorResult[Any]:
        """Run one statement; with a sequence of mappings, once for each (``executemany``)."""
        return self.connection.execute(statement, parameters)

    def hint(self, channel: str, payload: str = "") -> None:
        """Ask for a ``NOTIFY`` at commit. The same hint twice is sent once. Losing one only costs a poll."""
        self._hints[(channel, payload)] = None

    def gather(self, writer: Writer, row: dict[str, Any]) -> None:
        """Keep a row that nothing in this transaction reads; ``writer`` writes all of them before the commit."""
        self._gathered.setdefault(writer, []).append(row)

    def write_gathered(self) -> None:
        """Write now what was gathered; before reading it, and at commit."""
        gathered, self._gathered = self._gathered, {}
        for writer, rows in gathered.items():
            writer(self, rows)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happens inside when it raises."""
        self.write_gathered()
        try:
            with self.connection.begin_nested():
                yield
                self.write_gathered()
        except BaseException:
            self._gathered = {}
            raise

    def _send_hints(self) -> None:
        if not self._hints:
            return
        channels = [channel for channel, _ in self._hints]
        payloads = [payload for _, payload in self._hints]
        self.connection.execute(
            sa.text(
                "SELECT pg_notify(c, p) FROM unnest(CAST(:channels AS text[]), CAST(:payloads AS text[])) AS h(c, p)"
            ),
            {"channels": channels, "payloads": payloads},
        )


Writer = Callable[[Tx, list[dict[str, Any]]], None]
"""Writes gathered rows in one statement."""


class Database:
    """A pool of connections with a name and a clock.

    Several ``Database`` objects over one URL are separate pools, so that slow screens cannot take
    the connections that an acknowledgement needs.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "watchbill",
        pool_size: int = 4,
        clock: Clock | None = None,
        statement_timeout_ms: int = 15_000,
        lock_timeout_ms: int = 5_000,
        pool_wait_seconds: float = 5.0,
    ) -> None:
        self.url = url
        self.clock = clock
        self.engine = sa.create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_wait_seconds,
            pool_use_lifo=True,
            json_serializer=_encode_json,
            json_deserializer=msgspec.json.decode,
            connect_args={
                "connect_timeout": 5,
                "application_name": name,
                "options": (
                    f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={lock_timeout_ms}"
                    " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
                ),
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Open a transaction; commit on leaving, roll back on any exception.

        Raises:
            Unavailable: the database is away or the pool is exhausted; nothing was committed
                (or, when the connection broke during the commit itself, the outcome is unknown).
        """
        try:
            with self.engine.connect() as connection, connection.begin():
                tx = Tx(connection, self._now(connection))
                yield tx
                tx.write_gathered()
                tx._send_hints()
        except exc.TimeoutError as error:
            raise Unavailable(
                "all database connections are busy", code="database_busy", hint="try again in a few seconds"
            ) from error
        except exc.DBAPIError as error:
            if is_away(error):
                raise Unavailable(
                    "the database does not answer",
                    code="database_away",
                    hint="it is tried again by itself; see `watchbill status` and the log of PostgreSQL",
                ) from error
            raise

    def _now(self, connection: sa.Connection) -> datetime:
        if self.clock is not None:
            return self.clock.now()
        instant: datetime = connection.execute(_CLOCK).scalar_one()
        return instant.astimezone(UTC)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


_CLOCK = sa.text("SELECT clock_timestamp()")


def is_away(error: exc.DBAPIError) -> bool:
    """True when the error says that the server is gone, starting, stopping, full or refusing connections.

    SQLSTATE classes: 08 connection, 57P01..57P03 shutdown and start-up, 53 insufficient resources
    (53100 is disk full) (PostgreSQL manual, appendix A).
    """
    if error.connection_invalidated:
        return True
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return isinstance(cause, psycopg.OperationalError)
    return state.startswith(("08", "53")) or state in {"57P01", "57P02", "57P03", "25006"}


def driver_url(url: str) -> str:
    """``postgres://`` and ``postgresql://`` as operators write them, with our driver named.

    Raises:
        SetupError: another database, or no URL at all.
    """
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix) :]
    scheme = url.split("://", 1)[0]
    raise SetupError(
        f"WATCHBILL_DATABASE_URL names '{scheme}', which is not PostgreSQL",
        hint="write postgresql://user:password@host:5432/database",
    )


def _encode_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
