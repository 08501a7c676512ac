"""Two incidents that are one trouble. Each test names the rows of docs/concepts/semantics.md that it proves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.journeys.stage import Stage
from watchbill.features import paging
from watchbill.kernel.errors import Conflict, Invalid

MINUTE = timedelta(minutes=1)


@pytest.fixture
def two(stage: Stage) -> Stage:
    """Incident 1 of payments, and incident 2 of search, which nobody knew to be the same."""
    stage.team("search", "frank")
    stage.service("search", owner="search")
    stage.fire("a", service="payments")
    stage.fire("b", service="search")
    return stage


def test_a_merge_moves_alerts_and_pages_and_keeps_both_timelines(two: Stage) -> None:
    """incident.merge, incident.pages"""
    _merge(two, "dana", 2, 1)
    detail = two.incident(1)
    assert sorted(alert.identity for alert in detail.alerts) == ["a", "b"]
    assert {each.page.team_id for each in detail.pages} == {two.teams["payments"], two.teams["search"]}
    assert two.story(1).count("incident.opened") == 2
    assert {"incident.merged", "incident.absorbed"} <= set(two.story(1))
    merged = two.incident(2)
    assert (merged.incident.state, merged.incident.resolution) == ("resolved", "merged into incident 1")
    assert "page.step_taken" in two.story(2)
    two.wait(6 * MINUTE)
    assert {"alice", "bob", "frank"} <= set(two.addresses())


def test_the_second_page_of_a_team_ends_and_an_answered_one_is_asked_again(two: Stage) -> None:
    """incident.merge, page.epoch"""
    two.service("ledger", owner="payments")
    two.fire("c", service="ledger")
    assert two.addresses() == ["alice", "frank", "alice"]
    two.acknowledge("alice", 1)
    _merge(two, "dana", 3, 1)
    assert two.incident(3).pages[0].page.ended_because == "merged into incident 1"
    assert (two.page(1).epoch, two.page(1).state) == (2, "escalating")
    assert "another service joined" in two.page(1).reason


def test_whoever_merges_into_their_own_answered_incident_is_not_asked_again(two: Stage) -> None:
    """incident.merge"""
    two.service("ledger", owner="payments")
    two.fire("c", service="ledger")
    two.acknowledge("alice", 1)
    _merge(two, "alice", 3, 1)
    assert (two.page(1).epoch, two.page(1).state) == (1, "acknowledged")


def test_a_merge_takes_the_worse_severity_and_the_declaration_with_it(two: Stage) -> None:
    """incident.merge, incident.severity"""
    with two.acting("frank") as (tx, frank):
        paging.declare(tx, number=2, caller=frank)
    _merge(two, "dana", 2, 1)
    incident = two.incident(1).incident
    assert (incident.phase, incident.severity) == ("declared", "sev2")


def test_unmerging_brings_back_what_moved_and_pages_go_on(two: Stage) -> None:
    """incident.merge"""
    _merge(two, "dana", 2, 1)
    with two.acting("dana") as (tx, dana):
        paging.unmerge_incident(tx, number=2, caller=dana, why="two troubles after all")
    assert [alert.identity for alert in two.incident(1).alerts] == ["a"]
    back = two.incident(2)
    assert (back.incident.state, back.incident.merged_into) == ("open", None)
    assert [alert.identity for alert in back.alerts] == ["b"]
    assert back.pages[-1].page.state == "escalating"
    assert two.incident(1).service_ids == [two.services["payments"]]
    before = two.addresses().count("frank")
    two.wait(6 * MINUTE)
    assert two.addresses().count("frank") > before
    with pytest.raises(Conflict, match="was not merged"), two.acting("dana") as (tx, dana):
        paging.unmerge_incident(tx, number=2, caller=dana)


def test_a_merge_into_itself_or_with_a_resolved_one_is_refused_and_a_merged_one_is_not_reopened(two: Stage) -> None:
    """incident.merge"""
    with pytest.raises(Invalid, match="itself"):
        _merge(two, "dana", 1, 1)
    _merge(two, "dana", 2, 1)
    with pytest.raises(Conflict, match="resolved"):
        _merge(two, "dana", 2, 1)
    with pytest.raises(Conflict, match="part of another"), two.acting("dana") as (tx, dana):
        paging.reopen_incident(tx, number=2, caller=dana)


def _merge(stage: Stage, login: str, number: int, into: int) -> None:
    with stage.acting(login) as (tx, caller):
        paging.merge_incident(tx, number=number, into=into, caller=caller)
    stage.work()
