"""Swaps, time off and shadows lived through: who may answer, what changes, and that the past stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from tests.journeys.stage import Stage
from watchbill.features import catalog, identity, oncall
from watchbill.features.digest.reads import gather
from watchbill.features.oncall import Layer, TeamRotation, Window
from watchbill.kernel.errors import Conflict, Forbidden, Invalid
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
SYSTEM = ledger.system("test")


class Rota:
    """Team payments: alice leads, bob, charlie and dana are members, eve is a shadow; weekly turns from Monday."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.db, self.clock = stage, stage.db, stage.clock
        stage.team("checkout", "alice", "bob", "charlie", "dana", "eve:shadow")
        with self.db.transaction() as tx:
            team = catalog.team_by_name(tx, name="checkout")
            assert team is not None
            self.team_id = team.id
            names = ("alice", "bob", "charlie", "dana", "eve")
            self.ids = {name: self._person(tx, name) for name in names}
        self.names = {person_id: name for name, person_id in self.ids.items()}
        self.start = self.clock.now()
        self.rotate(
            TeamRotation(team_id=self.team_id, members=self.people("alice bob charlie"), starts_at=date(2026, 3, 2))
        )

    @staticmethod
    def _person(tx: Tx, name: str) -> UUID:
        found = identity.person_by_login(tx, login=f"{name}@example.org")
        assert found is not None
        return found.id

    def people(self, names: str) -> tuple[UUID, ...]:
        return tuple(self.ids[name] for name in names.split())

    def rotate(self, spec: TeamRotation) -> None:
        with self.db.transaction() as tx:
            oncall.set_rotations(tx, rotations=[spec], actor=SYSTEM)

    def who(self, at: datetime, slot: str = "primary") -> str:
        with self.db.transaction() as tx:
            found = oncall.people_on_call(tx, team_id=self.team_id, at=at, slot=slot)
        return " ".join(self.names[person_id] for person_id in found.people)

    def why(self, at: datetime) -> str:
        with self.db.transaction() as tx:
            shift = oncall.who_is_on_call(tx, team_id=self.team_id, at=at)
        assert shift is not None
        return oncall.because(shift, self.names)

    def ask(self, asker: str, to: str | None, start: datetime, end: datetime, **more: object) -> oncall.Swap:
        with self.db.transaction() as tx:
            return oncall.request_swap(
                tx,
                team_id=self.team_id,
                from_person=self.ids[asker],
                to_person=self.ids[to] if to else None,
                start_at=start,
                end_at=end,
                actor=ledger.person(self.ids[asker]),
                **more,  # type: ignore[arg-type]
            )

    def answer(self, how: Callable[..., oncall.Swap], swap: oncall.Swap, who: str) -> oncall.Swap:
        with self.db.transaction() as tx:
            return how(tx, swap_id=swap.id, person_id=self.ids[who], actor=ledger.person(self.ids[who]))

    def away(self, who: str, start: datetime, end: datetime) -> None:
        with self.db.transaction() as tx:
            oncall.add_time_off(tx, person_id=self.ids[who], start_at=start, end_at=end, actor=SYSTEM)

    def codes(self) -> list[str]:
        with self.db.transaction() as tx:
            checked = oncall.check(tx, team_ids=[self.team_id])[self.team_id]
        return [problem.code for problem in checked.problems]

    def entries(self) -> list[str]:
        with self.db.transaction() as tx:
            return [entry.name for entry in ledger.entries(tx, subject=("team", self.team_id))]


@pytest.fixture
def rota(stage: Stage) -> Rota:
    return Rota(stage)


def test_a_swap_changes_nothing_until_it_is_accepted_and_then_both_ways(rota: Rota) -> None:
    thursday, next_week = rota.start + 3 * DAY, rota.start + WEEK + 2 * DAY
    back = (next_week, next_week + DAY)
    swap = rota.ask("alice", "bob", thursday, thursday + DAY, back=back, note="concert")
    assert rota.who(thursday + HOUR) == "alice"
    with pytest.raises(Forbidden):
        rota.answer(oncall.accept_swap, swap, "charlie")
    assert rota.answer(oncall.accept_swap, swap, "bob").state == "accepted"
    assert rota.who(thursday + HOUR) == "bob"
    assert rota.why(thursday + HOUR) == "on call here because of a swap with alice (concert)"
    assert rota.who(next_week + HOUR) == "alice"
    assert rota.who(thursday - HOUR) == "alice"
    assert rota.answer(oncall.accept_swap, swap, "bob").state == "accepted", "again is no change"
    assert rota.entries().count("swap.accepted") == 1


