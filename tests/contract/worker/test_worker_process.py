"""The worker as the process builds it, over real PostgreSQL and real SMTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from tests.journeys.stage import Stage
from watchbill.kernel.clock import SystemClock
from watchbill.processes import compose, plans
from watchbill.processes.compose import Context
from watchbill.processes.worker import build
from watchbill.runtime import due
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database


class Mailbox:
    """A real SMTP server that counts whom it was handed mail for."""

    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd names it
        self.recipients += envelope.rcpt_tos
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


def context(database_url: str, home: Path, **settings: Any) -> Context:
    given = Settings(home=home, database_url=database_url, secret_key="k" * 40, **settings)
    return Context(plans.plan_of("worker"), given, database_url)


def is_idle(db: Database, worker: Database) -> bool:
    """Every mail is settled, and the threads that sent them have put their connections back."""
    with db.transaction() as tx:
        left = tx.execute(sa.select(due.due_row.c.id).where(due.due_row.c.kind == "digest.send")).all()
    assert isinstance(worker.engine.pool, sa.QueuePool)
    return not left and worker.engine.pool.checkedout() == 0


def eventually(see: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not see():
        assert time.monotonic() < end, "not within 10 s"
        time.sleep(0.02)


def test_the_workers_loops_write_a_digest_and_send_it(
    db: Database, database_url: str, tmp_path: Path, mailbox: tuple[Mailbox, str]
) -> None:
    """page.ticket"""
    stage = Stage(db, SystemClock())  # type: ignore[arg-type]  # real time
    stage.team("payments", "alice", "bob")
    stage.service("payments", owner="payments")
    stage.fire("disk", urgency="ticket")
    box, url = mailbox
    made = context(database_url, tmp_path, smtp_url=url)
    loops = {loop.name: loop for loop in compose.build(made).loops}
    try:
        loops["digest-rows"].run_once()
        with db.transaction() as tx:
            row = due.due_row.c
            moved = tx.execute(sa.update(due.due_row).where(row.kind == "digest.write").values(due_at=tx.now))
            assert moved.rowcount == 1
        loops["digests"].run_once()
        loops["digest-mails"].run_once()
        eventually(lambda: len(box.recipients) == 2 and is_idle(db, made.database("worker")))
        assert sorted(box.recipients) == ["alice@example.org", "bob@example.org"]
        with db.transaction() as tx:
            again = tx.execute(sa.select(row.due_at).where(row.kind == "digest.write")).scalar_one()
            assert timedelta(0) < again - tx.now <= timedelta(days=2)
    finally:
        made.close()


def test_without_a_mail_server_there_are_no_digests_and_the_other_duties_run(
    db: Database, database_url: str, tmp_path: Path
) -> None:
    made = context(database_url, tmp_path)
    try:
        loops = build(made).loops
        assert [loop.name for loop in loops if loop.name.startswith("digest")] == []
        assert all(loop.run_once() == loop.idle_seconds for loop in loops)
    finally:
        made.close()
