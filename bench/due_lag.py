"""From the instant a page's step is due to the provider's answer: 100,000 open pages, 200 sends a second, two pagers.

The stack is real: `watchbill up` with its own PostgreSQL (every commit durable), a second `watchbill run pager`,
webhooks over HTTP. Pages are copies of one that came by the API, each with its incident, alert and timer:

- ``due_lag``: due → webhook arrived, p50 and p99, while most of the 100,000 timers lie further ahead;
- ``due_lag_old``: the same when the ledger has 10 million entries (BENCH_LEDGER_ENTRIES for fewer): cost is flat;
- ``failover``: one pager is killed with kill -9 in the middle; the longest lag of all.

Prediction, written before the first run: a step is about 10 statements and a send about 15, some 8 ms of one core
together, so 200 a second want 1.6 cores beside PostgreSQL's: on two cores this is at the edge, on four it is easy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import psycopg

from bench._stack import Stack, free_port, percentile, running
from bench.results import Result
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = ("due_lag", "due_lag_p50", "due_lag_old", "failover")
PAGES = int(os.environ.get("BENCH_OPEN_PAGES", "100000"))
ENTRIES = int(os.environ.get("BENCH_LEDGER_ENTRIES", "10000000"))
RATE = int(os.environ.get("BENCH_SENDS_PER_SECOND", "200"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "30"))
TEAMS = 300
PATIENCE_SECONDS = 120

TEAM = """\
apiVersion: watchbill/v1
kind: Team
metadata: {{name: team-{number}}}
spec:
  members: [p{number}@bench.example]
{fallback}  escalation:
    steps:
      - {{notify: [team], wait: 6h}}
