"""Each test names the rows of docs/concepts/semantics.md that it proves."""

from __future__ import annotations

from datetime import timedelta

from tests.journeys.stage import Stage
from watchbill.features import identity, paging
from watchbill.features.paging import SendOutcome

MINUTE = timedelta(minutes=1)


def test_an_unanswered_page_walks_the_steps_repeats_the_last_and_ends_at_the_fallback_for_ever(stage: Stage) -> None:
    """page.escalating"""
    stage.fire()
    stage.wait(60 * MINUTE)
    people = stage.addresses()
    assert people[0] == "alice"
    assert people[1] == "bob"
    assert sorted(people[2:4]) == ["alice", "bob"]
    assert "dana" in people[4:]
    before = people.count("dana")
    stage.wait(60 * MINUTE)
    assert stage.addresses().count("dana") > before
    assert "eve" not in people


def test_a_step_nobody_can_be_reached_on_is_skipped_at_once_and_said_so(stage: Stage) -> None:
    """page.escalating"""
    stage.team(
        "search",
        "frank",
        escalation={"steps": [{"notify": ["person:ghost@example.org"], "wait": "5m"}, {"notify": ["on-call"]}]},
    )
    stage.service("search", owner="search")
    stage.fire(service="search")
    assert stage.addresses() == ["frank"]
    assert "page.step_skipped" in stage.story()


def test_with_nobody_reachable_anywhere_the_fallback_is_tried_for_ever(stage: Stage) -> None:
    """page.zone, page.escalating"""
    with stage.db.transaction() as tx:
        for login in ("alice", "bob", "dana"):
            for method in identity.contact_methods(tx, person_ids=[stage.people[login]])[stage.people[login]]:
                identity.remove_contact_method(
                    tx,
                    person_id=stage.people[login],
                    contact_method_id=method.id,
                    actor=stage.caller(login).actor,
                )
    stage.fire()
    stage.wait(10 * MINUTE)
    assert stage.page().state == "escalating"
    assert "page.nobody_reachable" in stage.story()
    with stage.db.transaction() as tx:
        identity.add_contact_method(
            tx,
            person_id=stage.people["dana"],
            channel="email",
            address="dana@home.example",
            actor=stage.caller("dana").actor,
        )
    stage.wait(2 * MINUTE)
    assert "dana" in stage.addresses()


def test_a_permanent_failure_goes_to_the_next_channel_at_once(stage: Stage) -> None:
    """notification.failed"""
    _second_method(stage, "alice", "https://hooks.example.org/alice")
    stage.broken["alice@example.org"] = SendOutcome(sent=False, permanent=True, error="550 no such user")
    stage.fire()
    assert [m.address for _, m in stage.sent] == ["https://hooks.example.org/alice"]
    assert "notification.failed" in stage.story()


def test_the_second_method_follows_after_a_minute_unless_acknowledged(stage: Stage) -> None:
    _second_method(stage, "alice", "https://hooks.example.org/alice")
    stage.fire()
    stage.wait(2 * MINUTE)
    assert len(stage.sent) == 2
    stage.fire("other", service="storefront")
    stage.acknowledge("charlie")
    assert stage.addresses().count("charlie") == 1


def test_all_channels_failing_advances_the_step_at_once(stage: Stage) -> None:
    """notification.failed"""
    stage.broken["alice@example.org"] = SendOutcome(sent=False, permanent=True, error="gone")
    stage.fire()
    assert stage.addresses() == ["bob"]
    assert "page.step_unreachable" in stage.story()


def test_a_temporary_failure_is_tried_again_with_the_same_key(stage: Stage) -> None:
    """notification.queued"""
    stage.broken["alice@example.org"] = SendOutcome(sent=False, error="451 try later")
    stage.fire()
    assert stage.addresses() == []
    del stage.broken["alice@example.org"]
    stage.wait(timedelta(seconds=10))
    assert stage.addresses() == ["alice"]
    assert stage.story().count("notification.delayed") == 1


def test_the_policy_is_a_snapshot(stage: Stage) -> None:
    stage.fire()
    before = stage.page().policy
    assert [step.notify for step in before.steps] == [("on-call",), ("next-on-call",), ("team",)]


def test_a_test_page_reaches_the_on_call(stage: Stage) -> None:
    caller = stage.caller("alice")
    with stage.db.transaction() as tx:
        paging.page_team_for_test(tx, team_id=stage.teams["payments"], caller=caller)
    stage.work()
    assert stage.addresses() == ["alice"]


def _second_method(stage: Stage, login: str, url: str) -> None:
    with stage.db.transaction() as tx:
        identity.add_contact_method(
            tx, person_id=stage.people[login], channel="webhook", address=url, actor=stage.caller(login).actor
        )
