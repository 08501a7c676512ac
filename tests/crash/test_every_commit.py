"""Crash at every write commit on the way of a page, just before it and just after: nothing is lost.

The first story, from intake to the end. See `tests.crash.matrix` for how crashes are enumerated, and
`tests.crash.ways` for the other ways of a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.crash.matrix import Mortal, ProcessDied, Verdict, count_calls, forget_what_happened
from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.features.paging import SendOutcome
from watchbill.kernel.clock import VirtualClock

MINUTE = timedelta(minutes=1)


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
        self.ask(lambda: stage.post(event))
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
        self.ask(lambda: stage.post(over))
        self.until(lambda: stage.incident(self.number).incident.state == "resolved")
        self.wait(60 * MINUTE)
        assert len(stage.sent) == told

    @property
    def number(self) -> int:
        """A crash before the commit that opens the incident leaves a gap in the numbers, and nothing else."""
        with self.db.transaction() as tx:
            (only,) = paging.incident_list(tx)
        return only.incident.number

    def ask(self, act: Callable[[], object]) -> None:
        """A sender or a person does it, and again when no answer comes."""
        self.db.awaited = True
        self.insist(act)
        self.db.awaited = False

    def insist(self, act: Callable[[], object]) -> None:
        """Do it, and do it again in a new process when this one dies."""
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
        self.ask(lambda: self.stage.acknowledge(login, self.number))
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
    count_calls(stage, mortal)
    stage.team("payments", "alice", "bob")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments")
    return stage


def test_no_crash_between_event_and_acknowledgement_loses_or_repeats_a_page(
    stage: Stage, mortal: Mortal, record_property: Callable[[str, object], None]
) -> None:
    """page.escalating, page.acknowledged, page.epoch, notification.queued, paged.never_dropped, time.clock"""
    mortal.begin()
    story = Story(stage, mortal)
    story.tell()
    commits, crashes = len(mortal.trail), mortal.boundaries()
    calm = Counter(stage.story(story.number))
    assert stage.addresses() == ["alice", "bob", "alice"]
    assert commits >= 18, "event, route, step, claim, settle, review, acknowledge, expire, resolve, settle …"

    for number, side in crashes:
        forget_what_happened(stage)
        mortal.begin((number, side))
        where = f"{side} commit {number} of {commits}"
        story.tell()
        assert mortal.died, where
        assert_nothing_lost(story, calm, where)
    assert {number for number, _ in crashes} == set(range(1, commits + 1))
    record_property("proof", Verdict("from intake to the end", commits, len(crashes), []).line())


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
