"""One simulated life: an organisation, its days on the virtual clock, everything that goes wrong, and the verdict."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa
from structlog.testing import capture_logs

from bench import _sim_check as check
from bench._sim_world import FaultyDatabase, Organisation, ProcessDied, empty, seeded_ids
from tests.journeys.stage import SETTLE_FOR, Stage, StageLinks
from watchbill.features import alerts, paging
from watchbill.features.identity import Caller
from watchbill.features.paging import SendNotification, SendOutcome
from watchbill.features.paging.notify import Item, Job
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
INCIDENTS_A_DAY = 0.2
"""Of one team, in the mean."""
MOST_TURNS = 4000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a life amounted to; ``lost`` says which promises were broken, ``digest`` is of all that was sent."""

    seed: int
    days: float
    teams: int
    pages: int
    sent: int
    repeated: int
    faults: dict[str, int]
    lost: list[str]
    digest: str

    @property
    def team_days(self) -> float:
        return self.days * self.teams


class WatchedSend(SendNotification):
    """The pager's own sending, with the life as its provider, and the ledger asked about every claim."""

    def __init__(self, life: Life) -> None:
        super().__init__(send=lambda _: SendOutcome(sent=True), links=StageLinks())
        self._life = life

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        job = super().prepare(tx, row)
        for item in job.items if job else ():
            sent = item.notification
            why = check.may_send(tx, page_id=sent.page_id, epoch=sent.epoch, person_id=sent.person_id)
            if why:
                self._life.lost.append(f"claimed for sending: {why}")
        return job

    def perform(self, job: Job) -> SendOutcome:
        return self._life.provide(job)