def test_undoing_a_swap_keeps_what_has_been(rota: Rota) -> None:
    begin = rota.start + DAY
    swap = rota.ask("alice", "bob", begin, begin + 2 * DAY)
    rota.answer(oncall.accept_swap, swap, "bob")
    rota.clock.advance(2 * DAY)
    assert rota.answer(oncall.undo_swap, swap, "alice").state == "undone"
    assert rota.who(begin + HOUR) == "bob", "that has been"
    assert rota.who(rota.clock.now() + HOUR) == "alice"
    rota.answer(oncall.undo_swap, swap, "alice")
    with pytest.raises(Conflict):
        rota.answer(oncall.accept_swap, swap, "bob")


def test_an_offer_goes_to_whoever_of_the_team_takes_it_first_and_never_to_a_shadow(rota: Rota) -> None:
    begin = rota.start + DAY
    offer = rota.ask("alice", None, begin, begin + DAY)
    with pytest.raises(Conflict):
        rota.ask("alice", "bob", begin, begin + HOUR)
    for refused in ("eve", "alice"):
        with pytest.raises(Forbidden):
            rota.answer(oncall.accept_swap, offer, refused)
    rota.answer(oncall.accept_swap, offer, "dana")
    assert rota.who(begin + HOUR) == "dana"
    with pytest.raises(Conflict):
        rota.answer(oncall.accept_swap, offer, "bob")


def test_requests_are_declined_withdrawn_and_expire(rota: Rota) -> None:
    begin = rota.start + DAY
    asked = rota.ask("alice", "bob", begin, begin + DAY)
    with pytest.raises(Forbidden):
        rota.answer(oncall.decline_swap, asked, "charlie")
    assert rota.answer(oncall.decline_swap, asked, "bob").state == "declined"
    again = rota.ask("alice", None, begin, begin + DAY)
    assert rota.answer(oncall.withdraw_swap, again, "alice").state == "withdrawn"
    late = rota.ask("alice", None, begin, begin + DAY)
    rota.clock.advance(2 * DAY + HOUR)
    with pytest.raises(Conflict):
        rota.answer(oncall.accept_swap, late, "bob")
    oncall.record_loop_work(rota.db)
    with rota.db.transaction() as tx:
        assert oncall.swap_by_id(tx, swap_id=late.id).state == "expired"
    assert rota.entries().count("swap.expired") == 1


def test_nobody_can_give_away_what_is_not_theirs(rota: Rota) -> None:
    begin = rota.start + DAY
    with pytest.raises(Conflict):
        rota.ask("bob", "alice", begin, begin + DAY)
    with pytest.raises(Forbidden):
        rota.ask("alice", "eve", begin, begin + DAY)
    with pytest.raises(Invalid):
        rota.ask("alice", "bob", begin, begin)


def test_bob_takes_alices_shift_at_once(rota: Rota) -> None:
    begin = rota.start + DAY
    with rota.db.transaction() as tx:
        bob = rota.ids["bob"]
        (made,) = oncall.take_shift(
            tx, team_id=rota.team_id, person_id=bob, start_at=begin, end_at=begin + DAY, actor=ledger.person(bob)
        )
    assert rota.why(begin + HOUR) == "on call here because they took the shift of alice"
    with rota.db.transaction() as tx:
        oncall.cancel_override(tx, override_id=made.id, actor=SYSTEM)
    assert rota.who(begin + HOUR) == "alice"


def test_time_off_warns_of_the_shift_and_leaves_the_rota_as_it_is(rota: Rota) -> None:
    """paged.rest"""
    begin = rota.start + DAY
    assert "oncall_time_off" not in rota.codes()
    rota.away("alice", begin, begin + DAY)
    assert "oncall_time_off" in rota.codes()
    assert rota.who(begin + HOUR) == "alice", "never a hole"
    with rota.db.transaction() as tx:
        told = gather(tx, team=catalog.team(tx, id=rota.team_id), base_url="http://x")
    assert told.rota[0].startswith("alice@example.org is away but on call from Tue 03 Mar"), "and the digest says so"
    rota.away("bob", begin, begin + DAY)
    rota.away("charlie", begin, begin + DAY)
    assert "oncall_all_away" in rota.codes()
    swap = rota.ask("alice", "dana", begin, begin + DAY)
    rota.answer(oncall.accept_swap, swap, "dana")
    assert "oncall_all_away" not in rota.codes()


