"""The daily digest over a week in which the clocks change, and over real SMTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from tests.journeys.stage import ACTOR, Stage
from watchbill.channels import Context, Sender
from watchbill.features import catalog, digest, identity
from watchbill.features.catalog.store import team
from watchbill.features.identity.store import contact_method
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.messages import Message, Send, SendOutcome

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


class Desk:
    """The worker's part: rows kept, digests written, mails sent, whenever time moves."""

    def __init__(self, stage: Stage, send: Send | None = None) -> None:
        self.stage = stage
        self.mails: list[tuple[datetime, Message]] = []
        self.broken: dict[str, SendOutcome] = {}
        self._write = digest.WriteDigest(base_url="https://watchbill.test")
        self._send = digest.SendDigest(send=send or self._deliver)

    def work(self) -> None:
        with self.stage.db.transaction() as tx:
            digest.keep_rows(tx)
        while due.work_inside(self.stage.db, [self._write]) or due.work_outside(self.stage.db, self._send):
            pass

    def wait(self, by: timedelta) -> None:
        end = self.stage.clock.now() + by
        while self.stage.clock.now() < end:
            self.stage.clock.move_to(min(end, self.stage.clock.now() + timedelta(minutes=30)))
            self.work()

    def _deliver(self, message: Message) -> SendOutcome:
        if message.address in self.broken:
            return self.broken[message.address]
        self.mails.append((self.stage.clock.now(), message))
        return SendOutcome(sent=True)

    def to(self, login: str) -> list[tuple[datetime, Message]]:
        return [(at, mail) for at, mail in self.mails if mail.address == f"{login}@example.org"]


@pytest.fixture
def stage(virtual_db: Database, clock: VirtualClock) -> Stage:
    """Friday morning before the clocks go forward in Berlin (Sunday 29 March 2026)."""
    clock.move_to(datetime(2026, 3, 27, 6, 0, tzinfo=UTC))
    stage = Stage(virtual_db, clock)
    stage.team("payments", "alice", "bob", "eve:shadow", timeZone="Europe/Berlin")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    return stage


@pytest.fixture
def desk(stage: Stage) -> Desk:
    desk = Desk(stage)
    desk.work()
    return desk


def ticket(stage: Stage, identity: str = "disk", **more: Any) -> None:
    stage.fire(identity, urgency="ticket", title="Disk fills up", **more)


def names(db: Database) -> list[str]:
    entry = ledger.ledger_entry.c
    with db.transaction() as tx:
        return list(tx.execute(sa.select(entry.name).where(entry.name.like("digest.%")).order_by(entry.id)).scalars())


def test_a_ticket_pages_nobody_and_is_in_each_members_digest_at_nine(stage: Stage, desk: Desk) -> None:
    """page.ticket"""
    ticket(stage)
    desk.wait(12 * HOUR)
    assert stage.sent == []
    assert sorted(mail.address for _, mail in desk.mails) == [
        "alice@example.org", "bob@example.org", "eve@example.org"
    ]  # fmt: skip
    at, mail = desk.to("alice")[0]
    assert at.astimezone(BERLIN).isoformat() == "2026-03-27T09:00:00+01:00"
    assert mail.subject == "[digest] payments: 1 ticket"
    assert "Disk fills up" in mail.text
    assert not mail.urgent
    assert mail.acknowledge_url is None


def test_a_week_over_a_change_of_clocks_has_one_digest_a_day_at_nine_of_the_teams_clock(
    stage: Stage, desk: Desk
) -> None:
    ticket(stage)
    desk.wait(timedelta(days=7))
    local = [at.astimezone(BERLIN) for at, _ in desk.to("alice")]
    assert [f"{at:%a %H:%M %z}" for at in local] == [
        "Fri 09:00 +0100",
        "Sat 09:00 +0100",
        "Sun 09:00 +0200",
        "Mon 09:00 +0200",
        "Tue 09:00 +0200",
        "Wed 09:00 +0200",
        "Thu 09:00 +0200",
    ]


def test_nothing_to_say_sends_nothing_and_is_noted_nowhere(stage: Stage, desk: Desk) -> None:
    desk.wait(timedelta(days=2))
    assert desk.mails == []
    assert names(stage.db) == []


def test_a_ticket_that_ended_is_not_in_the_next_digest(stage: Stage, desk: Desk) -> None:
    ticket(stage)
    desk.wait(12 * HOUR)
    stage.recover("disk")
    desk.wait(timedelta(days=2))
    assert len(desk.to("alice")) == 1


def test_an_incident_of_the_last_day_that_is_still_open_is_listed_once(stage: Stage, desk: Desk) -> None:
    stage.fire()
    stage.acknowledge("alice")
    desk.wait(timedelta(days=3))
    assert [mail.subject for _, mail in desk.to("alice")] == ["[digest] payments: 1 open incident"]
    assert "https://watchbill.test/incidents/1" in desk.to("alice")[0][1].text


