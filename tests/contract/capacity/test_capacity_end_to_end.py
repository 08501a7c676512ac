"""Capacity from end to end, through its doors: real spans, the real engine, the command line and the pages."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from tests.serving import serving
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.cli.app import app as watchbill
from watchbill.features import identity
from watchbill.features.capacity import heavier, nightly, ramping
from watchbill.features.telemetry import GroupCommit, LateSpans, Observer, TelemetryStore
from watchbill.processes.otlp import OtlpReceiver
from watchbill.processes.questions import Questions
from watchbill.runtime import due, ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer
from watchbill.web.app import web_router
from watchbill.web.live import Broadcaster
from watchbill.web.shell import Web

KEY = "k" * 40
ALICE = "alice@example.org"
MANIFEST = """
apiVersion: watchbill/v1
kind: Team
metadata: {{name: shop}}
spec:
  members: [alice@example.org]
  fallback: true
  peakEvents:
    - {{name: Cyber Week, start: "{start}", end: "{end}", factor: 1.71, operations: [store/place order]}}
---
apiVersion: watchbill/v1
kind: Service
metadata: {{name: store}}
spec:
  owner: shop
  capacity: {{replicas: 6}}
  operations: [{{name: place order, match: {{spanName: place order}}}}]
---
apiVersion: watchbill/v1
kind: Service
metadata: {{name: stock}}
spec:
  owner: shop
  capacity: {{perReplica: 100, replicas: 3, leadTime: 14d}}
"""
TOOL = """
import http.client, sys, threading, time
port, running = int(sys.argv[1]), True

def user(until):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while running and time.monotonic() < until:
        connection.request("GET", "/")
        connection.getresponse().read()

try:
    for users in (1, 2, 3, 4, 6, 8, *[14] * 60):
        crowd = [threading.Thread(target=user, args=(time.monotonic() + 1,), daemon=True) for _ in range(users)]
        [one.start() for one in crowd]
        [one.join() for one in crowd]
except KeyboardInterrupt:
    open(sys.argv[2], "w").write("interrupted")
"""


class Doors:
    """A running Watchbill with everything but its supervisor."""

    def __init__(self, url: str, otlp: str, observer: Observer, home: Path) -> None:
        self.url = url
        self.otlp = otlp
        self.observer = observer
        self.home = home

    def run(self, *arguments: object) -> Result:
        """A command, which has to succeed."""
        result = CliRunner().invoke(watchbill, [str(each) for each in arguments])
        assert result.exit_code == 0, result.output
        return result

    def asked(self, *arguments: object) -> Any:
        """What a command answers as JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def tell(self, spans: list[tuple[str, str, bytes, bytes, int, float]]) -> None:
        """Send spans (service, name, trace, parent, begin in ns, seconds) over OTLP."""
        request = ExportTraceServiceRequest()
        for service, name, trace, parent, begin, seconds in spans:
            of = request.resource_spans.add()
            for key, value in (("service.name", service), ("service.instance.id", f"{service}-1")):
                pair = of.resource.attributes.add()
                pair.key, pair.value.string_value = key, value
            span = of.scope_spans.add().spans.add()
            span.trace_id, span.span_id, span.parent_span_id = trace, os.urandom(8), parent
            span.name, span.kind = name, 2
            span.start_time_unix_nano, span.end_time_unix_nano = begin, begin + int(seconds * 1e9)
        sent = httpx.post(
            f"{self.otlp}/v1/traces",
            content=request.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        )
        assert sent.status_code == 200, sent.text

    def page(self, path: str) -> str:
        """A page as Alice sees it."""
        with httpx.Client(base_url=self.url, follow_redirects=True) as browser:
            browser.post("/sign-in", data={"login": ALICE, "password": "correct horse"})
            answer = browser.get(path)
            assert answer.status_code == 200
            return answer.text


@pytest.fixture
def doors(
    store: TelemetryStore, db: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Doors]:
    monkeypatch.setattr(heavier, "installed", lambda: False)
    commit = GroupCommit(store)
    commit.start()
    signer = Signer([KEY])
    settings = Settings(home=tmp_path, database_url=database_url, secret_key=KEY)
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    web = Web(settings=settings, lanes=lanes, signer=signer, live=Broadcaster(database_url))
    questions = Questions(store, signer, other=OtlpReceiver(commit, LateSpans()))
    with db.transaction() as tx:
        person = identity.ensure_person(tx, login=ALICE, name="Alice")
        identity.set_password(tx, person_id=person.id, password="correct horse", actor=ledger.system("test"))
        _, secret = identity.create_token(tx, name="cli", role="admin", actor=ledger.system("test"))
        start = (tx.now + timedelta(days=10)).date()
    app = create_app(settings=settings, lanes=lanes, handlers=[web_router(web)])
    with serving(questions, lifespan="off") as otlp, serving(app) as url:
        monkeypatch.setenv("WATCHBILL_URL", url)
        monkeypatch.setenv("WATCHBILL_TOKEN", secret)
        monkeypatch.setenv("COLUMNS", "200")
        made = Doors(url, otlp, Observer(otlp, signer), tmp_path)
        (tmp_path / "shop.yaml").write_text(MANIFEST.format(start=start, end=start + timedelta(days=3)))
        made.run("apply", tmp_path / "shop.yaml")
        yield made
    commit.stop()
    lanes.close()


