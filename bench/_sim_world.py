"""What a simulated life is lived in: a database that fails, clocks and ids from the seed, a random organisation."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from tests.journeys.stage import ACTOR, Stage
from watchbill.features import catalog, identity, oncall, paging
from watchbill.features.identity import PersonalRule, QuietHours, RuleStep
from watchbill.kernel import ids
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Unavailable
from watchbill.runtime.db import Database, Tx

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
EMPTY = """
DO $$
DECLARE found record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR found IN SELECT format('%I', relname) AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
      AND relname <> 'alembic_version'
  LOOP
    EXECUTE 'DELETE FROM ' || found.name;
  END LOOP;
  PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


class ProcessDied(BaseException):
    """Not an `Exception`: a killed process runs no handler."""


class FaultyDatabase(Database):
    """A real database that is away now and then, whose clients die around commits or do not hear of them.

    ``between`` is called before each transaction: somebody else is quicker there.
    """

    def __init__(self, url: str, *, clock: VirtualClock, dice: random.Random) -> None:
        super().__init__(url, name="sim", clock=clock, pool_size=6)
        self.dice = dice
        self.chance = 0.0
        self.away = False
        self.faults: Counter[str] = Counter()
        self.between: Callable[[], None] | None = None
        self._open = 0

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        if self._open == 0 and self.between is not None:
            self.between()
        if self.away:
            self.faults["database away"] += 1
            raise Unavailable("the database does not answer", code="database_away")
        self._open += 1
        try:
            with super().transaction() as tx:
                yield tx
                self._maybe("killed before a commit", ProcessDied)
        finally:
            self._open -= 1
        self._maybe("killed after a commit", ProcessDied)
        self._maybe("commit's answer lost", lambda: Unavailable("the connection broke", code="database_away"))

    def calm(self) -> Any:
        """A transaction without faults, for whoever looks on."""
        return Database.transaction(self)

    def _maybe(self, what: str, error: Callable[[], BaseException]) -> None:
        if self.chance and self.dice.random() < self.chance:
            self.faults[what] += 1
            raise error()


@contextmanager
def seeded_ids(dice: random.Random, clock: VirtualClock) -> Iterator[None]:
    """Ids from the seed and the virtual clock, so that a life can be lived again."""
    real_os, real_time = ids.os, ids.time
    drawn = random.Random(dice.random())
    fixed = SimpleNamespace(time_ns=lambda: int(clock.now().timestamp() * 1000) * 1_000_000)
    ids.os, ids.time, ids._last_ms = SimpleNamespace(urandom=drawn.randbytes), fixed, 0  # type: ignore[assignment]  # the two functions that it uses
    try:
        yield
    finally:
        ids.os, ids.time = real_os, real_time


