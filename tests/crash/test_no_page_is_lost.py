"""Event → mail → signed link → timeline with real processes, and kill -9 at each hop: no page is lost."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.crash.living import Installation, Mail, MailSink, eventually
from tests.journeys.stage import Stage
from watchbill.features import identity
from watchbill.kernel.clock import SystemClock
from watchbill.runtime import ledger, migrate
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

SECOND_STEP = {"steps": [{"notify": ["on-call"], "wait": "4s"}, {"notify": ["team"], "wait": "5m"}]}


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wb-pages-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sink() -> Iterator[MailSink]:
    sink = MailSink()
    yield sink
    sink.stop()


def organise(db: Database, **spec: Any) -> str:
    """Team payments (alice leads, bob) owns payments; returns a token that may send and read."""
    stage = Stage(db, SystemClock())  # type: ignore[arg-type]  # only the organisation is used, in real time
    stage.team("payments", "alice", "bob", **spec)
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    with db.transaction() as tx:
        _, secret = identity.create_token(tx, name="sender", role="responder", actor=ledger.system("test"))
    return secret


@pytest.fixture
def watchbill(db: Database, database_url: str, home: Path, sink: MailSink) -> Iterator[Installation]:
    token = organise(db)
    made = Installation(database_url=database_url, home=home, smtp_url=sink.url, token=token)
    made.start()
    yield made
    made.end()


def due_kinds(db: Database) -> list[str]:
    with db.transaction() as tx:
        return list(tx.execute(sa.text("SELECT kind FROM due_row ORDER BY kind")).scalars())


def first_mail(sink: MailSink, login: str = "alice") -> Mail:
    return eventually(lambda: sink.to(login))[0]


def let_leases_end(db: Database) -> None:
    """The minute that a dead process's lease still runs, without waiting for it."""
    with db.transaction() as tx:
        tx.execute(sa.text("UPDATE due_row SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL"))


def first_mail_without_leases(sink: MailSink, db: Database) -> Mail:
    """The first mail to alice, however often its sender is killed meanwhile."""

    def look() -> list[Mail]:
        let_leases_end(db)
        return sink.to("alice")

    return eventually(look)[0]


def test_a_posted_event_becomes_a_mail_whose_link_shows_on_get_and_acknowledges_on_post(
    watchbill: Installation, sink: MailSink
) -> None:
    """alert.firing, paged.owner, page.acknowledged, page.one_use_case"""
    accepted = watchbill.send_event()
    assert accepted.status == 202
    mail = first_mail(sink)
    assert "high-errors on payments" in mail.text
    for _ in range(3):  # a mail scanner, a link preview, the person
        shown = watchbill.get(mail.acknowledge_path)
        assert shown.status == 200
        assert "high-errors on payments" in shown.text
    assert "page.acknowledged" not in watchbill.timeline()
    assert watchbill.post(mail.acknowledge_path).status == 200
    timeline = watchbill.timeline()
    order = ["incident.opened", "page.opened", "page.step_taken", "notification.sent", "page.acknowledged"]
    assert [name for name in timeline if name in order] == order
    (incident,) = watchbill.get("/api/v1/incidents").json
    assert incident["pages"][0]["acknowledged_by"] == "alice"


def test_pager_and_server_killed_right_after_the_answer_and_before_routing(
    watchbill: Installation, sink: MailSink, db: Database
) -> None:
    """paged.never_dropped"""
    watchbill.pager.signal(signal.SIGSTOP)  # so that the kill surely comes before the routing
    assert watchbill.send_event().status == 202
    watchbill.kill()
    assert due_kinds(db) == ["alert.route"]
    watchbill.start()
    mail = first_mail(sink)
    assert watchbill.post(mail.acknowledge_path).status == 200
    assert "page.acknowledged" in watchbill.timeline()


