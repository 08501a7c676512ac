"""``watchbill up``, seen from outside: restarts, an orderly end, and clear words when it cannot start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.crash.living import MailSink, call
from tests.crash.test_no_page_is_lost import first_mail_without_leases, organise
from watchbill.processes import forks
from watchbill.processes.plans import PLANS
from watchbill.runtime.db import Database
from watchbill.runtime.home import Running, running
from watchbill.runtime.postgres import EmbeddedPostgres

START_SECONDS = 90
"""Far above what a start takes: this suite asserts order, the benchmark asserts time."""


class Up:
    """One ``watchbill up`` on free ports."""

    def __init__(self, home: Path, *arguments: str, **settings: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchbill.cli.app", "up", "--home", str(home), *arguments],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def await_ready(self) -> Running:
        found = eventually(lambda: running(self.home) or (self.process.poll() is not None and "ended"))
        assert isinstance(found, Running), self.process.communicate()
        return found

    def child(self, name: str) -> int | None:
        """The process id of a child, found as an operator would: by its parent and its command."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and name.encode() in command:
                return int(entry.name)
        return None

    def end(self) -> tuple[str, str]:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.communicate(timeout=30)


def eventually(look: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0


@contextmanager
def a_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wb up "))
    folder.chmod(0o711)
    yield folder
    if (folder / "postgres").exists():
        EmbeddedPostgres(folder).stop()
    shutil.rmtree(folder)


@pytest.fixture
def home() -> Iterator[Path]:
    with a_home() as folder:
        yield folder


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    """A Watchbill of this test's own, because the test ends it."""
    started = Up(home, "--port", "0", "--otlp-port", "0")
    yield started
    started.end()


@pytest.fixture(scope="module")
def sink() -> Iterator[MailSink]:
    sink = MailSink()
    yield sink
    sink.stop()


@pytest.fixture(scope="module")
def shared_up(sink: MailSink) -> Iterator[Up]:
    """A Watchbill for all tests that leave it running."""
    with a_home() as folder:
        started = Up(folder, "--port", "0", "--otlp-port", "0", WATCHBILL_SMTP_URL=sink.url)
        yield started
        started.end()


def test_a_killed_child_is_started_again_and_nothing_refuses_meanwhile(shared_up: Up) -> None:
    up, url = shared_up, shared_up.await_ready().url
    assert status(f"{url}/readyz") == 200
    for name in ("server", "pager"):
        before = up.child(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        after = eventually(lambda name=name, before=before: (now := up.child(name)) != before and now)
        assert after != before
    assert eventually(lambda: status(f"{url}/readyz") == 200)


def test_children_that_are_killed_while_a_page_is_under_way_lose_nothing_of_it(shared_up: Up, sink: MailSink) -> None:
    """paged.never_dropped"""
    up, url = shared_up, shared_up.await_ready().url
    token = json.loads((up.home / "local.json").read_text())["token"]
    db = Database(EmbeddedPostgres(up.home).url, name="test-up")
    try:
        organise(db)
        event = {"identity": "a", "title": "a on payments", "service": "payments"}
        assert call("POST", f"{url}/api/v1/events", event, token=token).status == 202
        for name in ("pager", "server"):
            os.kill(eventually(lambda name=name: up.child(name)), signal.SIGKILL)
        mail = first_mail_without_leases(sink, db)
        os.kill(eventually(lambda: up.child("server")), signal.SIGKILL)
        eventually(lambda: call("POST", f"{url}{mail.acknowledge_path}").status == 200)
        with db.transaction() as tx:
            told = tx.execute(sa.text("SELECT name FROM ledger_entry WHERE name = 'page.acknowledged'")).scalars().all()
        assert told
    finally:
        db.dispose()


def test_a_killed_supervisor_leaves_postgres_to_the_next_which_sigterm_stops_whole(up: Up, home: Path) -> None:
    up.await_ready()
    children = [up.child(name) for name in PLANS]
    postgres = EmbeddedPostgres(home).pid()
    assert postgres is not None
    up.process.kill()
    out, _ = up.process.communicate()
    assert "Admin token" in out
    assert eventually(lambda: not [pid for pid in children if pid and alive(pid)], 20)
    assert EmbeddedPostgres(home).pid() == postgres

    second = Up(home, "--port", "0", "--otlp-port", "0")
    second.await_ready()
    assert EmbeddedPostgres(home).pid() == postgres
    children = [second.child(name) for name in PLANS]
    began = time.monotonic()
    second.process.send_signal(signal.SIGTERM)
    out, _ = second.process.communicate(timeout=30)
    assert time.monotonic() - began < 15  # the promise is 5 s on a quiet machine
    assert second.process.returncode == 0
    assert "Admin token" not in out
    assert EmbeddedPostgres(home).pid() is None
    assert running(home) is None
    assert not [pid for pid in children if pid is not None and Path(f"/proc/{pid}").exists()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_second_start_on_the_same_home_says_who_holds_it(shared_up: Up) -> None:
    shared_up.await_ready()
    second = Up(shared_up.home, "--port", "0", "--otlp-port", "0")
    _, err = second.process.communicate(timeout=30)
    assert second.process.returncode == 7
    assert f"in use by another Watchbill (pid {shared_up.process.pid})" in err
    assert len(err.strip().splitlines()) == 2  # what, and how to mend it


def test_a_child_is_a_group_of_its_own_and_does_not_hold_the_home(shared_up: Up) -> None:
    shared_up.await_ready()
    for name in PLANS:
        pid = shared_up.child(name)
        files = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [file for file in files if file.endswith("watchbill.lock")]
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"PPid:\t{shared_up.process.pid}\n" in status
        assert os.getpgid(pid or 0) == pid


def test_a_fork_beside_a_thread_is_refused() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="busy")
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="busy"):
            forks.fork("pager", lambda: 0, environment={})
    finally:
        done.set()
        thread.join()


def test_a_taken_port_is_one_clear_line(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Up(home, "--port", str(port), "--otlp-port", "0")
        _, err = refused.process.communicate(timeout=30)
    assert refused.process.returncode == 7
    assert f"port {port} on 127.0.0.1 is taken" in err
    assert "Traceback" not in err
    assert EmbeddedPostgres(home).pid() is None


def test_a_home_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "home"
    file.write_text("")
    refused = Up(file, "--port", "0", "--otlp-port", "0")
    _, err = refused.process.communicate(timeout=30)
    assert refused.process.returncode == 7
    assert "cannot write" in err
    assert "--home" in err
    assert "Traceback" not in err


def test_the_home_keeps_access_for_commands_on_this_machine_only(shared_up: Up) -> None:
    url = shared_up.await_ready().url
    local = shared_up.home / "local.json"
    assert local.stat().st_mode & 0o077 == 0
    access = json.loads(local.read_text())
    assert access["url"] == url
    request = urllib.request.Request(f"{url}/api/v1/me", headers={"authorization": f"Bearer {access['token']}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