def test_whoever_will_be_on_call_and_cannot_be_reached_is_named_and_their_team_mates_hear_it(
    stage: Stage, desk: Desk
) -> None:
    with stage.db.transaction() as tx:
        tx.execute(sa.delete(contact_method).where(contact_method.c.person_id == stage.people["bob"]))
    desk.wait(12 * HOUR)
    assert desk.to("bob") == []
    assert desk.to("alice")[0][1].subject == "[digest] payments: 1 person unreachable"
    assert "• bob@example.org" in desk.to("alice")[0][1].text


def test_a_worker_that_was_away_at_nine_writes_later_that_day_and_skips_days_that_are_over(
    stage: Stage, desk: Desk
) -> None:
    ticket(stage)
    stage.clock.move_to(datetime(2026, 3, 27, 15, 0, tzinfo=UTC))
    desk.work()
    assert len(desk.to("alice")) == 1
    stage.clock.move_to(datetime(2026, 3, 30, 1, 0, tzinfo=UTC))  # all weekend; Monday 03:00 in Berlin
    desk.work()
    assert len(desk.to("alice")) == 1
    desk.wait(12 * HOUR)
    assert [at.astimezone(BERLIN).strftime("%a %H:%M") for at, _ in desk.to("alice")] == ["Fri 16:00", "Mon 09:00"]


def test_a_team_that_moves_to_another_zone_has_no_second_digest_that_day(stage: Stage, desk: Desk) -> None:
    ticket(stage)
    desk.wait(3 * HOUR)
    with stage.db.transaction() as tx:
        spec = {"timeZone": "America/New_York"}
        tx.execute(sa.update(team).where(team.c.id == stage.teams["payments"]).values(spec=spec))
    desk.wait(timedelta(days=2))
    local = [at.astimezone(ZoneInfo("America/New_York")).strftime("%a %H:%M") for at, _ in desk.to("alice")]
    assert local == ["Fri 04:00", "Sat 09:00"]


def test_a_team_added_later_gets_its_row_and_a_removed_teams_row_ends(stage: Stage, desk: Desk) -> None:
    stage.team("search", "gail")
    desk.work()
    kinds = sa.select(due.due_row.c.subject).where(due.due_row.c.kind == "digest.write")
    with stage.db.transaction() as tx:
        assert set(tx.execute(kinds).scalars()) == {str(id) for id in stage.teams.values()}
        catalog.remove(tx, kind="Team", ids=[stage.teams["search"]], actor=ACTOR, why="test")
    desk.work()
    with stage.db.transaction() as tx:
        assert str(stage.teams["search"]) not in set(tx.execute(kinds).scalars())


def test_a_mail_that_is_not_taken_is_tried_again_and_the_others_are_not_sent_twice(stage: Stage, desk: Desk) -> None:
    ticket(stage)
    desk.broken["alice@example.org"] = SendOutcome(sent=False, error="451 try again")
    desk.wait(4 * HOUR)
    assert (len(desk.to("alice")), len(desk.to("bob"))) == (0, 1)
    desk.broken.clear()
    desk.wait(2 * HOUR)
    assert (len(desk.to("alice")), len(desk.to("bob"))) == (1, 1)
    assert names(stage.db) == ["digest.written"]


def test_a_mail_that_can_never_be_sent_is_written_down_once(stage: Stage, desk: Desk) -> None:
    ticket(stage)
    desk.broken["alice@example.org"] = SendOutcome(sent=False, permanent=True, error="550 no such mailbox")
    desk.wait(12 * HOUR)
    assert names(stage.db) == ["digest.written", "digest.failed"]


def test_whoever_left_before_the_mail_went_out_gets_none(stage: Stage, desk: Desk) -> None:
    ticket(stage)
    desk.broken["bob@example.org"] = SendOutcome(sent=False, error="451 try again")
    desk.wait(4 * HOUR)
    with stage.db.transaction() as tx:
        identity.change_person(tx, person_id=stage.people["bob"], active=False, actor=ACTOR)
    desk.broken.clear()
    desk.wait(4 * HOUR)
    assert desk.to("bob") == []


class Mailbox:
    """A real SMTP server that keeps what it is handed."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd names it
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # the controller connects to the port it is given, so it cannot be 0
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


def test_a_digest_goes_out_over_real_smtp_as_quiet_mail(stage: Stage, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    context = Context(http=HttpOut(), smtp_url=url, mail_from="Watchbill <watchbill@example.org>")
    desk = Desk(stage, Sender(context))
    desk.work()
    ticket(stage)
    desk.wait(12 * HOUR)
    assert sorted(to for [to], _ in box.mails) == ["alice@example.org", "bob@example.org", "eve@example.org"]
    _, mail = box.mails[0]
    assert mail["Subject"] == "[digest] payments: 1 ticket"
    assert mail["Importance"] is None
    assert mail["Auto-Submitted"] == "auto-generated"
    assert len({mail["Message-ID"] for _, mail in box.mails}) == 3
    assert "• Disk fills up" in mail.get_content()