def demand(folder: Path, top: float) -> Path:
    """Six weeks of hours."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        (now - timedelta(hours=at), top * (0.6 + 0.4 * math.sin(at % 24 / 24 * 2 * math.pi)) * (1 + at * 37 % 5 / 50))
        for at in range(42 * 24, 0, -1)
    ]
    path = folder / "demand.csv"
    path.write_text("\n".join(f"{at.isoformat()},{value:.3f}" for at, value in rows))
    return path


class Slow(BaseHTTPRequestHandler):
    """Four workers of 40 ms each: a hundred a second, and a queue beyond."""

    protocol_version = "HTTP/1.1"
    workers = threading.Semaphore(4)
    seen: list[tuple[int, float]] = []  # noqa: RUF012  one service of one test

    def do_GET(self) -> None:
        begin = time.time_ns()
        with self.workers:
            time.sleep(0.04)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.seen.append((begin, (time.time_ns() - begin) / 1e9))

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""


def test_a_ramp_runs_until_it_is_enough_and_the_forecast_and_the_page_use_its_fit(
    doors: Doors, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ramping, "_LATE", timedelta(seconds=0.5))  # our spans are sent at once
    doors.run("capacity", "push", "store", demand(tmp_path, 200), "--operation", "place order")
    service = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    (tmp_path / "tool.py").write_text(TOOL)
    going = threading.Event()

    def behind() -> None:
        duty = ramping.WatchRamp(doors.observer)
        while not going.wait(0.5):
            told, Slow.seen = Slow.seen, []
            doors.tell([("store", "place order", os.urandom(16), b"", begin, took) for begin, took in told])
            due.work_outside(db, duty)

    with ThreadPoolExecutor(1) as worker:
        work = worker.submit(behind)
        try:
            command = f"{sys.executable} {tmp_path / 'tool.py'} {service.server_port} {tmp_path / 'end'}"
            ramp = doors.asked(
                "capacity", "ramp", "store", "--step", 1, "--minutes", 1, "--latency-ms", 60, "--save", "--run", command
            )
        finally:
            going.set()
            work.result(10)
            service.shutdown()
            service.server_close()
    assert ramp["state"] == "fitted", ramp["reason"]
    assert "requests took over 90 ms" in ramp["reason"]
    assert (tmp_path / "end").read_text() == "interrupted", "the tool was stopped, long before its own end"
    assert 55 < ramp["capacity"] < 110, "of the hundred a second that four workers of 40 ms do"

    while due.work_inside(db, [nightly.ForecastService()]) == 0:
        time.sleep(0.2)
    line = next(one for one in doors.asked("capacity", "list") if one["service"] == "store")
    assert line["state"]["carried"]["source"] == "fitted"
    assert line["state"]["carried"]["per_replica"] == pytest.approx(ramp["capacity"])
    assert line["state"]["capacity"] == pytest.approx(5 * ramp["capacity"])
    page = doors.page("/capacity/store")
    assert "requests took over 90 ms" in page
    assert f"One replica carries {ramp['capacity']:.4g}/s within 60 ms" in page


def test_what_nobody_measures_is_derived_from_traces_and_signed_off_by_command(
    doors: Doors, db: Database, tmp_path: Path
) -> None:
    """Quiet minutes call stock twice for each order and busy ones three times."""
    begun = (int(time.time()) // 60 - 30) * 60 * 10**9
    spans: list[tuple[str, str, bytes, bytes, int, float]] = []
    for minute in range(20):
        busy = minute % 2
        for at in range(8 if busy else 4):
            trace, begin = os.urandom(16), begun + minute * 60 * 10**9 + at * 10**9
            spans.append(("store", "place order", trace, b"", begin, 0.05))
            spans += [("stock", "reserve", trace, b"p" * 8, begin, 0.01)] * (3 if busy else 2)
    doors.tell(spans)
    doors.run("capacity", "push", "store", demand(tmp_path, 100), "--operation", "place order")
    assert nightly.work_night(db, doors.observer) == 2

    own, derived = (doors.asked("capacity", "forecast", name)["forecasts"] for name in ("store", "stock"))
    (stock,) = derived
    whole = next(one for one in own if one["operation"] == "")
    assert stock["model"] == "calls"
    calls = stock["peak"][0] / (whole["peak"][0] * whole["burst"])
    assert calls == pytest.approx((80 * 3 + 40 * 2) / 120, rel=0.01)
    assert stock["peak_high"][0] > whole["peak_high"][0] * whole["burst"] * calls, "both intervals are multiplied"
    assert any("change with load" in note for note in stock["notes"])

    answer = doors.asked("capacity", "whatif", "store", "place order", "+71%")
    assert answer["effects"][0]["service"] == "stock", "of 200/s it is the first to break"
    doors.run("capacity", "sign", "Cyber Week", "stock", "--note", "three more are ordered", "--person", ALICE)
    (review,) = doors.asked("capacity", "review")
    assert {one["service"]: one["signed"] is not None for one in review["lines"]} == {"store": False, "stock": True}
    page = doors.page("/capacity/review")
    assert "three more are ordered" in page
    assert "change with load" in page
    doors.run("capacity", "unsign", "Cyber Week", "stock")
    unsigned = CliRunner().invoke(watchbill, ["capacity", "sign", "Cyber Week", "stock", "--note", "x"])
    assert unsigned.exit_code != 0
    assert "--person" in unsigned.output