class Life:
    """Lived once; everything is drawn from the seed."""

    def __init__(self, url: str, seed: int, *, days: float) -> None:
        self.seed = seed
        self.days = days
        self.dice = random.Random(seed)
        self.clock = VirtualClock(START)
        self.db = FaultyDatabase(url, clock=self.clock, dice=self.dice)
        self.faults = self.db.faults
        self._look = psycopg.connect(url, autocommit=True)
        self.stolen = check.Stolen()
        self.lost: list[str] = []
        self.taken: Counter[str] = Counter()
        self.reached: set[UUID] = set()
        self._said = hashlib.sha256()
        self._plans: list[tuple[datetime, int, Callable[[], None]]] = []
        self._planned = 0
        self._ignored: dict[UUID, bool] = {}
        self._living = True
        self._nested = False
        self._routing = paging.routing_duties(settle_for=SETTLE_FOR)
        self._pages = paging.page_duties()
        self._send = WatchedSend(self)
        self._kinds = {
            "routing": {duty.kind for duty in self._routing},
            "pages": {duty.kind for duty in self._pages},
            "send": {self._send.kind},
        }

    def live(self) -> Report:
        """Live all days, then let everything work again for a while, and judge."""
        empty(self.db)
        with seeded_ids(self.dice, self.clock), capture_logs() as logs:
            self.stage = Stage(self.db, self.clock)
            self.world = Organisation(self.stage, self.dice)
            for statement in check.WATCH:
                self._execute(statement)
            self.stage.beat()
            self._draw_days()
            self.db.chance = 0.004
            self.db.between = self._somebody_else
            self._until(START + self.days * DAY)
            self._calm_down()
            self._judge(logs)
        with self.db.calm() as tx:
            pages = tx.execute(sa.text("SELECT count(*) FROM page")).scalar_one()
        self._look.close()
        self.db.dispose()
        return Report(
            seed=self.seed,
            days=(self.clock.now() - START) / DAY,
            teams=len(self.world.teams) + 1,
            pages=pages,
            sent=sum(self.taken.values()),
            repeated=sum(self.taken.values()) - len(self.taken),
            faults=dict(self.faults),
            lost=self.lost[:20],
            digest=self._said.hexdigest()[:16],
        )

    # Time

    def _plan(self, at: datetime, act: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._plans, (at, self._planned, act))

    def _later(self, by: timedelta, act: Callable[[], None]) -> None:
        self._plan(self.clock.now() + by, act)

    def _until(self, end: datetime) -> None:
        """Let time pass, stopping where somebody has planned something or a due row's time has come."""
        while True:
            waiting = {} if self.db.away else self._due()
            next_due = min(waiting.values(), default=end)
            next_plan = self._plans[0][0] if self._plans else end
            at = min(next_due, next_plan)
            if at >= end:
                break
            self.clock.move_to(max(self.clock.now(), at))
            if next_plan <= next_due:
                heapq.heappop(self._plans)[2]()
            else:
                self._work()
        self.clock.move_to(max(end, self.clock.now()))

    def _due(self) -> dict[str, datetime]:
        return {kind: at.astimezone(UTC) for kind, at in self._look.execute(_DUE)}

    def _work(self) -> None:
        """Two pagers take what is due, in any order, until nothing is."""
        for _ in range(MOST_TURNS):
            if self.db.away:
                return
            waiting = {kind for kind, at in self._due().items() if at <= self.clock.now()}
            groups = sorted(name for name, kinds in self._kinds.items() if kinds & waiting)
            if not groups:
                return
            self._process(self.dice.choice(groups))
        self.lost.append(f"the work does not end: {sorted(waiting)}")

    def _process(self, group: str) -> None:
        """A pager's turn; it may die, and it may find the database away."""
        limit = self.dice.randint(1, 8)
        try:
            if group == "send":
                due.work_outside(self.db, self._send, limit=limit)
            else:
                due.work_inside(self.db, self._routing if group == "routing" else self._pages, limit=limit)
        except (ProcessDied, Unavailable):
            return

    def _somebody_else(self) -> None:
        """Before a transaction another pager or a person may be quicker."""
        if self._nested or self.dice.random() > 0.04:
            return
        self._nested = True
        try:
            if self.dice.random() < 0.6:
                self.faults["another pager in between"] += 1
                self._process(self.dice.choice(("routing", "pages", "send")))
            else:
                self.faults["a person in between"] += 1
                self._anybody()
        finally:
            self._nested = False

    # What goes wrong

    def _draw_days(self) -> None:
        dice = self.dice
        at = START
        rate = INCIDENTS_A_DAY * len(self.world.teams)
        while at < START + self.days * DAY:
            at += dice.expovariate(rate) * DAY
            self._plan(at, self._trouble)
        for _ in range(int(self.days * 1.5)):
            when = START + dice.random() * self.days * DAY
            self._plan(when, self._outage if dice.random() < 0.7 else self._jump)

    def _outage(self) -> None:
        """The database is away; everything else goes on."""
        self.faults["outage"] += 1
        start = self.clock.now()
        self.db.away = True

        def back() -> None:
            self.db.away = False
            self.stolen.add(start, self.clock.now())

        self._later(timedelta(seconds=self.dice.choice((5, 40, 300, 1200))), back)

    def _jump(self) -> None:
        """No pager runs for a while, or the clock is set forward."""
        self.faults["clock jump"] += 1
        self._lose(timedelta(minutes=self.dice.randint(1, 45)))

    def _lose(self, by: timedelta) -> None:
        start = self.clock.now()
        self.clock.advance(by)
        self.stolen.add(start, self.clock.now())

    def _trouble(self) -> None:
        """Something breaks; perhaps something else with it. It recovers by itself after a while."""
        dice = self.dice
        service = dice.choice((*sorted(self.world.owner), "nobody-knows-it"))
        for number in range(dice.choice((1, 1, 1, 2, 4))):
            name = f"alert-{self._planned}-{number}"
            lasts = timedelta(minutes=dice.choice((3, 20, 60, 60, 150)))
            event = alerts.Event(
                identity=name,
                action="trigger",
                title=name,
                service=service,
                declares=dice.random() < 0.15,
                urgency="ticket" if dice.random() < 0.05 else "page",
            )
            gap = timedelta(seconds=number * dice.choice((0, 5, 40)))
            self._later(gap, lambda event=event: self._post(event))
            over = msgspec.structs.replace(event, action="resolve")
            self._later(lasts + gap, lambda over=over: self._post(over))
            if dice.random() < 0.15:
                self._later(lasts + gap + timedelta(minutes=3), lambda event=event: self._post(event))
                self._later(lasts * 2 + gap, lambda over=over: self._post(over))

    def _post(self, event: alerts.Event) -> None:
        """A sender sends until it is told that the event is accepted."""
        try:
            self.stage.post(event)
        except (ProcessDied, Unavailable):
            if self._living:
                self._later(timedelta(seconds=20), lambda: self._post(event))

    def provide(self, job: Job) -> SendOutcome:  # noqa: PLR0911  one return for each way a provider can be
        """A provider's answer, good or bad; what it took is noted, whatever it says."""
        if not self._living:
            return self._take(job)
        luck = self.dice.random()
        if luck < 0.80:
            return self._take(job)
        if luck < 0.85:
            self.faults["provider slow"] += 1
            self._lose(timedelta(seconds=self.dice.randint(2, 25)))
            return self._take(job)
        if luck < 0.90:
            self.faults["provider 500"] += 1
            return SendOutcome(sent=False, error="500 internal error")
        if luck < 0.93:
            self.faults["provider 429"] += 1
            return SendOutcome(sent=False, error="429", retry_after_seconds=self.dice.choice((1.0, 30.0, 90.0)))
        if luck < 0.96:
            self.faults["provider timeout"] += 1
            self._lose(timedelta(seconds=30))
            if self.dice.random() < 0.5:
                self._take(job)
            return SendOutcome(sent=False, error="timed out")
        if luck < 0.975:
            self.faults["provider hangs past the lease"] += 1
            self._lose(timedelta(seconds=self.dice.randint(61, 95)))
            if not self._nested:
                self._nested = True
                try:
                    self._process("send")
                finally:
                    self._nested = False
            return self._take(job)
        self.faults["provider refuses for good"] += 1
        return SendOutcome(sent=False, permanent=True, error="550 no such number")

    def _take(self, job: Job) -> SendOutcome:
        self.taken[job.message.idempotency_key] += 1
        self._said.update(f"{self.clock.now()} {job.message.channel} {job.message.address} {len(job.items)}\n".encode())
        self.reached.update(item.notification.id for item in job.items)
        if self._living:
            for item in job.items:
                self._react(item)
            if self.dice.random() < 0.15:
                self._call_back(job.items[0].notification.id)
        return SendOutcome(sent=True, provider_ref="ref")

    def _call_back(self, notification_id: UUID) -> None:
        delivered = self.dice.random() < 0.8

        def told() -> None:
            try:
                with self.db.transaction() as tx:
                    paging.note_delivery(
                        tx, notification_id=notification_id, delivered=delivered, detail="by the provider"
                    )
            except (ProcessDied, Unavailable):
                return  # providers try again or do not; nothing hangs on it

        self._later(timedelta(seconds=self.dice.randint(1, 90)), told)

    # What people do

    def _react(self, item: Item) -> None:
        """Some incidents nobody looks at for hours; of the others somebody does something sooner or later."""
        person, number = item.notification.person_id, item.incident.number
        if person is None:
            return
        if item.incident.id not in self._ignored:
            self._ignored[item.incident.id] = self.dice.random() < 0.25
            hours = timedelta(minutes=self.dice.randint(90, 180))
            self._later(
                hours,
                lambda: self._person(person, lambda tx, me: paging.resolve_incident(tx, number=number, caller=me)),
            )
        if self._ignored[item.incident.id] or self.dice.random() > 0.5:
            return
        after = timedelta(seconds=self.dice.choice((5, 30, 90, 240, 600)))
        self._later(after, lambda: self._answer(person, item.notification.id, number))

    def _answer(self, person: UUID, notification_id: UUID, number: int) -> None:
        dice = self.dice
        if dice.random() < 0.3:
            action = "resolve" if dice.random() < 0.1 else "acknowledge"
            self._person(
                person,
                lambda tx, _: paging.answer_notification(tx, notification_id=notification_id, action=action, via="key"),
            )
        else:
            self._person(person, lambda tx, me: paging.acknowledge_incident(tx, number=number, caller=me))
        if dice.random() < 0.6:
            wait = timedelta(seconds=dice.choice((10, 60, 400, 1500)))
            self._later(wait, lambda: self._go_on(person, number))

    def _go_on(self, person: UUID, number: int) -> None:
        """After an answer: one of everything else that can be done with a page."""
        dice = self.dice
        team = dice.choice(self.world.teams)
        login = dice.choice(sorted(self.stage.people)) + "@example.org"
        other = number + dice.choice((-2, -1, 1, 2))
        ways: Sequence[tuple[str, dict[str, Any]]] = (
            ("resolve_incident", {}),
            ("resolve_incident", {}),
            ("snooze", {"until": self.clock.now() + timedelta(minutes=dice.randint(1, 300))}),
            ("hand_over", {"to": login}),
            ("hand_over", {"to": login}),
            ("decline_hand_over", {}),
            ("reassign", {"to_team": team}),
            ("reassign", {"to_person": login}),
            ("cancel_page", {"why": "not for us"}),
            ("page_team", {"team": team}),
            ("declare", {}),
            ("reopen_incident", {}),
            ("merge_incident", {"into": max(1, other)}),
            ("unmerge_incident", {}),
        )
        name, more = dice.choice(ways)
        use_case = getattr(paging, name)
        self._person(person, lambda tx, me: use_case(tx, number=number, caller=me, **more))
        if name in ("merge_incident", "hand_over", "reassign") and dice.random() < 0.5:
            again = dice.choice([self.stage.people[each] for each in sorted(self.stage.people)])
            self._later(timedelta(seconds=dice.randint(5, 280)), lambda: self._go_on(again, number))

    def _anybody(self) -> None:
        """Somebody answers an open incident at this very moment."""
        with self.db.calm() as tx:
            found = tx.execute(_NOTIFIED).all()
        if found:
            row = self.dice.choice(found)
            act = paging.acknowledge_incident if self.dice.random() < 0.8 else paging.resolve_incident
            if not self._ignored.get(row.incident_id, False):
                self._person(row.person_id, lambda tx, me: act(tx, number=row.number, caller=me))

    def _person(self, person: UUID, act: Callable[[Tx, Caller], object], tries: int = 4) -> None:
        """A person asks the server; without an answer they ask again a little later. A refusal is an answer."""
        try:
            with self.db.transaction() as tx:
                act(tx, paging.person_caller(tx, person_id=person))
        except (Conflict, Forbidden, Invalid, NotFound):
            return
        except (ProcessDied, Unavailable):
            if tries and self._living:
                self._later(timedelta(seconds=30), lambda: self._person(person, act, tries - 1))

    # The end

    def _calm_down(self) -> None:
        """The database is back, providers work, nobody does anything any more."""
        self.db.chance, self.db.between, self._living = 0.0, None, False
        if self.db.away:
            self.db.away = False
            self.stolen.add(self.clock.now() - timedelta(hours=1), self.clock.now())
        self._plans.clear()
        self._until(self.clock.now() + timedelta(minutes=12))

    def _judge(self, logs: Sequence[Any]) -> None:
        with self.db.calm() as tx:
            self.lost += check.check_ledger(tx, self.stolen)
            self.lost += check.check_states(tx)
            self.lost += check.check_stalled(tx)
            self.lost += check.check_tried(tx, self.stolen)
            self.lost += check.check_sent(tx, self.reached, self.world.shadows)
            self.lost += self._unpaged(tx)
        for line in logs:
            if line["log_level"] in ("error", "critical") or "exc_info" in line:
                self.lost.append(f"an error nobody expected: {line['event']} {line.get('exc_info', '')!r}")

    def _unpaged(self, tx: Tx) -> list[str]:
        """Each accepted alert that fired for long enough belongs to an incident in which its owner was paged."""
        found = []
        for row in tx.execute(_ACCEPTED):
            end = row.resolved_at or tx.now
            if end - row.started_at - self.stolen.within(row.started_at, end) < check.SLACK:
                continue
            owner = self.stage.teams[self.world.owner.get(row.service_name, "platform")]
            if row.incident_id is None or owner not in (row.paged or []):
                found.append(f"alert {row.identity} was accepted, and its owner was never paged")
        return found

    def _execute(self, statement: str) -> None:
        with self.db.engine.begin() as connection:
            connection.execute(sa.text(statement))


