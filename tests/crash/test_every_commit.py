"""Crash at every write commit on the way of a page, just before it and just after: nothing is lost.

A commit is the only thing that outlives a process, so a crash between two commits is a crash just
before the later or just after the earlier one. The story is played once to count its commits, and
then once for each of them and each side of it; a "new process" then goes on with what the database
knows, while the leases of the old one run out on the virtual clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.features.paging import SendOutcome
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database, Tx

MINUTE = timedelta(minutes=1)
Side = Literal["before", "after"]


class ProcessDied(BaseException):
    """Not an `Exception`: a killed process runs no handler."""


class Mortal(Database):
    """A database whose process dies at one commit. Only commits that wrote something are counted."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.commits = 0
        self.die_at: tuple[int, Side] | None = None
        self.died = False

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with super().transaction() as tx:
            yield tx
            wrote = tx.execute(sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")).scalar_one()
            if wrote:
                self.commits += 1
                self._die("before")
        if wrote:
            self._die("after")

    def _die(self, side: Side) -> None:
        if self.die_at == (self.commits, side) and not self.died:
            self.died = True
            raise ProcessDied


class Story:
    """One alert: routed, a first try that fails, alice, nobody answers, bob, who acknowledges; asked
    again half an hour later, alice acknowledges; it recovers and the incident ends by itself.
    """

    def __init__(self, stage: Stage, db: Mortal) -> None:
        self.stage = stage
        self.db = db

    def tell(self) -> None:
        stage = self.stage
        event = alerts.Event(
            identity="high-errors", action="trigger", title="high errors", service="payments", delivery_id="d1"
        )
        stage.broken["alice@example.org"] = SendOutcome(sent=False, error="451 try later")
        self.insist(lambda: stage.post(event))
        self.insist(stage.work)
        stage.broken.clear()
        self.until(lambda: "alice" in stage.addresses())
        self.until(lambda: "bob" in stage.addresses())
        self.acknowledge("bob")
        told = len(stage.sent)
        self.wait(29 * MINUTE)
        assert len(stage.sent) == told, "nothing is sent after the acknowledgement"
        self.until(lambda: stage.addresses()[told:] == ["alice"])
        assert stage.page(self.number).epoch == 2
        self.acknowledge("alice")
        told = len(stage.sent)
        over = alerts.Event(identity="high-errors", action="resolve", title="x", delivery_id="d2")
        self.insist(lambda: stage.post(over))
        self.until(lambda: stage.incident(self.number).incident.state == "resolved")
        self.wait(60 * MINUTE)
        assert len(stage.sent) == told

    @property
    def number(self) -> int:
        """A crash before the commit that opens the incident leaves a gap in the numbers, and nothing else."""
        with self.db.transaction() as tx:
            (only,) = paging.incident_list(tx)
        return only.incident.number

    def insist(self, act: Callable[[], object]) -> None:
        """Do it, and do it again in a new process when this one dies; senders and people do that too."""
        while True:
            try:
                act()
            except ProcessDied:
                continue
            return

    def wait(self, by: timedelta) -> None:
        end = self.stage.clock.now() + by
        self.insist(lambda: self.stage.wait(end - self.stage.clock.now(), intake=False))

    def until(self, seen: Callable[[], bool], *, within: timedelta = 8 * MINUTE) -> None:
        """Let time pass until it is seen; the time limit is far below the wait for a third step."""
        end = self.stage.clock.now() + within
        while not seen():
            assert self.stage.clock.now() < end, "it did not happen in time"
            self.wait(timedelta(seconds=30))

    def acknowledge(self, login: str) -> None:
        before = len(self.stage.sent)
        self.insist(lambda: self.stage.acknowledge(login, self.number))
        assert self.stage.page(self.number).state == "acknowledged"
        assert len(self.stage.sent) == before


@pytest.fixture
def mortal(database_url: str, clock: VirtualClock) -> Iterator[Mortal]:
    database = Mortal(database_url, name="mortal", clock=clock)
    yield database
    database.dispose()


@pytest.fixture
def stage(mortal: Mortal, clock: VirtualClock) -> Stage:
    stage = Stage(mortal, clock)
    stage.team("payments", "alice", "bob")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    return stage


def forget_what_happened(stage: Stage) -> None:
    """The organisation stays; every alert, page and due row goes, and the numbers begin at 1 again."""
    tables = "notification, page, alert, delivery, incident_service, incident, due_row, ledger_entry"
    with stage.db.engine.begin() as connection:
        for table in tables.split(", "):
            connection.execute(sa.text(f"DELETE FROM {table}"))
        connection.execute(sa.text("ALTER SEQUENCE incident_number_seq RESTART"))
    stage.sent.clear()


def test_no_crash_between_event_and_acknowledgement_loses_or_repeats_a_page(stage: Stage, mortal: Mortal) -> None:
    """page.escalating, page.acknowledged, page.epoch, notification.queued, paged.never_dropped, time.clock"""
    mortal.commits = 0
    story = Story(stage, mortal)
    story.tell()
    boundaries = mortal.commits
    calm = Counter(stage.story(story.number))
    assert stage.addresses() == ["alice", "bob", "alice"]
    assert boundaries >= 18, "event, route, step, claim, settle, review, acknowledge, expire, resolve, settle …"

    played = 0
    for number in range(1, boundaries + 1):
        for side in ("before", "after"):
            forget_what_happened(stage)
            mortal.commits, mortal.die_at, mortal.died = 0, (number, side), False
            where = f"{side} commit {number} of {boundaries}"
            story.tell()
            assert mortal.died, where
            assert_nothing_lost(story, calm, where)
            played += 1
    assert played == 2 * boundaries


def assert_nothing_lost(story: Story, calm: Counter[str], where: str) -> None:
    keys = [message.idempotency_key for _, message in story.stage.sent]
    assert len(set(keys)) == 3, f"{where}: alice, bob, and alice again"
    assert len(keys) <= 4, f"{where}: one crash repeats one message at most"
    detail = story.stage.incident(story.number)
    assert [page.page.state for page in detail.pages] == ["ended"], where
    told = Counter(story.stage.story(story.number))
    states = Counter(n.state for page in detail.pages for n in page.notifications)
    # Cancelled: its mail went out, the outcome died with its process, and the answer came before another try.
    assert set(states) <= {"sent", "cancelled"}, where
    assert states["cancelled"] <= 1, where
    assert states["sent"] == told["notification.sent"], where
    assert set(told) <= set(calm), where
    for name in calm:
        most = calm[name] + (name == "page.acknowledged")  # a person who heard no answer asks again
        unknown = name in ("notification.delayed", "notification.sent")  # a try whose outcome died with its process
        least = calm[name] - unknown
        assert least <= told[name] <= most, f"{where}: {name}"
    with story.db.transaction() as tx:
        left = tx.execute(sa.text("SELECT kind FROM due_row")).scalars().all()
    assert left == [], where


def test_a_provider_that_took_the_message_while_the_pager_died_gets_the_same_key_again(
    stage: Stage, mortal: Mortal, clock: VirtualClock
) -> None:
    """notification.queued"""
    taken: list[str] = []

    def take_and_die(message: paging.Message) -> SendOutcome:
        taken.append(message.idempotency_key)
        if len(taken) == 1:
            raise ProcessDied
        return SendOutcome(sent=True)

    stage._send = paging.SendNotification(send=take_and_die, links=stage._send._links)
    with pytest.raises(ProcessDied):
        stage.fire()
    stage.wait(timedelta(seconds=59))
    assert len(taken) == 1, "the lease of the dead is respected"
    stage.wait(timedelta(seconds=2))
    assert len(taken) == 2
    assert taken[0] == taken[1]
