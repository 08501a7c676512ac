"""From a bad deploy to its end: named in the page, undone by the rules, and every run in a named end state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest

from tests.journeys.rollback_stage import ROLL_BACK, RollbackStage
from watchbill.features import catalog, changes, identity, incidents, paging, rollback, suspects
from watchbill.features.identity import Caller
from watchbill.features.suspects import duties as suspect_duties
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict, Forbidden, Unauthenticated
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database, Tx

MINUTE = timedelta(minutes=1)
ALONE = {**ROLL_BACK, "automatic": True}


@pytest.fixture
def stage(virtual_db: Database, clock: VirtualClock) -> RollbackStage:
    stage = RollbackStage(virtual_db, clock)
    stage.team("payments", "alice", "bob")
    stage.team("shop", "charlie", fallback=True)
    with stage.db.transaction() as tx:
        for login, person_id in stage.people.items():
            identity.add_contact_method(
                tx, person_id=person_id, channel="email", address=f"{login}@example.org", actor=ledger.system("test")
            )
    stage.runner_seen()
    return stage


def admin() -> Caller:
    return Caller(kind="token", id=new_id(), name="dana", role="admin")


def bad_deploy(stage: RollbackStage, **rules: object) -> None:
    stage.service("payments", owner="payments", rules={**ROLL_BACK, **rules})
    stage.watch("payments")
    stage.pass_time(MINUTE)
    stage.deploy("payments", "v2", bad=0.4)


def test_a_bad_deploy_is_named_rolled_back_alone_and_verified(stage: RollbackStage) -> None:
    """rollback.alone"""
    bad_deploy(stage, automatic=True)
    stage.pass_time(6 * MINUTE)
    (run,) = stage.runs()
    assert (run.mode, run.state, run.previous_version) == ("automatic", "recovered", "v1")
    assert run.output.startswith("working")
    found = stage.ranking()
    assert found is not None
    assert found.suspects[0].version == "v2"
    assert found.suspects[0].confidence > 0.9
    story = stage.story()
    expected = ["incident.opened", "incident.suspected", "rollback.queued", "rollback.started", "rollback.done"]
    assert [name for name in story if name in expected] == expected
    assert "rollback.recovered" in story


def test_the_page_names_the_change_and_carries_the_button(stage: RollbackStage) -> None:
    bad_deploy(stage)
    stage.pass_time(MINUTE)
    message = stage.sent[0][1]
    assert "Probable cause: payments v2 (deploy)" in message.text
    assert "Roll back payments v2: https://watchbill.test/do/rollback/" in message.text
    assert stage.runs() == []


def test_a_team_that_did_not_say_so_gets_a_button_and_pressing_it_twice_is_once(stage: RollbackStage) -> None:
    bad_deploy(stage)
    stage.pass_time(2 * MINUTE)
    with stage.db.transaction() as tx:
        incident = incidents.incident_by_number(tx, number=1)
        change_id = rollback.ranking_of(tx, incident=incident).suspects[0].change_id  # type: ignore[union-attr]  # there is one
        first = rollback.press(tx, change_id=change_id, incident=incident, caller=stage.caller("bob"), via="test")
        again = rollback.press(tx, change_id=change_id, incident=incident, caller=stage.caller("bob"), via="test")
    assert first.number == again.number
    stage.pass_time(MINUTE)
    with stage.db.transaction() as tx:  # once more would bring v2 back
        incident = incidents.incident_by_number(tx, number=1)
        again = rollback.press(tx, change_id=change_id, incident=incident, caller=stage.caller("bob"), via="test")
    assert (again.number, again.state) == (first.number, "verifying")
    stage.pass_time(4 * MINUTE)
    assert [run.state for run in stage.runs()] == ["recovered"]
    with stage.db.transaction() as tx, pytest.raises(Conflict, match="rollback 1 has put it back already"):
        rollback.press(tx, change_id=change_id, incident=None, caller=stage.caller("bob"), via="test")


def test_one_reply_undoes_what_the_page_named_and_nothing_else(stage: RollbackStage) -> None:
    bad_deploy(stage)
    number = "+4915112345678"
    with stage.db.transaction() as tx:
        person = stage.people["alice"]
        for method in identity.contact_methods(tx, person_ids=[person])[person]:
            identity.remove_contact_method(
                tx, person_id=person, contact_method_id=method.id, actor=ledger.system("test")
            )
        identity.add_contact_method(tx, person_id=person, channel="sms", address=number, actor=ledger.system("test"))
    stage.pass_time(MINUTE)
    assert "Roll back payments v2: reply 'undo 1'." in stage.sent[0][1].short

    def reply(text: str, address: str = number) -> str:
        with stage.db.transaction() as tx:
            return rollback.answer_text(tx, channel="sms", address=address, text=text, via="text message").text

    assert reply("undo 1", "+4915100000000") == "Nothing was sent here about incident 1 in the last day."
    assert reply("undo 1 v9").startswith("Incident 1: no suspect is of version v9; the first is payments v2")
    assert "'undo 12' rolls its probable cause back" in reply("what?")
    with stage.db.transaction() as tx:  # by now another change is first
        incident = incidents.incident_by_number(tx, number=1)
        ranking = rollback.ranking_of(tx, incident=incident)
        assert ranking is not None
        other = msgspec.structs.replace(ranking.suspects[0], change_id=new_id(), version="v7")
        moved = msgspec.structs.replace(ranking, suspects=[other, *ranking.suspects])
        suspect_duties.write(tx, incident=incident, found=moved, looks=9, verdicts={})
    assert reply("Undo 1.").endswith("Reply 'undo 1 v7' to roll it back.")
    assert stage.runs() == []
    assert reply("undo 1 v2") == reply("undo 1 v2!") == "Rollback 1 of payments v2 to v1 is queued."
    assert [(run.mode, run.reason) for run in stage.runs()] == [("button", "by text message")]


def test_a_note_in_a_storm_leaves_it_to_the_person(stage: RollbackStage) -> None:
    """rollback.alone"""
    bad_deploy(stage, automatic=True)
    stage.world.away = True
    stage.pass_time(MINUTE)
    with stage.db.transaction() as tx:
        paging.add_note(tx, number=1, caller=stage.caller("bob"), text="I look at it")
        incident = incidents.incident_by_number(tx, number=1)
        for _ in range(2001):
            ledger.append(
                tx, name="alert.joined", actor=ledger.system("test"), subject=("incident", incident.id),
                incident_id=incident.id,
            )  # fmt: skip
    stage.world.away = False
    stage.pass_time(3 * MINUTE)
    assert stage.runs() == []
    with stage.db.transaction() as tx:
        said = ledger.entries(tx, incident_id=incident.id, name="rollback.not_automatic")
    assert "a person is at work in this incident (noted)" in said[-1].why


def test_two_who_press_at_the_same_moment_begin_one(stage: RollbackStage) -> None:
    bad_deploy(stage)
    stage.runner_is_away = True
    stage.pass_time(MINUTE)

    def press(tx: Tx, who: str) -> int:
        incident = incidents.incident_by_number(tx, number=1)
        top = rollback.ranking_of(tx, incident=incident).suspects[0]  # type: ignore[union-attr]  # there is one
        caller = stage.caller(who)
        return rollback.press(tx, change_id=top.change_id, incident=incident, caller=caller, via="test").number

    def second() -> int:
        with stage.db.transaction() as tx:
            return press(tx, "bob")

    with ThreadPoolExecutor(1) as pool:
        with stage.db.transaction() as tx:
            number = press(tx, "alice")
            other = pool.submit(second)
            with pytest.raises(TimeoutError):  # it waits for what is not committed yet
                other.result(0.2)
        assert other.result(10) == number
    assert [run.number for run in stage.runs()] == [number]


def test_only_the_owning_team_may_press(stage: RollbackStage) -> None:
    bad_deploy(stage)
    stage.pass_time(MINUTE)
    with stage.db.transaction() as tx:
        incident = incidents.incident_by_number(tx, number=1)
        top = rollback.ranking_of(tx, incident=incident).suspects[0]  # type: ignore[union-attr]  # there is one
    with stage.db.transaction() as tx, pytest.raises(Forbidden, match="only team payments"):
        rollback.press(tx, change_id=top.change_id, incident=incident, caller=stage.caller("charlie"), via="test")


@pytest.mark.parametrize("reversible", ["unknown", "no"])
def test_unknown_reversibility_is_a_button_and_irreversible_not_even_that(
    stage: RollbackStage, reversible: str
) -> None:
    """rollback.alone"""
    stage.service("payments", owner="payments", rules=ALONE)
    stage.watch("payments")
    stage.pass_time(MINUTE)
    stage.deploy("payments", "v2", bad=0.4, reversible=reversible)  # type: ignore[arg-type]  # one of the words
    stage.pass_time(4 * MINUTE)
    assert stage.runs() == []
    links = "Roll back payments v2:" in stage.sent[0][1].text
    assert links is (reversible == "unknown")
    assert "rollback.not_automatic" in stage.story()


def test_an_acknowledgement_leaves_it_to_the_person(stage: RollbackStage) -> None:
    """rollback.alone"""
    bad_deploy(stage, automatic=True)
    stage.world.away = True
    stage.pass_time(MINUTE)
    stage.acknowledge("alice")
    stage.world.away = False
    stage.pass_time(3 * MINUTE)
    assert stage.runs() == []
    reasons = [e.why for e in stage.incident().timeline if e.name == "rollback.not_automatic"]
    assert "a person has acknowledged the page" in reasons[-1]


def test_a_manual_deploy_cancels_what_waits(stage: RollbackStage) -> None:
    bad_deploy(stage, automatic=True)
    stage.runner_is_away = True
    stage.pass_time(MINUTE)
    assert [run.state for run in stage.runs()] == ["queued"]
    stage.deploy("payments", "v3", previous="v2")
    stage.runner_is_away = False
    stage.pass_time(3 * MINUTE)
    (run,) = stage.runs()
    assert run.state == "cancelled"
    assert "somebody is at work" in (run.end_reason or "")


def test_the_switch_stops_all_automation_and_what_waits(stage: RollbackStage) -> None:
    """rollback.breaker"""
    bad_deploy(stage, automatic=True)
    stage.runner_is_away = True
    stage.pass_time(MINUTE)
    with stage.db.transaction() as tx:
        rollback.set_switch(tx, automation=False, why="moving house", caller=stage.caller("alice"))
    assert [run.state for run in stage.runs()] == ["cancelled"]
    with stage.db.transaction() as tx, pytest.raises(Forbidden):
        rollback.set_switch(tx, automation=True, why="done", caller=stage.caller("alice"))
    with stage.db.transaction() as tx:
        assert rollback.set_switch(tx, automation=True, why="done", caller=admin()).automation


def test_a_runner_that_dies_leaves_a_lost_run_that_is_never_started_again(stage: RollbackStage) -> None:
    """It is named, and a person decides."""
    bad_deploy(stage, automatic=True)
    stage.executor_takes = timedelta(hours=1)
    stage.pass_time(MINUTE)
    assert [run.state for run in stage.runs()] == ["running"]
    stage.runner_is_away = True
    stage.pass_time(5 * MINUTE)
    (run,) = stage.runs()
    assert run.state == "lost"
    with stage.db.transaction() as tx:
        runner = rollback.authenticate_runner(tx, secret=stage.secret)
    with stage.db.transaction() as tx, pytest.raises(Conflict, match="no longer this runner's"):
        rollback.breathe(tx, runner=runner, run_id=run.id, lease=run.id, output="still here")
    for _ in range(2):  # it is heard, once, and the name stays
        with stage.db.transaction() as tx:
            heard = rollback.finish(
                tx, runner=runner, run_id=run.id, lease=run.id, outcome="succeeded", message="done", exit_code=0
            )
        assert heard.state == "lost"
    said = [entry.why for entry in stage.incident().timeline if entry.name == "rollback.told_late"]
    assert said == ["its runner came back and says: succeeded, done"]


def test_without_a_runner_the_run_ends_by_name(stage: RollbackStage) -> None:
    bad_deploy(stage)
    stage.runner_is_away = True
    stage.pass_time(MINUTE)
    with stage.db.transaction() as tx:
        service = stage.services["payments"]
        rollback.start(
            tx,
            service=catalog.service(tx, id=service),
            environment="production",
            mode="button",
            caller=stage.caller("alice"),
        )
    with stage.db.transaction() as tx, pytest.raises(Conflict, match="is at it already"):
        rollback.start(
            tx,
            service=catalog.service(tx, id=service),
            environment="production",
            mode="button",
            caller=stage.caller("alice"),
        )
    stage.pass_time(3 * MINUTE)
    assert [run.state for run in stage.runs()] == ["no_runner"]


def test_a_rollback_that_does_not_help_is_said_so_and_the_next_suspect_is_ranked_first(stage: RollbackStage) -> None:
    bad_deploy(stage, automatic=True)
    now = stage.clock.now()
    stage.world.outside["payments"] = [(now, now + timedelta(hours=1), 0.3)]
    stage.pass_time(8 * MINUTE)
    (run,) = stage.runs()
    assert run.state == "not_recovered"
    assert "it was not (only) this change" in (run.end_reason or "")
    found = stage.ranking()
    assert found is not None
    assert any(e.kind == "undone" for e in found.suspects[0].evidence)
    assert found.suspects[0].confidence < 0.1


def test_a_change_that_only_traces_place_on_the_path_is_found_and_undone(stage: RollbackStage) -> None:
    stage.service("payments", owner="payments")
    stage.service("vault", owner="payments", rules=ALONE)
    stage.world.depends_on["payments"] = ("vault",)  # what no manifest says
    stage.watch("payments")
    stage.pass_time(MINUTE)
    stage.deploy("vault", "v2", bad=0.4)
    stage.pass_time(6 * MINUTE)
    assert [(run.mode, run.state) for run in stage.runs()] == [("automatic", "recovered")]
    found = stage.ranking()
    assert found is not None
    said = [each.text for each in found.suspects[0].evidence if each.kind == "path"]
    assert said == ["what hurts depends on vault directly, as 200 traces show; no manifest says so"]


def test_an_executor_that_lies_has_failed_and_the_change_stays_the_suspect(stage: RollbackStage) -> None:
    """It says that it is done, and the bad version goes on serving."""
    stage.executor_lies = True
    bad_deploy(stage, automatic=True)
    stage.pass_time(8 * MINUTE)
    (run,) = stage.runs()
    assert run.state == "failed"
    assert "said it was done, but v2 still answers 100% of requests" in (run.end_reason or "")
    found = stage.ranking()
    assert found is not None
    assert found.suspects[0].version == "v2"
    assert not any(each.kind == "undone" for each in found.suspects[0].evidence)
    stage.executor_lies = False
    with stage.db.transaction() as tx:
        told = {one.kind: one.state for one in changes.newest_changes(tx, service_name="payments")}
    assert told == {"deploy": "finished", "rollback": "failed"}
    with stage.db.transaction() as tx:
        incident = incidents.incident_by_number(tx, number=1)
        change_id = found.suspects[0].change_id
        rollback.press(tx, change_id=change_id, incident=incident, caller=stage.caller("bob"), via="test")
    stage.pass_time(5 * MINUTE)
    assert [each.state for each in stage.runs()] == ["failed", "recovered"]


def test_every_deploy_is_judged_while_it_rolls_out_and_told_once(stage: RollbackStage) -> None:
    for name in ("good", "bad"):
        stage.service(name, owner="payments")
    stage.pass_time(MINUTE)
    stage.deploy("good", "v2")
    deployed = stage.deploy("bad", "v2", bad=0.4)
    assert deployed is not None
    stage.pass_time(4 * MINUTE)
    for _ in range(2):
        suspects.judge_rollouts(stage.db, stage.world)
    with stage.db.transaction() as tx:
        kept = {name: suspects.verdicts_of(tx, service_id=stage.services[name]) for name in ("good", "bad")}
        told = ledger.entries(tx, subject=("change", deployed.id))
    assert {name: [one.verdict.answer for one in found] for name, found in kept.items()} == {
        "good": ["no worse"],
        "bad": ["worse"],
    }
    assert [(entry.data["answer"], entry.why) for entry in told if entry.name == "change.judged"] == [
        ("worse", kept["bad"][0].verdict.words)
    ]
    stage.world.away = True
    suspects.judge_rollouts(stage.db, stage.world)
    stage.pass_time(30 * MINUTE)
    stage.world.away = False
    with stage.db.transaction() as tx:
        assert suspects.young_rollouts(tx) == []


def test_a_fourth_service_within_ten_minutes_opens_the_breaker(stage: RollbackStage) -> None:
    """rollback.breaker"""
    for name in ("one", "two", "three", "four"):
        stage.service(name, owner="payments", rules=ALONE)
        stage.watch(name)
    stage.pass_time(MINUTE)
    for name in ("one", "two", "three", "four"):
        stage.deploy(name, "v2", bad=0.4)
    stage.pass_time(4 * MINUTE)
    assert len(stage.runs()) == 3
    said = [e.why for n in range(1, 5) for e in stage.incident(n).timeline if e.name == "rollback.not_automatic"]
    assert any("a shared cause is likelier" in why for why in said)


def test_a_revoked_runner_is_handed_nothing(stage: RollbackStage) -> None:
    """runner.registered"""
    with stage.db.transaction() as tx:
        rollback.revoke_runner(tx, name="test", actor=admin().actor)
    with stage.db.transaction() as tx, pytest.raises(Unauthenticated):
        rollback.authenticate_runner(tx, secret=stage.secret)