class Organisation:
    """Teams, people, services, schedules, rules and policies, drawn from the dice."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.owner: dict[str, str] = {}
        self.shadows: set[tuple[UUID, UUID]] = set()
        stage.team("platform", "dana", "drew", fallback=True)
        for number in range(dice.randint(4, 9)):
            self._team(number)
        with stage.db.calm() as tx:
            if dice.random() < 0.5:
                paging.set_throttles(tx, {"sms": (dice.choice((0.1, 0.5, 2.0)), dice.randint(1, 3))})
        self.teams = [name for name in stage.teams if name != "platform"]

    def _team(self, number: int) -> None:
        dice, stage, name = self.dice, self.stage, f"team{number}"
        logins = [f"t{number}p{place}" for place in range(dice.randint(1, 4))]
        shadow = [f"t{number}s"] if dice.random() < 0.4 else []
        zone = dice.choice(ZONES)
        stage.team(
            name, *logins, *(f"{each}:shadow" for each in shadow), timeZone=zone, escalation=self._policy(number, zone)
        )
        self.shadows |= {(stage.teams[name], stage.people[each]) for each in shadow}
        people = [stage.people[login] for login in logins]
        with stage.db.calm() as tx:
            if dice.random() < 0.6:
                watching = tuple(stage.people[each] for each in shadow)
                rotation = self._rotation(stage.teams[name], people, watching, zone)
                oncall.set_rotations(tx, rotations=[rotation], actor=ACTOR)
            for person in people:
                self._person(tx, person)
            if dice.random() < 0.5:
                address = f"https://chat.example.org/{name}"
                catalog.add_team_channel(
                    tx, team_id=stage.teams[name], name="room", channel="webhook", address=address, actor=ACTOR
                )
        for place in range(dice.randint(1, 3)):
            service = f"s{number}x{place}"
            around = tuple(dice.sample(sorted(stage.services), k=min(len(stage.services), dice.randint(0, 1))))
            watch = dice.choice(({}, {}, {}, {"watch": "always"}, {"watch": "office-hours"}))
            stage.service(service, owner=name, tier=dice.randint(1, 4), depends_on=around, **watch)
            self.owner[service] = name

    def _policy(self, number: int, zone: str) -> dict[str, Any]:
        dice = self.dice
        targets = ["on-call", "next-on-call", "team", "leads", "round-robin", "channel:room", "layer:nights"]
        targets += [f"team:team{other}" for other in range(number)] + ["person:dana@example.org", "person:gone@x.org"]
        steps = []
        for _ in range(dice.randint(1, 4)):
            step: dict[str, Any] = {"notify": dice.sample(targets, k=dice.randint(1, 2))}
            step["wait"] = f"{dice.randint(1, 8)}m"
            if dice.random() < 0.15:
                step["callEvery"] = f"{dice.choice((30, 90, 120, 300))}s"
            if dice.random() < 0.2:
                step["during"] = dice.choice(("office-hours", "out-of-hours"))
            if dice.random() < 0.15:
                step["tiers"] = sorted(dice.sample((1, 2, 3, 4), k=2))
            steps.append(step)
        policy: dict[str, Any] = {"steps": steps, "repeatLast": dice.randint(0, 2), "timeZone": zone}
        policy["acknowledgeFor"] = dice.choice(("10m", "30m", "2h"))
        if dice.random() < 0.4:
            policy["hold"] = {"tiers": sorted(dice.sample((2, 3, 4), k=dice.randint(1, 3)))}
        return policy

    def _rotation(self, team_id: UUID, people: list[UUID], shadows: tuple[UUID, ...], zone: str) -> oncall.TeamRotation:
        dice = self.dice
        crews = tuple((person,) for person in people)
        every, handoff = dice.choice((("12h", "09:00"), ("1d", "07:30"), ("1w", "Mon 09:00")))
        nights = oncall.Window(days=(0, 1, 2, 3, 4, 5, 6), start_minute=20 * 60, minutes=dice.randint(4, 12) * 60)
        layers = [oncall.Layer(name="base", time_zone=zone, every=every, handoff=handoff, crews=crews)]
        if dice.random() < 0.7:
            slot = dice.choice((oncall.PRIMARY, "nights"))
            turned = crews[1:] + crews[:1]
            layers.insert(
                0,
                oncall.Layer(
                    name="nights",
                    time_zone=zone,
                    every="1d",
                    handoff="12:00",
                    windows=(nights,),
                    slot=slot,
                    crews=turned,
                ),
            )
        if dice.random() < 0.3:  # a base that leaves gaps
            layers[-1] = oncall.Layer(
                name="base", time_zone=zone, every="1d", handoff="12:00", windows=(nights,), crews=crews
            )
        return oncall.TeamRotation(
            team_id=team_id, time_zone=zone, members=tuple(people), layers=tuple(layers), shadows=shadows
        )

    def _person(self, tx: Tx, person: UUID) -> None:
        dice = self.dice
        number = int(person) % 10_000_000
        if dice.random() < 0.08:  # nobody can reach this one
            for method in identity.contact_methods(tx, person_ids=[person])[person]:
                identity.remove_contact_method(tx, person_id=person, contact_method_id=method.id, actor=ACTOR)
            return
        for channel, address in (("sms", f"+49151{number:07}"), ("webhook", f"https://hooks.example.org/{person}")):
            if dice.random() < 0.4:
                identity.add_contact_method(tx, person_id=person, channel=channel, address=address, actor=ACTOR)
        methods = identity.contact_methods(tx, person_ids=[person])[person]
        if dice.random() < 0.5:
            delays = itertools.accumulate(dice.choice((0, 60, 120, 240)) for _ in methods)
            steps = tuple(
                RuleStep(contact_method_id=each.id, after_seconds=after)
                for each, after in zip(methods, delays, strict=True)
            )
            quiet = (QuietHours(from_time="22:00", to_time="07:00"),) if dice.random() < 0.4 else ()
            identity.set_personal_rule(tx, person_id=person, rule=PersonalRule(default=steps, quiet=quiet), actor=ACTOR)
        if dice.random() < 0.2:
            start = tx.now + timedelta(hours=dice.randint(1, 60))
            oncall.add_time_off(
                tx, person_id=person, start_at=start, end_at=start + timedelta(hours=dice.randint(8, 72)), actor=ACTOR
            )


def empty(db: Database) -> None:
    """Nothing is left but the schema."""
    with db.engine.begin() as connection:
        connection.execute(sa.text(EMPTY))