def test_a_calendar_import_is_an_update_the_second_time(rota: Rota) -> None:
    def calendar(*days: str) -> bytes:
        events = "".join(
            f"BEGIN:VEVENT\r\nUID:{day}\r\nDTSTART;VALUE=DATE:{day}\r\nSUMMARY:off\r\nEND:VEVENT\r\n" for day in days
        )
        return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n".encode()

    def take(content: bytes) -> oncall.Imported:
        with rota.db.transaction() as tx:
            return oncall.import_time_off(
                tx,
                person_id=rota.ids["alice"],
                calendar="leave",
                content=content,
                time_zone="Europe/Berlin",
                actor=SYSTEM,
            )

    first = take(calendar("20260304", "20260310"))
    assert (first.added, first.removed, first.unchanged) == (2, 0, 0)
    second = take(calendar("20260304", "20260401"))
    assert (second.added, second.removed, second.unchanged) == (1, 1, 1)
    with rota.db.transaction() as tx:
        off = oncall.time_off_of(tx, person_ids=[rota.ids["alice"]], start_at=tx.now)[rota.ids["alice"]]
    assert off[0].start_at == datetime(2026, 3, 3, 23, tzinfo=UTC), "midnight in Berlin"
    assert off[1].end_at - off[1].start_at == DAY


def test_rest_and_nights_are_watched_and_overlapping_overrides_said(rota: Rota) -> None:
    from watchbill.features.oncall import Rest

    spec = TeamRotation(
        team_id=rota.team_id,
        members=rota.people("alice bob charlie"),
        every="12h",
        handoff="09:00",
        rest=Rest(hours_between=36, nights=1),
    )
    rota.rotate(spec)
    assert "oncall_rest" in rota.codes()
    rota.rotate(TeamRotation(team_id=rota.team_id, members=rota.people("alice bob charlie"), rest=Rest(nights=5)))
    assert "oncall_nights" in rota.codes()
    with rota.db.transaction() as tx:
        for begin in (1, 2):
            oncall.add_override(
                tx,
                team_id=rota.team_id,
                person_id=rota.ids["dana"],
                start_at=tx.now + begin * DAY,
                end_at=tx.now + 4 * DAY,
                actor=SYSTEM,
            )
    assert "oncall_overrides_overlap" in rota.codes()


def test_slots_shadows_and_pairs_are_recorded_and_the_record_stays(rota: Rota) -> None:
    alice, bob, charlie, dana, eve = (rota.ids[name] for name in ("alice", "bob", "charlie", "dana", "eve"))
    layers = (
        Layer(name="pairs", crews=((alice, bob), (charlie,)), every="1d", handoff="09:00", count_from=date(2026, 3, 2)),
        Layer(name="second", crews=((dana,), (alice,)), every="12h", handoff="09:00", slot="secondary"),
        Layer(name="learner", crews=((eve,),), shadow=True),
    )
    rota.rotate(TeamRotation(team_id=rota.team_id, members=(alice, bob, charlie, dana, eve), layers=layers))
    assert rota.who(rota.start) == "alice bob"
    hours = [rota.start + step * HOUR for step in range(1, 72, 5)]
    planned = [(rota.who(at), rota.who(at, "secondary")) for at in hours]
    rota.clock.advance(3 * DAY + HOUR)
    oncall.record_loop_work(rota.db)
    rota.rotate(TeamRotation(team_id=rota.team_id, members=(charlie,)))
    assert [(rota.who(at), rota.who(at, "secondary")) for at in hours] == planned
    with rota.db.transaction() as tx:
        told = oncall.people_on_call(tx, team_id=rota.team_id, at=rota.start + HOUR)
        assert told.shadows == (eve,)
        line = oncall.shifts(tx, team_id=rota.team_id, start_at=rota.start, end_at=rota.start + 2 * DAY)
        assert [shift.people for shift in line[1:3]] == [(alice, bob), (charlie,)] or line[0].people == (alice, bob)
        assert all(shift.end_at - shift.start_at <= DAY for shift in line)
        second = oncall.shifts(
            tx, team_id=rota.team_id, start_at=rota.start + HOUR, end_at=rota.start + 2 * DAY, slot="secondary"
        )
        assert all(shift.end_at - shift.start_at == 12 * HOUR for shift in second[1:-1])
        mine = oncall.my_shifts(tx, person_id=bob, start_at=rota.start, end_at=rota.start + 3 * DAY)
        assert {shift.person_id for shift in mine} == {bob}


def test_a_changed_layer_leaves_whoever_is_on_call_in_place(rota: Rota) -> None:
    alice, bob, charlie = rota.people("alice bob charlie")
    windows = (Window(days=(0, 1, 2, 3, 4, 5, 6), start_minute=0, minutes=24 * 60),)

    def spec(*crews: UUID) -> TeamRotation:
        layer = Layer(name="main", crews=tuple((one,) for one in crews), every="1d", handoff="09:00", windows=windows)
        return TeamRotation(team_id=rota.team_id, members=crews, layers=(layer,))

    rota.rotate(spec(alice, bob))
    rota.clock.advance(DAY + HOUR)
    before = rota.who(rota.clock.now())
    rota.rotate(spec(charlie, alice, bob))
    assert rota.who(rota.clock.now()) == before


