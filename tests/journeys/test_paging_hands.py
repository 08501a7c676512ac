"""What people do with a page: snooze, hand over, reassign, cancel. Each test names the rows it proves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.journeys.stage import Stage
from watchbill.features import paging
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound

MINUTE = timedelta(minutes=1)


def test_a_snooze_is_silent_until_its_time_and_then_a_new_epoch_begins(stage: Stage) -> None:
    """page.acknowledged, page.epoch"""
    stage.fire()
    with stage.acting("alice") as (tx, alice):
        paging.snooze(tx, number=1, caller=alice, until=tx.now + timedelta(hours=3))
    stage.wait(timedelta(hours=2, minutes=59))
    assert stage.addresses() == ["alice"]
    stage.wait(2 * MINUTE)
    assert stage.addresses() == ["alice", "alice"]
    assert stage.page().epoch == 2
    assert "snoozed until now" in stage.page().reason


def test_a_snooze_without_sense_is_refused(stage: Stage) -> None:
    stage.fire()
    for ahead in (timedelta(seconds=5), timedelta(days=8)):
        with pytest.raises(Invalid, match="one minute to seven days"), stage.acting("alice") as (tx, alice):
            paging.snooze(tx, number=1, caller=alice, until=tx.now + ahead)
    with pytest.raises(Forbidden), stage.acting("charlie") as (tx, charlie):
        paging.snooze(tx, number=1, caller=charlie, until=tx.now + timedelta(hours=1))


def test_a_hand_over_is_accepted_by_acknowledging_and_pages_nobody_else(stage: Stage) -> None:
    """page.epoch, page.acknowledged"""
    stage.fire()
    stage.acknowledge("alice")
    with stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="bob@example.org", why="my shift ends")
    stage.work()
    assert stage.addresses() == ["alice", "bob"]
    assert stage.page().acknowledged_by == stage.people["alice"]
    stage.acknowledge("bob")
    page = stage.page()
    assert (page.acknowledged_by, page.epoch, page.handover_to) == (stage.people["bob"], 1, None)
    stage.wait(29 * MINUTE)
    assert stage.addresses() == ["alice", "bob"]
    assert "page.handed_over" in stage.story()


def test_a_hand_over_that_is_not_accepted_begins_a_new_epoch(stage: Stage) -> None:
    """page.epoch"""
    stage.fire()
    stage.acknowledge("alice")
    with stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="bob@example.org")
    stage.wait(5 * MINUTE + timedelta(seconds=1))
    assert stage.addresses() == ["alice", "bob", "alice"]
    assert (stage.page().epoch, stage.page().reason) == (2, "hand-over not accepted in time")


def test_a_declined_hand_over_begins_a_new_epoch_at_once_and_a_withdrawn_one_does_not(stage: Stage) -> None:
    """page.epoch"""
    stage.fire()
    stage.acknowledge("alice")
    with stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="bob@example.org")
    with stage.acting("alice") as (tx, alice):
        kept = paging.decline_hand_over(tx, number=1, caller=alice)
    assert (kept.state, kept.epoch, kept.acknowledged_by) == ("acknowledged", 1, stage.people["alice"])
    with stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="bob@example.org")
    with stage.acting("bob") as (tx, bob):
        paging.decline_hand_over(tx, number=1, caller=bob)
    assert (stage.page().epoch, stage.page().state) == (2, "escalating")


def test_a_hand_over_to_nobody_a_shadow_or_before_an_answer_is_refused(stage: Stage) -> None:
    """page.may_acknowledge"""
    stage.fire()
    with pytest.raises(Conflict, match="nobody has acknowledged"), stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="bob@example.org")
    stage.acknowledge("alice")
    with pytest.raises(NotFound), stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="ghost@example.org")
    with pytest.raises(Forbidden, match="shadow"), stage.acting("alice") as (tx, alice):
        paging.hand_over(tx, number=1, caller=alice, to="eve@example.org")


def test_a_reassigned_page_ends_and_a_new_one_begins_for_the_other_team(stage: Stage) -> None:
    """page.ended"""
    stage.fire()
    with stage.acting("alice") as (tx, alice):
        paging.reassign(tx, number=1, caller=alice, to_team="storefront", why="it is their cache")
    stage.work()
    old, new = (each.page for each in stage.incident().pages)
    assert (old.state, old.ended_because) == ("ended", "reassigned to team storefront: it is their cache")
    assert (new.team_id, new.state) == (stage.teams["storefront"], "escalating")
    assert stage.addresses() == ["alice", "charlie"]
    stage.wait(6 * MINUTE)
    assert "bob" not in stage.addresses()


def test_a_page_given_to_a_person_asks_them_first_and_then_goes_by_the_teams_policy(stage: Stage) -> None:
    """page.ended"""
    stage.fire()
    with stage.acting("alice") as (tx, alice):
        paging.reassign(tx, number=1, caller=alice, to_person="bob@example.org")
    stage.wait(6 * MINUTE)
    assert stage.addresses() == ["alice", "bob", "alice"]
    assert stage.page().policy.steps[0].notify == ("person:bob@example.org",)


def test_a_page_cannot_be_given_to_a_team_that_has_one_or_to_two_at_once(stage: Stage) -> None:
    """incident.pages"""
    stage.fire("a", service="payments")
    stage.fire("b", service="storefront")
    with pytest.raises(Conflict, match="has an open page"), stage.acting("alice") as (tx, alice):
        paging.reassign(tx, number=1, caller=alice, to_team="storefront")
    with pytest.raises(Invalid, match="a team or a person"), stage.acting("alice") as (tx, alice):
        paging.reassign(tx, number=1, caller=alice, to_team="search", to_person="bob@example.org")


def test_cancelling_needs_a_reason_ends_the_page_and_can_be_undone(stage: Stage) -> None:
    """page.ended"""
    stage.fire()
    with pytest.raises(Invalid, match="needs a reason"), stage.acting("alice") as (tx, alice):
        paging.cancel_page(tx, number=1, caller=alice, why=" ")
    with stage.acting("alice") as (tx, alice):
        paging.cancel_page(tx, number=1, caller=alice, why="a rehearsal")
    stage.wait(60 * MINUTE)
    assert stage.addresses() == ["alice"]
    assert (stage.page().state, stage.page().ended_because) == ("ended", "cancelled: a rehearsal")
    assert stage.incident().incident.state == "open"
    with stage.acting("alice") as (tx, alice):
        paging.page_team(tx, number=1, caller=alice, team="payments", why="it was none")
    stage.work()
    assert stage.addresses() == ["alice", "alice"]
    assert stage.page().epoch == 2


def test_with_two_open_pages_the_callers_own_is_meant_and_an_admin_must_name_one(stage: Stage) -> None:
    stage.fire("a", service="payments")
    stage.fire("b", service="storefront")
    with stage.acting("charlie") as (tx, charlie):
        page = paging.snooze(tx, number=1, caller=charlie, until=tx.now + timedelta(hours=1))
    assert page.team_id == stage.teams["storefront"]
    with stage.acting("alice") as (tx, alice):
        page = paging.snooze(tx, number=1, caller=alice, until=tx.now + timedelta(hours=1), team="payments")
    assert page.team_id == stage.teams["payments"]
