"""Paging under random faults on the virtual clock: ``python -m bench.soak [SECONDS] [SEED]``.

Teams, alerts, answers, failing providers, an absent pager and processes that die at commits are drawn from a
seed; the database is real. After each stretch these must hold:

- an accepted alert that pages has an incident, and each open incident of such an alert a page;
- a page that escalates has its next step waiting in a due row (nothing stalls);
- nothing of an epoch is sent after the acknowledgement of that epoch was committed;
- once providers work again, every page that nobody has answered reaches somebody.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.features.paging import Message, SendOutcome
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict, Forbidden
from watchbill.runtime import migrate
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.postgres import EmbeddedPostgres

TEAMS = 6
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class ProcessDied(BaseException):
    """Not an `Exception`: a killed process runs no handler."""


class Faulty(Database):
    """A database whose process dies now and then, just before or just after a commit."""

    dice: random.Random
    chance = 0.0
    deaths = 0

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with super().transaction() as tx:
            yield tx
            self._maybe_die()
        self._maybe_die()

    def _maybe_die(self) -> None:
        if self.chance and self.dice.random() < self.chance:
            self.deaths += 1
            raise ProcessDied


class Soak:
    """One organisation, lived through from one seed."""

    def __init__(self, url: str, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = VirtualClock(START)
        self.db = Faulty(url, name="soak", clock=self.clock)
        self.db.dice = self.dice
        self.faults = 0
        self.provider_faults = True
        self.stage = Stage(self.db, self.clock)
        self.stage._send._send = self._provider
        self.stage.team("platform", "dana", fallback=True)
        for number in range(TEAMS):
            self.stage.team(f"team{number}", *(f"p{number}{letter}" for letter in "abc"))
            around = (f"service{number - 1}",) if number else ()
            self.stage.service(f"service{number}", owner=f"team{number}", tier=number % 4 + 1, depends_on=around)

    def _provider(self, message: Message) -> SendOutcome:
        luck = self.dice.random() if self.provider_faults else 1.0
        if luck < 0.25:
            self.faults += 1
            return SendOutcome(sent=False, permanent=luck < 0.08, error="the provider is unwell")
        self.stage.sent.append((self.clock.now(), message))
        return SendOutcome(sent=True)

    def mortal(self, act: Callable[[], Any]) -> None:
        """Do it, in a process that may die; what it left behind is somebody else's from here on."""
        self.db.chance = 0.01
        try:
            act()
        except ProcessDied:
            self.faults += 1
        except (Conflict, Forbidden):
            pass  # somebody else was quicker, or this person may not: both are answers
        finally:
            self.db.chance = 0.0

    def hour(self) -> None:
        """A stretch of life: some events, some answers, time passing with or without a pager."""
        for _ in range(self.dice.randint(1, 4)):
            self.mortal(self._event)
            self.mortal(self.stage.work)
            if self.dice.random() < 0.6:
                self.mortal(self._answer)
            if self.dice.random() < 0.05:
                self.faults += 1  # the pager is away: time passes and nobody works
                self.clock.advance(timedelta(minutes=self.dice.randint(1, 30)))
            minutes = timedelta(minutes=self.dice.randint(1, 25))
            self.mortal(lambda minutes=minutes: self.stage.wait(minutes))

    def _event(self) -> None:
        service = self.dice.randrange(TEAMS + 1)  # one more than there are: nobody's
        event = alerts.Event(
            identity=f"a{self.dice.randrange(40)}",
            action="trigger" if self.dice.random() < 0.6 else "resolve",
            title="soak",
            service=f"service{service}",
            declares=self.dice.random() < 0.2,
        )
        self.stage.post(event)

    def _answer(self) -> None:
        with self.db.transaction() as tx:
            lines = paging.incident_list(tx, state="open")
        if not lines:
            return
        line = self.dice.choice(lines)
        people = [login for login, _ in self.stage.people.items()]
        self.dice.shuffle(people)
        act = self.stage.acknowledge if self.dice.random() < 0.7 else self.stage.resolve
        for login in people:
            try:
                act(login, line.incident.number)
                return
            except Forbidden:
                continue

    def lost(self) -> list[str]:
        """What broke a promise, in words."""
        found: list[str] = []
        with self.db.transaction() as tx:
            for what, query in _PROMISES.items():
                broken = tx.execute(sa.text(query)).scalar_one()
                if broken:
                    found.append(f"{what}: {broken}")
        return found

    def calm(self) -> list[str]:
        """Providers work again, nobody answers for two hours: every open page must have reached somebody."""
        self.provider_faults = False
        self.clock.advance(timedelta(minutes=5))  # leases of dead processes run out
        self.stage.wait(timedelta(hours=2))
        found = self.lost()
        with self.db.transaction() as tx:
            silent = tx.execute(sa.text(_UNREACHED)).scalar_one()
        self.provider_faults = True
        return [*found, *([f"pages that reached nobody: {silent}"] if silent else [])]