def test_public_holidays_of_a_schedule_and_of_people(rota: Rota) -> None:
    alice, bob = rota.people("alice bob")
    layers = (
        Layer(name="feast", crews=((bob,),), holidays="only", time_zone="Europe/Berlin"),
        Layer(name="usual", crews=((alice,),), time_zone="Europe/Berlin"),
    )
    rota.rotate(TeamRotation(team_id=rota.team_id, members=(alice, bob), layers=layers, holidays="DE-BE"))
    assert rota.who(datetime(2026, 4, 3, 12, tzinfo=UTC)) == "bob", "Good Friday"
    assert rota.who(datetime(2026, 4, 4, 12, tzinfo=UTC)) == "alice"
    with rota.db.transaction() as tx:
        assert oncall.set_holiday_calendar(tx, person_id=alice, calendar="DE-BE", actor=SYSTEM)
        assert not oncall.set_holiday_calendar(tx, person_id=alice, calendar="DE-BE", actor=SYSTEM)
        with pytest.raises(Invalid):
            oncall.set_holiday_calendar(tx, person_id=alice, calendar="Atlantis", actor=SYSTEM)
        advice = oncall.check(tx, team_ids=[rota.team_id], days=14)[rota.team_id].advice
    assert "oncall_on_holiday" in [problem.code for problem in advice], "Women's Day, 8 March, in Berlin"


def test_a_feed_is_a_secret_that_can_be_replaced_and_revoked(rota: Rota) -> None:
    from watchbill.kernel.errors import NotFound

    alice = rota.ids["alice"]
    with rota.db.transaction() as tx:
        feed, secret = oncall.create_feed(tx, owner_id=alice, kind="person", actor=SYSTEM)
        written = oncall.feed_calendar(tx, secret=secret).decode()
        assert written.count("BEGIN:VEVENT") >= 8
        assert "DTSTART:20260323T090000Z" in written, "in UTC, so that every calendar shows its own zone"
        assert written == oncall.feed_calendar(tx, secret=secret).decode(), "with the same UIDs"
        _, fresh = oncall.replace_feed(tx, feed_id=feed.id, actor=SYSTEM)
        with pytest.raises(NotFound):
            oncall.feed_calendar(tx, secret=secret)
        assert oncall.feed_calendar(tx, secret=fresh)
        _, of_team = oncall.create_feed(tx, owner_id=alice, kind="team", team_id=rota.team_id, actor=SYSTEM)
        assert "bob" in oncall.feed_calendar(tx, secret=of_team).decode()
        oncall.revoke_feed(tx, feed_id=feed.id, actor=SYSTEM)
        with pytest.raises(NotFound):
            oncall.feed_calendar(tx, secret=fresh)
        identity.change_person(tx, person_id=alice, active=False, actor=SYSTEM)
        with pytest.raises(NotFound):
            oncall.feed_calendar(tx, secret=of_team)


MANIFEST = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: checkout}
spec:
  members: [alice@example.org, bob@example.org, charlie@example.org, {login: eve@example.org, role: shadow}]
  timeZone: Europe/Berlin
  onCall:
    shadows: [eve@example.org]
    layers:
      - name: office
        members: [[alice@example.org, bob@example.org]]
        hours: [{days: [weekdays], from: "09:00", to: "17:00"}]
      - {name: else, members: [charlie@example.org]}
"""


def test_layers_of_a_manifest_become_the_schedule_and_a_hole_is_a_warning_with_its_place(rota: Rota) -> None:
    def apply(text: str) -> list[str]:
        with rota.db.transaction() as tx:
            done = apply_files(
                tx, files=[File(path="team.yaml", text=text)], options=Options(source="test"), actor=SYSTEM
            )
        return [f"{problem.place} {problem.message}" for problem in done.warnings]

    apply(MANIFEST)
    assert rota.who(datetime(2026, 3, 3, 12, tzinfo=UTC)) == "alice bob"
    assert rota.who(datetime(2026, 3, 3, 16, tzinfo=UTC)) == "charlie", "17:00 in Berlin"
    with rota.db.transaction() as tx:
        told = oncall.people_on_call(tx, team_id=rota.team_id, at=datetime(2026, 3, 3, 12, tzinfo=UTC))
    assert [rota.names[person_id] for person_id in told.shadows] == ["eve"]
    said = apply(MANIFEST.replace("      - {name: else, members: [charlie@example.org]}\n", ""))
    assert any(line.startswith("team.yaml:11:7 nobody is on call from") for line in said), said
    with pytest.raises(Invalid) as caught:
        apply(MANIFEST.replace('"09:00"', '"09:60"'))
    assert [problem.place for problem in caught.value.problems] == ["team.yaml:13:42"]