_DUE = (
    "SELECT kind, min(greatest(due_at, leased_until)) AS at FROM due_row"
    " WHERE kind LIKE 'alert.%' OR kind LIKE 'page.%' OR kind LIKE 'incident.%' OR kind LIKE 'notification.%'"
    " GROUP BY kind"
)
_NOTIFIED = sa.text(
    "SELECT DISTINCT n.person_id, i.number, i.id AS incident_id FROM page p"
    " JOIN incident i ON i.id = p.incident_id AND i.state = 'open'"
    " JOIN notification n ON n.page_id = p.id AND n.person_id IS NOT NULL"
    " WHERE p.state <> 'ended' ORDER BY i.number, n.person_id LIMIT 20"
)
_ACCEPTED = sa.text(
    "SELECT a.identity, a.service_name, a.started_at, a.resolved_at, a.incident_id,"
    " (SELECT array_agg(p.team_id) FROM page p JOIN ledger_entry l ON l.subject_id = p.id::text"
    "  WHERE l.name = 'page.opened' AND (l.incident_id = a.incident_id OR p.incident_id = a.incident_id"
    "   OR l.incident_id IN (SELECT m.id FROM incident m WHERE m.merged_into = a.incident_id)"
    "   OR p.incident_id = (SELECT m.merged_into FROM incident m WHERE m.id = a.incident_id))) AS paged"
    " FROM alert a WHERE a.urgency = 'page' AND a.environment = 'production'"
)


def forget(url: str) -> None:
    """Take away what the simulation put into the schema."""
    db = FaultyDatabase(url, clock=VirtualClock(START), dice=random.Random(0))
    with db.engine.begin() as connection:
        for statement in check.UNWATCH:
            connection.execute(sa.text(statement))
    db.dispose()