_PROMISES = {
    "alerts that page without an incident": (
        "SELECT count(*) FROM alert a WHERE a.state = 'firing' AND a.urgency = 'page' AND a.environment = 'production'"
        " AND a.incident_id IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM due_row d WHERE d.kind = 'alert.route' AND d.subject = a.id::text)"
    ),
    "open incidents with a firing alert and no page": (
        "SELECT count(*) FROM incident i WHERE i.state = 'open' AND EXISTS"
        " (SELECT 1 FROM alert a WHERE a.incident_id = i.id AND a.state = 'firing')"
        " AND NOT EXISTS (SELECT 1 FROM page p WHERE p.incident_id = i.id AND p.state <> 'ended')"
    ),
    "escalating pages without a next step": (
        "SELECT count(*) FROM page p WHERE p.state = 'escalating' AND NOT EXISTS"
        " (SELECT 1 FROM due_row d WHERE d.kind = 'page.step' AND d.subject = p.id::text)"
    ),
    "notifications sent after their epoch was acknowledged": (
        "SELECT count(*) FROM ledger_entry sent JOIN ledger_entry acknowledged"
        " ON acknowledged.subject_id = sent.subject_id AND acknowledged.name = 'page.acknowledged'"
        " AND acknowledged.data->>'epoch' = sent.data->>'epoch' AND sent.at > acknowledged.at"
        " WHERE sent.name = 'notification.sent'"
    ),
}
_UNREACHED = (
    "SELECT count(*) FROM page p WHERE p.state = 'escalating' AND NOT EXISTS"
    " (SELECT 1 FROM notification n WHERE n.page_id = p.id AND n.epoch = p.epoch AND n.state IN ('sent', 'delivered'))"
)


def soak(url: str, *, seconds: float, seed: int) -> int:
    """Live until the time is over; prints the closing line and returns how many promises were broken."""
    life = Soak(url, seed)
    until = time.monotonic() + seconds
    broken: list[str] = []
    hours = 0
    while not broken and time.monotonic() < until:
        life.hour()
        hours += 1
        if hours % 10 == 0:
            broken = life.calm()
    broken = broken or life.calm()
    days = (life.clock.now() - START) / timedelta(days=1) * TEAMS
    for line in broken:
        print(f"LOST {line}")
    print(
        f"soak: {days:,.0f} team-days simulated, {life.faults + life.db.deaths} faults injected,"
        f" {len(broken)} pages lost, seed {seed}"
    )
    life.db.dispose()
    return len(broken)


def main(arguments: list[str]) -> int:
    """``[SECONDS] [SEED]``; a fresh seed each time unless one is given."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(1_000_000)
    print(f"soak: {seconds:g} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wbsoak-") as folder:
        os.chmod(folder, 0o711)
        postgres = EmbeddedPostgres(Path(folder), settings={"fsync": "off", "synchronous_commit": "off"})
        url = postgres.start()
        try:
            migrate.upgrade(url)
            return 1 if soak(url, seconds=seconds, seed=seed) else 0
        finally:
            postgres.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
