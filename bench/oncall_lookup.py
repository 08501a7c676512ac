"""Who is on call: from memory, through PostgreSQL one team at a time, and for 500 teams at once."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bench.results import Result
from watchbill.features import identity, oncall
from watchbill.features.catalog.store import team
from watchbill.features.oncall import Layer, TeamRotation, Window
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger, migrate
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = (
    "oncall_lookup_database",
    "oncall_500_teams_now",
    "oncall_500_teams_set",
    "oncall_year_1000_teams",
    "oncall_lookup_layers",
)
TEAMS = 500
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")


def run() -> list[Result]:
    """Fresh PostgreSQL, 500 teams of five people, weekly rotations in five zones."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            db = Database(url, name="bench")
            try:
                return _measure(db)
            finally:
                db.dispose()
        finally:
            postgres.stop()


def _measure(db: Database) -> list[Result]:
    specs = _prepare(db)
    began = time.perf_counter()
    with db.transaction() as tx:
        oncall.set_rotations(tx, rotations=specs, actor=ledger.system("bench"))
    set_seconds = time.perf_counter() - began
    with db.transaction() as tx:
        plans = list(oncall.load_plans(tx).values())
        begin = tx.now
    chance = random.Random(1)
    asked = [(chance.choice(plans), begin + timedelta(seconds=chance.randrange(365 * 86400))) for _ in range(20_000)]
    in_memory = _rate(lambda: [plan.shift_at(at) for plan, at in asked], len(asked))
    ids = [spec.team_id for spec in specs]
    with db.transaction() as tx:
        one_by_one = _rate(lambda: [oncall.who_is_on_call(tx, team_id=team_id, at=tx.now) for team_id in ids], len(ids))
        oncall.on_call_at(tx, at=tx.now)
        began = time.perf_counter()
        found = oncall.on_call_at(tx, at=tx.now)
        all_milliseconds = (time.perf_counter() - began) * 1000
    shapes = _shapes([person for spec in specs[:50] for person in spec.members])
    assert len(found) == TEAMS
    assert all(found.values())
    return [
        Result(
            name="oncall_lookup",
            value=in_memory,
            unit="lookups/s",
            better="higher",
            limit="20,000/s (50 µs each)",
            limit_value=20_000,
        ),
        Result(
            name="oncall_lookup_database",
            value=one_by_one,
            unit="lookups/s",
            better="higher",
            limit="a team at a time through PostgreSQL, 200/s",
            limit_value=200,
        ),
        Result(
            name="oncall_500_teams_now",
            value=all_milliseconds,
            unit="ms",
            better="lower",
            limit="who is on call now for 500 teams, 250 ms",
            limit_value=250,
        ),
        Result(
            name="oncall_500_teams_set",
            value=set_seconds,
            unit="s",
            better="lower",
            limit="500 rotations in one apply, 2 s",
            limit_value=2,
        ),
        Result(
            name="oncall_year_1000_teams",
            value=_year(shapes),
            unit="s",
            better="lower",
            limit="a year of 1,000 teams' final schedules, 5 s",
            limit_value=5,
        ),
        Result(
            name="oncall_lookup_layers",
            value=_layered(shapes),
            unit="lookups/s",
            better="higher",
            limit="schedules of layers from memory, 20,000/s (50 µs each)",
            limit_value=20_000,
        ),
    ]


def _prepare(db: Database) -> list[TeamRotation]:
    with db.transaction() as tx:
        logins = [f"person{number}@example.org" for number in range(TEAMS)]
        people: dict[str, UUID] = identity.ensure_people(tx, logins=logins)
        ids = [new_id() for _ in range(TEAMS)]
        row = {"title": "", "source": "bench", "spec": {}, "spec_hash": "", "created_at": tx.now, "updated_at": tx.now}
        tx.execute(sa.insert(team), [{**row, "id": id_, "name": f"team-{n}"} for n, id_ in enumerate(ids)])
    return [
        TeamRotation(
            team_id=team_id,
            members=tuple(people[logins[(number + step) % TEAMS]] for step in range(5)),
            time_zone=ZONES[number % len(ZONES)],
        )
        for number, team_id in enumerate(ids)
    ]


def _rate(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _shapes(people: list[UUID]) -> list[TeamRotation]:
    """A hundred teams as they are: sixty rotate weekly, twenty daily, ten by day and night, ten follow the sun."""

    def hours(*days: int, start: int, long: int) -> tuple[Window, ...]:
        return (Window(days=days or tuple(range(7)), start_minute=start * 60, minutes=long * 60),)

    def layer(name: str, first: int, **more: Any) -> Layer:
        return Layer(name=name, crews=tuple((people[(first + step) % len(people)],) for step in range(5)), **more)

    team_id = new_id()
    made: list[TeamRotation] = []
    for number in range(100):
        zone = ZONES[number % len(ZONES)]
        members = tuple(people[(number + step) % len(people)] for step in range(5))
        layers: tuple[Layer, ...] = ()
        every, handoff = ("1d", "09:00") if 60 <= number < 80 else ("1w", "Mon 09:00")
        if 80 <= number < 90:
            office = hours(0, 1, 2, 3, 4, start=8, long=12)
            day = layer("day", number, time_zone=zone, every="1d", handoff="08:00", windows=office)
            layers = (day, layer("night", number + 5, time_zone=zone))
        elif number >= 90:
            layers = (
                layer("sydney", number, time_zone="Australia/Sydney", windows=hours(start=8, long=9)),
                layer("london", number + 5, time_zone="Europe/London", windows=hours(start=7, long=12)),
                layer("denver", number + 10, time_zone="America/Denver"),
            )
        spec = TeamRotation(
            team_id=team_id, members=members, time_zone=zone, every=every, handoff=handoff, layers=layers
        )
        made.append(spec)
    return made


def _year(shapes: list[TeamRotation]) -> float:
    """Seconds to compile 1,000 teams' schedules and list a year of each, whole, with a reason for every stretch."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(days=365)
    began = time.perf_counter()
    for _ in range(10):
        for spec in shapes:
            at = start
            who = oncall.Schedule(spec)
            while at < end:
                at = who.at(at).end_at
    return time.perf_counter() - began


def _layered(shapes: list[TeamRotation]) -> float:
    """Lookups a second in the schedules with layers alone."""
    chance = random.Random(2)
    compiled = [oncall.Schedule(spec) for spec in shapes if spec.layers]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    asked = [(chance.choice(compiled), begin + timedelta(seconds=chance.randrange(365 * 86400))) for _ in range(20_000)]
    return _rate(lambda: [who.at(at) for who, at in asked], len(asked))
