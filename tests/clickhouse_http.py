"""The real engine behind ClickHouse's HTTP interface, on loopback: what `watchbill` meets where somebody runs one.

The library of the engine that is installed here has no server in it, so the protocol's part is this module's: POST with
``query`` (or the query as the body), ``database``, ``param_*``, settings, Basic credentials, errors with their code in
``X-ClickHouse-Exception-Code`` (https://clickhouse.com/docs/interfaces/http). What is asked is answered by the engine.
"""

from __future__ import annotations

import base64
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame
from backports import zstd

USER, PASSWORD = "watchbill", "s3cr&t/word"
_OF_THE_PROTOCOL = {
    "query", "database", "default_format", "session_id", "wait_end_of_query", "query_id", "enable_http_compression",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "client_protocol_version", "compress",
    "cancel_http_readonly_queries_on_client_close", "output_format_native_write_json_as_string",
}  # fmt: skip


class ClickHouse(ThreadingHTTPServer):
    """``delay_seconds``: how long it thinks before it answers; ``overloaded``: whether it takes no query."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.delay_seconds = 0.0
        self.overloaded = False
        self.lock = threading.Lock()

    def url(self, database: str, *, user: str = USER, password: str = "s3cr%26t%2Fword") -> str:
        """As WATCHBILL_TELEMETRY_URL has it."""
        return f"clickhouse://{user}:{password}@127.0.0.1:{self.server_address[1]}/{database}"

    def answer(self, given: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        query, data = given.get("query", ""), body
        if not query:  # all of it is in the body: an INSERT's data follows the line that names their format
            head, line, data = body.partition(b"FORMAT Native\n")
            query = (head + line.strip()).decode()
        settings = {key: value for key, value in given.items() if key not in _OF_THE_PROTOCOL and key[:6] != "param_"}
        parameters = {key[6:]: value for key, value in given.items() if key[:6] == "param_"}
        with tempfile.NamedTemporaryFile(suffix=".body") as file:
            if data:
                file.write(data)
                file.flush()
                query = _from_file(query, file.name)
            connection = chdb.connect(str(self.folder))
            try:
                connection.query(f"USE `{given.get('database') or 'default'}`")
                for key, value in settings.items():
                    connection.query(f"SET {key} = '{value}'")
                found = connection.query(query, given.get("default_format", "TabSeparated"), params=parameters)
                return 200, {"X-ClickHouse-Timezone": "UTC"}, found.bytes() or b""
            except RuntimeError as error:
                text = str(error)
                text = text[text.find("Code: ") :] if "Code: " in text else text
                code = text.partition("Code: ")[2].partition(".")[0] or "1002"
                return 404 if code in ("60", "81") else 500, {"X-ClickHouse-Exception-Code": code}, text.encode()
            finally:
                connection.close()


def _from_file(query: str, path: str) -> str:
    """An INSERT whose data is the request's body, as the embedded engine reads it."""
    head, _, form = query.rpartition(" FORMAT ")
    if "input('" in head:
        begin = head.index("input('") + len("input('")
        end = head.index("')", begin)
        before, shape, after = head[: begin - len("input('")], head[begin:end], head[end + len("')") :]
        return f"{before}file('{path}', '{form.strip()}', '{shape}'){after}"
    return f"{head} FROM INFILE '{path}' FORMAT {form}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ClickHouse

    def do_GET(self) -> None:
        self._reply(200, {}, b"Ok.\n")

    def do_POST(self) -> None:
        body = self._body()
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            text = (
                b"Code: 516. DB::Exception: watchbill: Authentication failed: password is incorrect, or there is no"
                b" user with such name. (AUTHENTICATION_FAILED)"
            )
            self._reply(403, {"X-ClickHouse-Exception-Code": "516"}, text)
            return
        if self.server.overloaded:
            text = b"Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"
            self._reply(500, {"X-ClickHouse-Exception-Code": "202"}, text)
            return
        time.sleep(self.server.delay_seconds)
        with self.server.lock:
            status, headers, answer = self.server.answer(dict(parse_qsl(urlsplit(self.path).query)), body)
        self._reply(status, headers, answer)

    def _body(self) -> bytes:
        body = self._sent()
        match self.headers.get("Content-Encoding"):
            case "lz4":
                return bytes(lz4.frame.decompress(body))
            case "zstd":
                return zstd.decompress(body)
        return body

    def _sent(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        with suppress(BrokenPipeError):  # who asked did not wait
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def clickhouse(folder: Path) -> Iterator[ClickHouse]:
    """A ClickHouse over the engine's folder."""
    made = ClickHouse(folder)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join(10)
        made.server_close()
