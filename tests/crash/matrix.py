"""The crash matrix: each way of a page is played once for every commit at which its process can die.

A commit is the only thing that outlives a process, so a crash between two commits is a crash just before the later or
just after the earlier one. Both are the same crash unless somebody outside notices the difference: a provider that was
called between the two, or a person or sender who waits for the answer. So each commit is played with a crash before it,
and with one after it wherever the outside can tell; nothing is sampled.

A "new process" then goes on with what the database knows, while the leases of the old one run out on the virtual clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.features.paging import Message, SendOutcome
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict
from watchbill.runtime.db import Database, Tx

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
Side = Literal["before", "after"]


class ProcessDied(BaseException):
    """Not an `Exception`: a killed process runs no handler."""


class Commit(msgspec.Struct, frozen=True):
    """What the outside knows at one commit: ``calls`` made to providers so far, and whether somebody waits for it."""

    calls: int
    awaited: bool


class Mortal(Database):
    """A database whose process dies at one commit. Only commits that wrote something are counted."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.trail: list[Commit] = []
        self.calls = 0
        self.parted = 0
        self.awaited = False
        self.die_at: tuple[int, Side] | None = None
        self.died = False
        sa.event.listen(self.engine, "before_cursor_execute", _note_writing)

    def begin(self, die_at: tuple[int, Side] | None = None) -> None:
        """Count from the start, and die there."""
        self.trail, self.calls, self.parted, self.die_at, self.died = [], 0, 0, die_at, False

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        wrote = False
        with super().transaction() as tx:
            tx.connection.info["may_have_written"] = False
            yield tx
            tx.write_gathered()
            if tx.connection.info["may_have_written"]:
                wrote = tx.execute(sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")).scalar_one()
            if wrote:
                self.trail.append(Commit(self.calls, self.awaited))
                self._die("before")
        if wrote:
            self._die("after")

    def _die(self, side: Side) -> None:
        if self.die_at == (len(self.trail), side) and not self.died:
            self.died = True
            raise ProcessDied

    def boundaries(self) -> list[tuple[int, Side]]:
        """Every crash that somebody could tell from another, from the trail of a calm play after its parting."""
        found: list[tuple[int, Side]] = []
        calls = [commit.calls for commit in self.trail[1:]] + [self.calls]
        for number, commit in enumerate(self.trail, start=1):
            if number <= self.parted:
                continue
            found.append((number, "before"))
            if commit.awaited or calls[number - 1] != commit.calls:
                found.append((number, "after"))
        return found


def _note_writing(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
    """A plain SELECT writes nothing and locks no row; after anything else PostgreSQL is asked."""
    if not statement.lstrip().startswith("SELECT") or " FOR " in statement:
        connection.info["may_have_written"] = True


def count_calls(stage: Stage, db: Mortal) -> None:
    """Let the database know when a provider is called: a crash after that is another crash than one before."""
    deliver = stage._deliver

    def counted(message: Message) -> SendOutcome:
        db.calls += 1
        return deliver(message)

    stage._send._send = counted


class Told(msgspec.Struct, frozen=True, order=True):
    """Somebody was sent something: in which epoch, of which step, at which address."""

    epoch: int
    step: int
    address: str


class Play:
    """What a story is told with: senders and people do everything again when the process dies under them."""

    def __init__(self, stage: Stage, db: Mortal) -> None:
        self.stage = stage
        self.db = db
        count_calls(stage, db)

    # What happens

    def fire(self, identity: str = "a", service: str = "payments") -> None:
        """Post a firing event until it is accepted, and let the pager take it."""
        title = f"{identity} on {service}"
        event = alerts.Event(
            identity=identity, action="trigger", title=title, service=service, delivery_id=f"fire-{identity}"
        )
        self.outside(lambda: self.stage.post(event))
        self.work()

    def recover(self, identity: str = "a") -> None:
        event = alerts.Event(identity=identity, action="resolve", title="over", delivery_id=f"over-{identity}")
        self.outside(lambda: self.stage.post(event))

    def outside(self, act: Callable[[], object]) -> None:
        """Somebody outside asks for it, and asks again when no answer comes; "that is done already" is an answer."""
        self.db.awaited, again = True, False
        try:
            while True:
                try:
                    act()
                except ProcessDied:
                    again = True
                    continue
                except Conflict:
                    if not again:
                        raise
                return
        finally:
            self.db.awaited = False

    def inside(self, act: Callable[[], object]) -> None:
        """The pager does it; when it dies, another one goes on."""
        while True:
            try:
                act()
            except ProcessDied:
                continue
            return

    def parts(self) -> None:
        """Up to here the way is the first story's, whose every commit `test_every_commit` plays."""
        self.db.parted = len(self.db.trail)

    def work(self) -> None:
        self.inside(self.stage.work)

    def act(self, login: str, use_case: Callable[..., object], **arguments: Any) -> None:
        """A person does something through a use-case of paging."""

        def once() -> None:
            with self.stage.acting(login) as (tx, caller):
                use_case(tx, caller=caller, **arguments)

        self.outside(once)

    def acknowledge(self, login: str, number: int | None = None) -> None:
        self.act(login, paging.acknowledge_incident, number=number or self.number)

    def wait(self, by: timedelta) -> None:
        end = self.stage.clock.now() + by
        self.inside(lambda: self.stage.wait(end - self.stage.clock.now(), intake=False))

    def until(self, seen: Callable[[], bool], *, within: timedelta = 8 * MINUTE) -> None:
        """Let time pass until it is seen; the limit is below the wait for the next step but one."""
        end = self.stage.clock.now() + within
        while not seen():
            assert self.stage.clock.now() < end, f"it did not happen in time: {self.stage.addresses()}"
            self.wait(timedelta(seconds=30))

    def reached(self, *addresses: str) -> None:
        """Let time pass until each of these has been sent something."""
        self.until(lambda: set(addresses) <= set(self.stage.addresses()))

    def end(self, *identities: str) -> None:
        """Everything recovers; hours later nothing more has been sent."""
        for identity in identities or ("a",):
            self.recover(identity)
        self.until(lambda: not self._open_incidents())
        sent = len(self.stage.sent)
        self.wait(timedelta(hours=3))
        assert len(self.stage.sent) == sent, "nothing is sent after the end"

    # What can be seen

    @property
    def number(self) -> int:
        """The first incident. A crash before the commit that opens it leaves a gap in the numbers, and nothing else."""
        return self.numbers[0]

    @property
    def numbers(self) -> list[int]:
        with self.db.transaction() as tx:
            return sorted(line.incident.number for line in paging.incident_list(tx))

    def _open_incidents(self) -> list[int]:
        with self.db.transaction() as tx:
            return [line.incident.number for line in paging.incident_list(tx, state="open")]

    def told(self) -> set[Told]:
        """Everybody who was sent something, each try of one message once."""
        keys = {message.idempotency_key for _, message in self.stage.sent}
        with self.db.transaction() as tx:
            rows = tx.execute(sa.text("SELECT id::text, bundle_id::text, epoch, step, address FROM notification")).all()
        found = {Told(row.epoch, row.step, row.address) for row in rows if {row.id, row.bundle_id} & _ids(keys)}
        assert found or not keys, f"no notification belongs to the keys {keys}"
        return found

    def states(self) -> Counter[str]:
        """How the pages stand, and what is left to do."""
        with self.db.transaction() as tx:
            pages = tx.execute(sa.text("SELECT state || ' ' || coalesce(ended_because, '') FROM page")).scalars()
            left = tx.execute(sa.text("SELECT 'due: ' || kind FROM due_row")).scalars().all()
            waiting = tx.execute(sa.text("SELECT state FROM notification WHERE state = 'queued'")).scalars().all()
            return Counter([*pages, *left, *waiting])


def _ids(keys: set[str]) -> set[str]:
    """The ids of notifications that lead the messages of these keys."""
    return {part for key in keys for part in (key, key.rpartition(":")[2], key.partition(":")[0])}


Story = Callable[[Play], None]


class Verdict(msgspec.Struct, frozen=True):
    """What became of one way: its commits, the crashes played, and the losses and repetitions in words."""

    way: str
    commits: int
    crashes: int
    lost: list[str]

    def line(self) -> str:
        """For a report."""
        return f"{self.way}: {self.commits} of {self.commits} commit boundaries, {len(self.lost)} lost"


def summary(verdicts: Iterable[Verdict]) -> str:
    """One line for all ways."""
    ways = list(verdicts)
    commits, crashes = sum(way.commits for way in ways), sum(way.crashes for way in ways)
    lost = sum(len(way.lost) for way in ways)
    return f"crash matrix: {commits} of {commits} commit boundaries of {len(ways)} ways, {crashes} crashes, {lost} lost"


def enumerate_crashes(way: str, story: Story, stage: Stage, db: Mortal, *, every: bool = False) -> Verdict:
    """Play the story in calm, then once for each crash.

    ``every``: also before the way parts from the first story, and those that nobody could tell apart.
    """
    calm = _played(story, stage, db, None)
    wanted = calm.told()
    states = calm.states()
    assert wanted, f"{way}: somebody is told in calm"
    commits = len(db.trail)
    crashes = db.boundaries()
    if every:
        crashes = [(number, side) for number in range(1, commits + 1) for side in ("before", "after")]
    lost: list[str] = []
    for number, side in crashes:
        where = f"{way}, {side} commit {number} of {commits}"
        try:
            play = _played(story, stage, db, (number, side))
        except AssertionError as error:
            lost.append(f"{where}: {error}")
            continue
        assert db.died, where
        told = play.told()
        lost += [f"{where}: not told: {each}" for each in sorted(wanted - told)]
        lost += [f"{where}: told and should not be: {each}" for each in sorted(told - wanted)]
        if play.states() != states:
            lost.append(f"{where}: ended as {dict(play.states())}, in calm as {dict(states)}")
        repeated = len(stage.sent) - len({message.idempotency_key for _, message in stage.sent})
        if repeated > 1:
            lost.append(f"{where}: one crash repeated {repeated} messages")
    return Verdict(way, len({number for number, _ in crashes}), len(crashes), lost)


def _played(story: Story, stage: Stage, db: Mortal, die_at: tuple[int, Side] | None) -> Play:
    forget_what_happened(stage)
    stage.broken.clear()
    stage.clock.move_to(START)
    db.begin(die_at)
    play = Play(stage, db)
    story(play)
    return play


def forget_what_happened(stage: Stage) -> None:
    """The organisation stays; every alert, page and due row goes, and the numbers begin at 1 again."""
    tables = "notification, page, alert, delivery, incident_service, incident, due_row, ledger_entry, round_robin"
    statements = [f"DELETE FROM {table}" for table in tables.split(", ")]
    statements.append("ALTER SEQUENCE incident_number_seq RESTART")
    statements.append("UPDATE channel_throttle SET next_at = '2000-01-01'")
    with stage.db.engine.begin() as connection:
        connection.exec_driver_sql("; ".join(statements))
    stage.sent.clear()


def organise(url: str, clock: VirtualClock) -> tuple[Stage, Mortal]:
    """The organisation in which every way can be played."""
    from tests.crash.ways import prepare

    db = Mortal(url, name="mortal", clock=clock)
    stage = Stage(db, clock)
    prepare(stage)
    return stage, db
