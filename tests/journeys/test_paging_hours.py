"""Holds, conditions of steps, and whom steps name. Each test names the rows of docs/concepts/semantics.md it proves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journeys.stage import ACTOR, Stage
from watchbill.features import catalog, identity, paging

MINUTE = timedelta(minutes=1)
SATURDAY_NIGHT = datetime(2026, 3, 7, 2, 0, tzinfo=UTC)
HELD: dict[str, Any] = {
    "timeZone": "Europe/Berlin",
    "escalation": {"hold": {"tiers": [3, 4]}, "officeHours": [{"days": ["weekdays"], "from": "09:00", "to": "17:00"}]},
}


@pytest.fixture
def night(stage: Stage) -> Stage:
    """Saturday, 3 o'clock in Berlin; team search (frank, gina) needs no watch at night for tiers 3 and 4."""
    stage.team("search", "frank", "gina", **HELD)
    stage.service("search", owner="search", tier=3)
    stage.service("suggest", owner="search", tier=4, depends_on=("search",))
    stage.service("index", owner="search", tier=1, depends_on=("search",))
    stage.clock.move_to(SATURDAY_NIGHT)
    return stage


def test_a_page_of_an_office_hours_service_is_held_until_the_next_working_day_in_the_policys_zone(night: Stage) -> None:
    """page.held, page.zone"""
    night.fire(service="search")
    assert night.addresses() == []
    page = night.page()
    assert (page.state, page.due_at) == ("held", datetime(2026, 3, 9, 8, 0, tzinfo=UTC))
    assert "needs no watch at night" in (page.held_because or "")
    assert {"page.opened", "page.held"} <= set(night.story())
    night.wait(timedelta(days=2, hours=6) - MINUTE)
    assert night.addresses() == []
    night.wait(2 * MINUTE)
    assert night.addresses() == ["frank"]
    assert (night.page().state, night.page().epoch) == ("escalating", 1)
    assert "page.released" in night.story()


def test_a_held_page_is_decided_again_when_a_service_that_matters_more_is_harmed(night: Stage) -> None:
    """page.held"""
    night.fire("a", service="search")
    night.fire("b", service="index")
    assert night.addresses() == ["frank"]
    assert night.page().state == "escalating"
    assert "page.released" in night.story()


def test_a_held_page_is_decided_again_when_severity_rises_and_stays_held_when_it_does_not_matter(night: Stage) -> None:
    """page.held"""
    night.fire("a", service="search")
    night.fire("b", service="suggest")
    assert night.page().state == "held"
    with night.acting("frank") as (tx, frank):
        paging.declare(tx, number=1, caller=frank)
    assert night.page().state == "held", "declared, sev3 is still milder than sev2"
    night.fire("c", service="index", declares=True)
    assert night.page().state == "escalating"


def test_what_a_service_says_itself_counts_before_its_tier(night: Stage) -> None:
    """page.held"""
    night.service("billing", owner="search", tier=2, watch="office-hours")
    night.service("login", owner="search", tier=4, watch="always")
    night.fire("a", service="billing", title="a")
    assert night.page(1).state == "held"
    night.fire("b", service="login", title="b")
    assert night.page(2).state == "escalating"


def test_a_held_page_can_be_answered_early_and_ends_with_its_incident(night: Stage) -> None:
    """page.held, page.ended"""
    night.fire(service="search")
    night.acknowledge("frank")
    assert night.page().state == "acknowledged"
    night.recover()
    night.wait(timedelta(days=3))
    assert night.addresses() == []


def test_an_acknowledgement_that_expires_at_night_is_asked_again_in_the_morning(night: Stage) -> None:
    """page.held, page.epoch"""
    night.fire(service="search")
    night.acknowledge("frank")
    night.wait(31 * MINUTE)
    assert night.addresses() == []
    assert (night.page().state, night.page().epoch) == ("held", 2)


def test_in_office_hours_nothing_is_held(night: Stage) -> None:
    """page.held"""
    night.clock.move_to(datetime(2026, 3, 9, 9, 0, tzinfo=UTC))
    night.fire(service="search")
    assert night.addresses() == ["gina"], "the shift changed an hour ago"