def test_pager_killed_while_the_mail_is_in_flight_and_again_before_the_second_step(
    db: Database, database_url: str, home: Path, sink: MailSink
) -> None:
    """notification.queued, page.escalating"""
    token = organise(db, escalation=SECOND_STEP)
    watchbill = Installation(database_url=database_url, home=home, smtp_url=sink.url, token=token)
    watchbill.start()
    try:
        sink.slow.set()
        assert watchbill.send_event().status == 202
        eventually(lambda: sink.in_flight)
        watchbill.pager.kill()
        sink.slow.clear()
        assert sink.mails == []
        assert "notification.send" in due_kinds(db)
        watchbill.pager.start()
        let_leases_end(db)
        first_mail(sink)
        watchbill.pager.kill()
        watchbill.pager.start()
        let_leases_end(db)
        mail = first_mail(sink, "bob")
        assert watchbill.post(mail.acknowledge_path).status == 200
        assert "page.acknowledged" in watchbill.timeline()
    finally:
        watchbill.end()


def test_both_killed_after_the_mail_and_before_the_acknowledgement(
    db: Database, database_url: str, home: Path, sink: MailSink
) -> None:
    """page.acknowledged, page.escalating"""
    token = organise(db, escalation=SECOND_STEP)
    watchbill = Installation(database_url=database_url, home=home, smtp_url=sink.url, token=token)
    watchbill.start()
    try:
        assert watchbill.send_event().status == 202
        mail = first_mail(sink)
        watchbill.kill()
        watchbill.server.start()  # the pager is still away: an acknowledgement does not need it
        watchbill.await_server()
        assert watchbill.post(mail.acknowledge_path).status == 200
        watchbill.pager.start()
        let_leases_end(db)
        eventually(lambda: "page.step" not in due_kinds(db))  # the second step fell due, and was not taken
        eventually(lambda: "notification.send" not in due_kinds(db))
        assert sink.to("bob") == []
        assert {mail.id for mail in sink.to("alice")} == {mail.id}, "a repeat carries the same id"
    finally:
        watchbill.end()


def test_the_database_goes_away_and_comes_back(home: Path, sink: MailSink) -> None:
    """paged.never_dropped"""
    postgres = EmbeddedPostgres(home, settings={"fsync": "off", "full_page_writes": "off"})
    url = postgres.start()
    try:
        migrate.upgrade(url)
        db = Database(url, name="test-own")
        watchbill = Installation(database_url=url, home=home, smtp_url=sink.url, token=organise(db))
        watchbill.start()
        try:
            watchbill.pager.signal(signal.SIGSTOP)
            assert watchbill.send_event("before").status == 202
            postgres.stop()
            watchbill.pager.signal(signal.SIGCONT)
            for _ in range(5):  # each pooled connection finds out for itself
                refused = watchbill.send_event("during")
                assert refused.status == 503
                assert int(refused.headers["retry-after"]) > 0
                assert refused.json["error"]["code"] == "database_away"
            not_ready = watchbill.get("/readyz")
            assert not_ready.status == 503
            assert "retry-after" in not_ready.headers
            assert watchbill.get("/healthz").status == 200, "alive: restarting it would mend nothing"
            assert sink.mails == []
            postgres.start()
            mail = first_mail(sink)
            assert "before on payments" in mail.text
            eventually(lambda: watchbill.send_event("during").status == 202)  # what Retry-After asks senders for
            assert watchbill.post(mail.acknowledge_path).status == 200
            assert watchbill.pager.alive
            assert watchbill.server.alive
            eventually(lambda: watchbill.timeline().count("alert.joined") == 2)
            assert "Traceback" not in watchbill.log.read_text()
        finally:
            watchbill.end()
            db.dispose()
    finally:
        postgres.stop()


def test_the_ledger_of_a_killed_pager_has_no_half_written_story(
    watchbill: Installation, sink: MailSink, database_url: str
) -> None:
    """Kill the pager again and again under a stream of events: each event ends up in exactly one mail's page."""
    names = [f"alert-{number}" for number in range(12)]
    for position, name in enumerate(names):
        assert watchbill.send_event(name, service=f"unknown-{name}").status == 202
        if position % 4 == 3:
            watchbill.pager.kill()
            watchbill.pager.start()
    with psycopg.connect(database_url, autocommit=True) as connection:

        def told() -> set[str]:
            connection.execute("UPDATE due_row SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL")
            return {name for name in names for mail in sink.to("dana") if f"{name} on payments" in mail.text}

        eventually(lambda: told() == set(names))
        opened = connection.execute("SELECT count(*) FROM incident").fetchone()
    assert opened == (len(names),)