---
"""
SERVICE = """\
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: team-0
"""


def run() -> list[Result]:
    """The figures; one stack for all of them, so that the old ledger is the same database grown older."""
    with running() as stack, _sink() as (port, arrived):
        bench = DueLag(stack, port, arrived)
        with bench.second_pager():
            first = bench.measure("lag")
            bench.grow_ledger(ENTRIES)
            old = bench.measure("old")
        after = bench.failover()
    at = f"at {RATE} sends/s, {PAGES:,} open pages, two pagers"
    return [
        _result("due_lag", percentile(first, 0.99), f"p99 {at}", 1.0),
        _result("due_lag_p50", percentile(first, 0.50), None, None),
        _result("due_lag_old", percentile(old, 0.99), f"p99, the same with {ENTRIES:,} ledger entries", 1.0),
        _result("failover", max(after), f"longest lag when one pager is killed {at}", 5.0),
    ]


def _result(name: str, value: float, limit: str | None, limit_value: float | None) -> Result:
    return Result(name=name, value=value, unit="s", better="lower", limit=limit, limit_value=limit_value)


class DueLag:
    """An installation with many open pages, and their timers set to a rate."""

    def __init__(self, stack: Stack, sink: int, arrived: dict[str, float]) -> None:
        self.stack = stack
        self.arrived = arrived
        self.db = psycopg.connect(EmbeddedPostgres(stack.home).url, autocommit=True)
        manifest = stack.home.parent / "teams.yaml"
        teams = [TEAM.format(number=n, fallback="  fallback: true\n" if n == 0 else "") for n in range(TEAMS)]
        manifest.write_text("".join(teams) + SERVICE)
        stack.cli("apply", str(manifest))
        self.db.execute(
            "UPDATE contact_method SET channel = 'webhook', address = %s || person_id", [f"http://127.0.0.1:{sink}/"]
        )
        self._template = self._one_real_page()
        self._seeded = 0
        self._seed(PAGES)

    def _one_real_page(self) -> str:
        key = self.stack.cli("integration", "create", "bench", "--format", "events")["key"]
        _post(f"{self.stack.url}/api/v1/events", {"identity": "bench", "title": "first", "service": "payments"}, key)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = self.db.execute("SELECT p.id::text FROM page p JOIN notification n ON n.page_id = p.id").fetchone()
            if found and "first" in self.arrived:
                return str(found[0])
            time.sleep(0.1)
        raise RuntimeError("the first page did not arrive")

    def _seed(self, count: int) -> None:
        """Copies of the real page with timers a day ahead; each about itself, so that no storm bundles them."""
        self.db.execute(
            """
            CREATE TABLE bench_copy AS SELECT n, gen_random_uuid() AS incident_id, gen_random_uuid() AS page_id,
              (SELECT array_agg(id ORDER BY name) FROM team)[1 + n %% %(teams)s] AS team_id
            FROM generate_series(1, %(count)s) n
            """,
            {"count": count, "teams": TEAMS},
        )
        copies = (
            ("incident", "id", "SELECT incident_id FROM page WHERE id = %(page)s",
             "'id', b.incident_id, 'number', nextval('incident_number_seq'), 'title', 'lag-' || b.n,"
             " 'team_id', b.team_id, 'service_id', NULL"),
            ("alert", "incident_id", "SELECT incident_id FROM page WHERE id = %(page)s",
             "'id', gen_random_uuid(), 'incident_id', b.incident_id, 'identity', 'lag-' || b.n, 'title', 'lag-' || b.n,"
             " 'team_id', b.team_id, 'service_id', NULL, 'service_name', NULL"),
            ("page", "id", "SELECT %(page)s::uuid",
             "'id', b.page_id, 'incident_id', b.incident_id, 'team_id', b.team_id, 'state', 'escalating', 'step', 0,"
             " 'due_at', clock_timestamp() + interval '1 day'"),
        )  # fmt: skip
        for table, column, chosen, changed in copies:
            self.db.execute(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({changed}))).*"
                f" FROM bench_copy b CROSS JOIN {table} t WHERE t.{column} = ({chosen})",
                {"page": self._template},
            )
        self.db.execute(
            "INSERT INTO due_row (kind, subject, payload, due_at, created_at) SELECT 'page.step', page_id::text,"
            " '{\"epoch\": 1}', clock_timestamp() + interval '1 day', clock_timestamp() FROM bench_copy"
        )
        self.db.execute("VACUUM ANALYZE")

    def measure(self, what: str, *, at_half: Any = None) -> list[float]:
        """Let RATE × SECONDS of the timers fall due at that rate; the lag of each, in seconds."""
        count = RATE * SECONDS
        chosen = (self._seeded, self._seeded + count)
        self._seeded += count
        begins = datetime.now(UTC) + timedelta(seconds=5)
        for table, column in (("page", "id::text"), ("due_row", "subject")):
            only = "" if table == "page" else " AND t.kind = 'page.step'"
            self.db.execute(
                f"UPDATE {table} t SET due_at = %s::timestamptz + (b.n - %s) * interval '1 second' / %s"
                f" FROM bench_copy b WHERE b.page_id::text = t.{column} AND b.n > %s AND b.n <= %s{only}",
                [begins, chosen[0] + 1, RATE, *chosen],
            )
        if at_half is not None:
            threading.Timer(5 + SECONDS / 2, at_half).start()
        names = {
            f"lag-{n}": begins.timestamp() + (n - chosen[0] - 1) / RATE for n in range(chosen[0] + 1, chosen[1] + 1)
        }
        until = time.monotonic() + 5 + SECONDS + PATIENCE_SECONDS
        while time.monotonic() < until and not names.keys() <= self.arrived.keys():
            time.sleep(0.25)
        missing = names.keys() - self.arrived.keys()
        if missing:
            raise RuntimeError(f"{what}: {len(missing)} pages of {count} did not arrive")
        return [self.arrived[name] - due for name, due in names.items()]

    def grow_ledger(self, entries: int) -> None:
        """Years of history of other incidents, as the ledger keeps it."""
        there = int(self.db.execute("SELECT count(*) FROM ledger_entry").fetchone()[0])  # type: ignore[index]  # one row
        self.db.execute(
            """
            INSERT INTO ledger_entry (at, name, version, actor_kind, actor_id, subject_kind, subject_id, incident_id,
                                      team_id, why, data)
            SELECT clock_timestamp() - n * interval '4 seconds', 'page.step_taken', 1, 'system', 'pager', 'page',
                   md5((n / 12)::text)::uuid::text, md5((n / 12)::text)::uuid, NULL, 'step 1: on-call',
                   '{"step": 0, "epoch": 1}'
            FROM generate_series(1, %s) n
            """,
            [max(0, entries - there)],
        )
        self.db.execute("ANALYZE ledger_entry")

    @contextlib.contextmanager
    def second_pager(self) -> Iterator[subprocess.Popen[bytes]]:
        """Another pager on the same database."""
        health = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "watchbill.cli.app", "run", "pager"],
            env={
                **os.environ,
                "WATCHBILL_HOME": str(self.stack.home),
                "WATCHBILL_HEALTH_PORT": str(health),
                "WATCHBILL_ALLOW_PRIVATE_ADDRESSES": "true",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _until_ready(f"http://127.0.0.1:{health}/readyz")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)

    def failover(self) -> list[float]:
        """The same load; the second pager dies in the middle without a word."""
        with self.second_pager() as process:
            return self.measure("failover", at_half=process.kill)


def _post(url: str, body: object, bearer: str) -> None:
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
    request = urllib.request.Request(url, data=msgspec.json.encode(body), headers=headers)
    with urllib.request.urlopen(request, timeout=20):
        pass


def _until_ready(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("the second pager did not become ready")


@contextlib.contextmanager
def _sink() -> Iterator[tuple[int, dict[str, float]]]:
    """A webhook's receiver that notes when each incident's first message arrived."""
    arrived: dict[str, float] = {}

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            at = time.time()
            body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
            arrived.setdefault(body["incident"]["title"], at)
            for one in body.get("pages", ()):
                arrived.setdefault(one["incident"]["title"], at)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], arrived
    finally:
        server.shutdown()
        server.server_close()
