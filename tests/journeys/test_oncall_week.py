"""A rota lived through: handoffs, overrides, people who leave, and a past that stays as it was."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
import sqlalchemy as sa

from watchbill.features import identity, oncall
from watchbill.features.catalog.store import team as team_table
from watchbill.features.oncall import TeamRotation
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database, Tx

DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
SYSTEM = ledger.system("test")


class Rota:
    """Team payments with alice (lead) and bob, and charlie and dana outside it."""

    def __init__(self, db: Database, clock: VirtualClock) -> None:
        self.db, self.clock = db, clock
        self.team_id = new_id()
        with db.transaction() as tx:
            ids = identity.ensure_people(tx, logins=[f"{name}@example.org" for name in ("alice", "bob", "charlie")])
            self.alice, self.bob, self.charlie = (ids[f"{name}@example.org"] for name in ("alice", "bob", "charlie"))
            insert_team(tx, self.team_id, "payments")
        self.names = {self.alice: "alice", self.bob: "bob", self.charlie: "charlie"}

    def rotate(self, *members: UUID, every: str = "1w", handoff: str = "Mon 09:00", zone: str = "UTC") -> bool:
        spec = TeamRotation(team_id=self.team_id, members=members, every=every, handoff=handoff, time_zone=zone)
        with self.db.transaction() as tx:
            return oncall.set_rotation(tx, team_id=self.team_id, spec=spec, actor=SYSTEM)

    def who(self, at: datetime | None = None) -> str | None:
        with self.db.transaction() as tx:
            shift = oncall.who_is_on_call(tx, team_id=self.team_id, at=at or tx.now)
        return self.names[shift.person_id] if shift else None

    def cover(self, person_id: UUID, start_at: datetime, end_at: datetime, reason: str = "") -> oncall.Override:
        with self.db.transaction() as tx:
            return oncall.add_override(
                tx,
                team_id=self.team_id,
                person_id=person_id,
                start_at=start_at,
                end_at=end_at,
                reason=reason,
                actor=SYSTEM,
            )

    def worker_passes(self) -> int:
        return oncall.record_loop_work(self.db)

    def shifts(self, start_at: datetime, end_at: datetime) -> list[oncall.Shift]:
        with self.db.transaction() as tx:
            return oncall.shifts(tx, team_id=self.team_id, start_at=start_at, end_at=end_at)

    def entries(self) -> list[str]:
        with self.db.transaction() as tx:
            return [entry.name for entry in ledger.entries(tx, subject=("team", self.team_id))]

    def leaves(self, person_id: UUID) -> None:
        with self.db.transaction() as tx:
            identity.change_person(tx, person_id=person_id, active=False, actor=SYSTEM)


def insert_team(tx: Tx, team_id: UUID, name: str) -> None:
    tx.execute(
        sa.insert(team_table).values(
            id=team_id,
            name=name,
            title=name.title(),
            source="test",
            spec={},
            spec_hash="",
            created_at=tx.now,
            updated_at=tx.now,
        )
    )


@pytest.fixture
def rota(virtual_db: Database, clock: VirtualClock) -> Rota:
    return Rota(virtual_db, clock)


def test_alice_hands_over_to_bob_after_a_week_and_the_record_remembers(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice, rota.bob)
    first, second = rota.who(), rota.who(start + WEEK)
    assert {first, second} == {"alice", "bob"}
    rota.clock.advance(WEEK + DAY)
    assert rota.who() == second
    assert rota.who(start) == first, "known before the worker has passed"
    rota.worker_passes()
    assert rota.who(start) == first
    assert rota.who(start + WEEK - timedelta(seconds=1)) == first
    assert rota.who(start + WEEK) == second
    assert rota.entries().count("oncall.handed_over") == 1


def test_nobody_was_on_call_before_the_rotation_was_set(rota: Rota) -> None:
    assert rota.who() is None
    rota.rotate(rota.alice)
    assert rota.who(rota.clock.now() - timedelta(minutes=1)) is None
    assert rota.who() == "alice"


def test_an_override_takes_over_and_ends_by_itself(rota: Rota) -> None:
    rota.rotate(rota.alice)
    start = rota.clock.now() + DAY
    rota.cover(rota.charlie, start, start + timedelta(hours=2), "dentist")
    assert [rota.who(start + timedelta(hours=hours)) for hours in (-1, 0, 1, 2)] == [
        "alice",
        "charlie",
        "charlie",
        "alice",
    ]
    rota.clock.advance(3 * DAY)
    rota.worker_passes()
    assert [(rota.names[s.person_id], s.reason, s.note) for s in rota.shifts(start - DAY, start + DAY)] == [
        ("alice", "rotation", ""),
        ("charlie", "override", "dentist"),
        ("alice", "rotation", ""),
    ]


def test_cancelling_a_running_override_keeps_what_has_been(rota: Rota) -> None:
    rota.rotate(rota.alice)
    begun = rota.clock.now()
    made = rota.cover(rota.charlie, begun, begun + DAY)
    rota.clock.advance(timedelta(hours=3))
    with rota.db.transaction() as tx:
        oncall.cancel_override(tx, override_id=made.id, actor=SYSTEM)
    assert rota.who() == "alice"
    assert rota.who(begun + timedelta(hours=2)) == "charlie"
    with rota.db.transaction() as tx:
        oncall.cancel_override(tx, override_id=made.id, actor=SYSTEM)
    assert rota.entries().count("oncall.override_cancelled") == 1, "again is no change"


def test_changing_the_rotation_never_changes_the_past(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice, rota.bob, every="1d", handoff="09:00")
    rota.clock.advance(5 * DAY + timedelta(hours=3))
    hours = [start + timedelta(hours=hour) for hour in range(5 * 24)]
    before = [rota.who(at) for at in hours]
    rota.rotate(rota.charlie)
    assert [rota.who(at) for at in hours] == before
    assert rota.who() == "charlie"
    rota.clock.advance(WEEK)
    rota.worker_passes()
    assert [rota.who(at) for at in hours] == before


def test_a_new_teammate_does_not_move_whose_turn_it_is(rota: Rota) -> None:
    rota.rotate(rota.alice, rota.bob)
    current = rota.who()
    rota.clock.advance(2 * DAY)
    rota.rotate(rota.alice, rota.bob, rota.charlie)
    assert rota.who() == current


def test_setting_the_same_rotation_again_is_no_change(rota: Rota) -> None:
    assert rota.rotate(rota.alice, rota.bob)
    entries = rota.entries()
    assert not rota.rotate(rota.alice, rota.bob)
    assert rota.entries() == entries


def test_when_the_person_on_call_leaves_the_next_one_stands_in_from_then_on(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice, rota.bob)
    first = rota.who()
    other = "bob" if first == "alice" else "alice"
    rota.worker_passes()
    rota.clock.advance(2 * DAY)
    rota.leaves(rota.alice if first == "alice" else rota.bob)
    rota.worker_passes()
    assert rota.who() == other
    assert rota.who(start + DAY) == first, "who was on call stays as it was"
    with rota.db.transaction() as tx:
        codes = {problem.code for problem in oncall.warnings(tx)[rota.team_id]}
    assert codes == {"oncall_member_inactive", "oncall_single_member", "oncall_member_unverified"}


def test_a_worker_that_was_away_for_a_month_catches_up_with_every_handoff(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice, rota.bob, every="1d", handoff="09:00")
    rota.clock.advance(30 * DAY + timedelta(hours=1))
    assert rota.worker_passes() == 1
    line = rota.shifts(start, rota.clock.now())
    assert len(line) == 31
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    assert rota.worker_passes() == 0, "nothing changed, nothing is written"


def test_shifts_and_lookups_agree_over_past_and_future(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice, rota.bob, every="12h", handoff="02:30", zone="Europe/Berlin")
    rota.clock.advance(20 * DAY + timedelta(hours=5))
    rota.worker_passes()
    rota.clock.advance(timedelta(hours=15))  # the record lags behind now
    rota.cover(rota.charlie, rota.clock.now() + DAY, rota.clock.now() + 2 * DAY)
    end = start + 40 * DAY  # over the change of clocks on 29 March
    line = rota.shifts(start, end)
    assert all(before.end_at == after.start_at for before, after in pairwise(line))
    for hour in range(0, 40 * 24, 7):
        at = start + timedelta(hours=hour)
        listed = next(shift for shift in line if shift.start_at <= at < shift.end_at)
        assert rota.names[listed.person_id] == rota.who(at)


def test_next_on_call_and_my_shifts(rota: Rota) -> None:
    rota.rotate(rota.alice, rota.bob)
    with rota.db.transaction() as tx:
        now = oncall.who_is_on_call(tx, team_id=rota.team_id, at=tx.now)
        following = oncall.next_on_call(tx, team_id=rota.team_id, at=tx.now)
        assert now is not None
        assert following is not None
        mine = oncall.my_shifts(tx, person_id=following.person_id, start_at=tx.now, end_at=tx.now + 4 * WEEK)
    assert following.person_id != now.person_id
    assert following.start_at == now.end_at
    assert [shift.start_at for shift in mine] == [rota.clock.now() + WEEK, rota.clock.now() + 3 * WEEK]


def test_an_empty_rota_is_one_gap_and_warns(rota: Rota) -> None:
    rota.rotate()
    now = rota.clock.now()
    with rota.db.transaction() as tx:
        assert oncall.gaps(tx, team_id=rota.team_id, start_at=now, end_at=now + WEEK) == [(now, now + WEEK)]
        assert [problem.code for problem in oncall.warnings(tx)[rota.team_id]] == ["oncall_empty"]
        unknown = new_id()
        assert oncall.gaps(tx, team_id=unknown, start_at=now, end_at=now + WEEK) == [(now, now + WEEK)]
        assert oncall.next_on_call(tx, team_id=unknown, at=now) is None


def test_an_override_fills_the_gap_of_an_empty_rota(rota: Rota) -> None:
    rota.rotate()
    now = rota.clock.now()
    rota.cover(rota.charlie, now + DAY, now + 2 * DAY)
    with rota.db.transaction() as tx:
        holes = oncall.gaps(tx, team_id=rota.team_id, start_at=now, end_at=now + WEEK)
    assert holes == [(now, now + DAY), (now + 2 * DAY, now + WEEK)]


def test_an_override_cannot_rewrite_the_past(rota: Rota) -> None:
    rota.rotate(rota.alice)
    now = rota.clock.now()
    rota.clock.advance(DAY)
    with pytest.raises(Invalid):
        rota.cover(rota.bob, now, now + timedelta(hours=1))
    assert rota.cover(rota.bob, now, now + 2 * DAY).start_at == now + DAY, "it begins now"
    assert rota.who(now + timedelta(hours=1)) == "alice"


def test_an_override_needs_a_team_with_a_rotation_and_a_person_who_is_there(rota: Rota) -> None:
    now = rota.clock.now()
    with pytest.raises(Conflict):
        rota.cover(rota.bob, now, now + DAY)
    rota.rotate(rota.alice)
    with pytest.raises(NotFound):
        rota.cover(new_id(), now, now + DAY)
    rota.leaves(rota.bob)
    with pytest.raises(Invalid):
        rota.cover(rota.bob, now, now + DAY)


def test_removing_a_team_ends_its_rotation_and_keeps_its_record(rota: Rota) -> None:
    start = rota.clock.now()
    rota.rotate(rota.alice)
    rota.clock.advance(DAY)
    with rota.db.transaction() as tx:
        assert oncall.remove_rotations(tx, team_ids=[rota.team_id], actor=SYSTEM) == {rota.team_id}
    assert rota.who() is None
    assert rota.who(start) == "alice"
    rota.clock.advance(DAY)
    rota.rotate(rota.bob)
    assert rota.who() == "bob"
    assert rota.who(start + DAY + timedelta(hours=1)) is None


def test_five_hundred_teams_get_their_rotations_in_one_apply(rota: Rota) -> None:
    teams = [new_id() for _ in range(500)]
    with rota.db.transaction() as tx:
        for number, team_id in enumerate(teams):
            insert_team(tx, team_id, f"team-{number}")
    specs = [TeamRotation(team_id=team_id, members=(rota.alice, rota.bob)) for team_id in teams]
    with rota.db.transaction() as tx:
        assert len(oncall.set_rotations(tx, rotations=specs, actor=SYSTEM)) == 500
    with rota.db.transaction() as tx:
        assert oncall.set_rotations(tx, rotations=specs, actor=SYSTEM) == frozenset()
        now = oncall.on_call_at(tx, at=tx.now)
    assert len(now) == 500
    assert all(shift is not None for shift in now.values())