def test_a_step_out_of_its_hours_or_for_other_tiers_is_skipped_and_said_so(night: Stage) -> None:
    """page.zone, page.escalating"""
    steps = [
        {"notify": ["leads"], "during": "office-hours"},
        {"notify": ["person:charlie@example.org"], "tiers": [1]},
        {"notify": ["person:bob@example.org"], "during": [{"days": ["sat"], "from": "02:30", "to": "03:30"}]},
    ]
    night.team("video", "hugo", timeZone="Europe/Berlin", escalation={"steps": steps, "repeatLast": 1})
    night.service("video", owner="video", tier=2)
    night.fire(service="video")
    assert night.addresses() == ["bob"]
    skipped = [e.why for e in night.incident().timeline if e.name == "page.step_skipped"]
    assert "it is Sat 03:00 in Europe/Berlin, outside office hours" in skipped[0]
    assert "only for tier 1, this is tier 2" in skipped[1]
    night.wait(6 * MINUTE)
    assert night.addresses() == ["bob", "bob"]


def test_a_step_calls_until_somebody_answers(stage: Stage) -> None:
    """page.escalating, page.acknowledged"""
    steps = [{"notify": ["on-call"], "wait": "10m", "callEvery": "2m"}, {"notify": ["team"], "wait": "10m"}]
    stage.team("video", "hugo", "ines", escalation={"steps": steps})
    stage.service("video", owner="video")
    stage.fire(service="video")
    stage.wait(9 * MINUTE)
    assert stage.addresses() == ["hugo"] * 5
    stage.wait(4 * MINUTE)
    assert stage.addresses()[5:] == ["hugo", "ines", "hugo", "hugo"], "it goes on while the next step is taken"
    stage.acknowledge("ines")
    stage.wait(29 * MINUTE)
    assert len(stage.sent) == 9
    assert stage.story().count("page.called_again") == 6


def test_round_robin_takes_turns_over_pages_and_passes_over_who_cannot_be_reached(stage: Stage) -> None:
    """page.escalating"""
    stage.team("video", "hugo", "ines", "jan", escalation={"steps": [{"notify": ["round-robin"], "wait": "1h"}]})
    for name in ("v1", "v2", "v3", "v4"):
        stage.service(name, owner="video")
        stage.fire(name, service=name)
        if name == "v1":
            _silence_person(stage, "ines")
    assert stage.addresses() == ["hugo", "jan", "jan", "hugo"]


def test_a_step_names_another_team_and_a_channel_of_its_own(stage: Stage) -> None:
    """page.escalating"""
    team_id = stage.team("video", "hugo", escalation={"steps": [{"notify": ["channel:room", "team:storefront"]}]})
    with stage.db.transaction() as tx:
        catalog.add_team_channel(
            tx, team_id=team_id, name="room", channel="webhook", address="https://chat.example.org/room", actor=ACTOR
        )
    stage.service("video", owner="video")
    stage.fire(service="video")
    assert sorted(message.address for _, message in stage.sent) == [
        "charlie@example.org",
        "https://chat.example.org/room",
    ]
    entry = next(e for e in stage.incident().timeline if e.name == "page.step_taken")
    assert entry.data["channels"] == ["room"]


def test_a_channel_that_is_not_there_is_nobody_and_is_skipped(stage: Stage) -> None:
    """page.escalating"""
    stage.team("video", "hugo", escalation={"steps": [{"notify": ["channel:gone"]}, {"notify": ["on-call"]}]})
    stage.service("video", owner="video")
    stage.fire(service="video")
    assert stage.addresses() == ["hugo"]
    assert "page.step_skipped" in stage.story()


def _silence_person(stage: Stage, login: str) -> None:
    with stage.db.transaction() as tx:
        for method in identity.contact_methods(tx, person_ids=[stage.people[login]])[stage.people[login]]:
            identity.remove_contact_method(tx, person_id=stage.people[login], contact_method_id=method.id, actor=ACTOR)
