"""One ClickHouse, embedded (``chdb:///folder``) or by URL, spoken to in one SQL dialect."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from watchbill.kernel.errors import Invalid, SetupError, Unavailable, WatchbillError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# Shared memory, where there is any: bodies on their way into the embedded engine never touch the disk.
_SPOOL = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - files there are 0600

ANSWER_SECONDS = 60.0
"""A server that takes longer to answer is away."""


class Engine:
    """Two connections: one that writes telemetry, one that asks, so that a slow question delays no insert.

    ``url`` is ``chdb:///folder[?database=name]`` or ``clickhouse[s]://user:password@host[:port]/database``
    (``http[s]://`` is understood too). The embedded engine lets one process hold a folder; a second one is refused.
    """

    def __init__(self, url: str) -> None:
        self.embedded = url.startswith("chdb:")
        self.database = "default"
        self._url = url
        self._writer: Client | None = None
        self._reader: Client | None = None
        self._lock = threading.Lock()

    def _connect(self) -> Client:
        import clickhouse_connect

        parts = urlsplit(self._url)
        try:
            if self.embedded:
                folder = Path(unquote(parts.path))
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.database = parse_qs(parts.query).get("database", ["default"])[0]
                client = clickhouse_connect.get_client(
                    interface="chdb", path=str(folder), settings={"session_timezone": "UTC"}
                )
            else:
                secure = parts.scheme in {"https", "clickhouses"}
                self.database = parts.path.strip("/") or "default"
                client = clickhouse_connect.get_client(
                    interface="https" if secure else "http",
                    host=parts.hostname or "127.0.0.1",
                    port=parts.port or (8443 if secure else 8123),
                    username=unquote(parts.username or "default"),
                    password=unquote(parts.password or ""),
                    settings={"session_timezone": "UTC"},
                    autogenerate_session_id=False,
                    connect_timeout=5,
                    send_receive_timeout=ANSWER_SECONDS,
                )
            client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")
            client.database = self.database
        except ImportError as error:
            raise SetupError(
                "the embedded telemetry engine is not installed",
                hint="install watchbill[embedded], or set WATCHBILL_TELEMETRY_URL to a ClickHouse",
            ) from error
        except Exception as error:
            raise _translated(error, self._safe_url) from error
        return client

    @property
    def _safe_url(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    def _client(self, role: str) -> Client:
        with self._lock:
            client: Client | None = getattr(self, f"_{role}")
            if client is None:
                client = self._connect()
                setattr(self, f"_{role}", client)
            return client

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, *, role: str = "writer") -> None:
        """Run a statement that answers nothing.

        Raises:
            Unavailable: the engine is away or out of room; sending again later may work.
            Invalid: the engine cannot parse the data.
        """
        try:
            self._client(role).command(sql, parameters=dict(parameters or {}))
        except Exception as error:
            raise _translated(error, self._safe_url) from error

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Answer a question as a sequence of rows."""
        try:
            result = self._client("reader").query(sql, parameters=dict(parameters or {}))
        except Exception as error:
            raise _translated(error, self._safe_url) from error
        rows: Sequence[Sequence[Any]] = result.result_rows
        return rows

    def write_rows(self, table: str, columns: Sequence[str], data: Sequence[Sequence[Any]]) -> None:
        """Insert a few thousand rows, column by column (``data`` is one sequence per column)."""
        try:
            self._client("reader").insert(table, data, column_names=columns, column_oriented=True)
        except Exception as error:
            raise _translated(error, self._safe_url) from error

    def insert_select(self, sql: str, payload: bytes, *, structure: str, settings: str) -> None:
        """Run ``sql`` (an INSERT … SELECT with ``{source}`` in it) over a body of delimited protobuf messages."""
        if self.embedded:
            with _spooled(payload) as path:
                source = f"file('{path}', 'Protobuf', '{structure}')"
                self.command(f"{sql.replace('{source}', source)} SETTINGS {settings}")
            return
        source = f"input('{structure}')"
        text = f"{sql.replace('{source}', source)} SETTINGS {settings} FORMAT Protobuf"
        try:
            self._client("writer").command(text, data=payload)
        except Exception as error:
            raise _translated(error, self._safe_url) from error

    def close(self) -> None:
        """Let go of the engine; an embedded folder can then be opened by another process."""
        with self._lock:
            for role in ("_writer", "_reader"):
                client: Client | None = getattr(self, role)
                if client is not None:
                    client.close()
                    setattr(self, role, None)


@contextmanager
def _spooled(payload: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile(prefix="watchbill-otlp-", suffix=".pb", dir=_SPOOL) as file:
        file.write(payload)
        file.flush()
        yield file.name


# ClickHouse's error codes for data that no retry can save: CANNOT_PARSE_*, ATTEMPT_TO_READ_AFTER_EOF and kin.
_UNPARSABLE = {6, 27, 32, 33, 38, 41, 72, 117, 434, 444}

# It answers, and refuses: what it takes to be let in, by ClickHouse's error codes.
_REFUSED = (
    (
        {192, 193, 194, 516},  # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
        "does not let Watchbill in",
        "check the user and the password in WATCHBILL_TELEMETRY_URL (percent-encoded), then restart the observer",
    ),
    (
        {164, 497},  # READONLY, ACCESS_DENIED
        "does not allow it",
        "grant the user SELECT, INSERT, CREATE TABLE and ALTER on the database of WATCHBILL_TELEMETRY_URL: counts are"
        " kept beside the spans",
    ),
    (
        {60, 81},  # UNKNOWN_TABLE, UNKNOWN_DATABASE
        "misses a table",
        "restart the observer: at its start it makes what is absent. Counts of before are not in a new table",
    ),
)


def _translated(error: Exception, where: str) -> Exception:
    if isinstance(error, WatchbillError):
        return error
    text = str(error)
    code = getattr(error, "code", None)
    if code is None and "Code: " in text:
        digits = text.split("Code: ", 1)[1].split(".", 1)[0].split(" ", 1)[0]
        code = int(digits) if digits.isdigit() else None
    first_line = text.strip().splitlines()[0][:400] if text.strip() else type(error).__name__
    if code in _UNPARSABLE:
        return Invalid(f"the telemetry engine cannot read this: {first_line}")
    if code == 76 or "Error initializing EmbeddedServer" in text:
        return SetupError(
            f"the telemetry folder of {where} cannot be opened, most likely because another process holds it:"
            f" {first_line}",
            hint="stop the other `watchbill up` (or observer) of this home: the embedded engine has one owner. "
            "Otherwise check that the folder is writable and the disk has room",
        )
    for codes, said, hint in _REFUSED:
        if code in codes:
            return Unavailable(f"the telemetry engine {where} {said}: {first_line}", hint=hint)
    return Unavailable(
        f"the telemetry engine {where} does not answer: {first_line}",
        hint="watch its log and its disk; the observer goes on when it is back",
    )
