"""Each test names the rows of docs/concepts/semantics.md that it proves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.journeys.stage import Stage
from watchbill.features import alerts, paging
from watchbill.kernel.errors import Conflict, Forbidden

MINUTE = timedelta(minutes=1)


def test_an_alert_pages_the_owner_of_its_service_at_once(stage: Stage) -> None:
    """incident.suspected, alert.firing, paged.owner"""
    stage.fire()
    assert stage.addresses() == ["alice"]
    assert stage.incident().incident.phase == "suspected"
    assert stage.incident().alerts[0].state == "firing"
    assert "page.step_taken" in stage.story()


def test_firing_again_refreshes_and_pages_nobody_new(stage: Stage) -> None:
    """alert.identity, alert.refreshed"""
    stage.fire()
    stage.fire(title="high-errors, worse")
    assert stage.addresses() == ["alice"]
    assert stage.incident().alerts[0].title == "high-errors, worse"
    assert len(stage.incident().pages) == 1


def test_nothing_is_sent_after_the_acknowledgement(stage: Stage) -> None:
    """page.acknowledged"""
    stage.fire()
    stage.acknowledge("alice")
    stage.wait(29 * MINUTE)
    assert stage.addresses() == ["alice"]
    page = stage.page()
    assert page.state == "acknowledged"
    assert page.acknowledged_by == stage.people["alice"]


def test_an_acknowledgement_expires_and_paging_starts_again_from_the_current_on_call(stage: Stage) -> None:
    """page.epoch"""
    stage.fire()
    stage.acknowledge("alice")
    stage.wait(31 * MINUTE)
    assert stage.addresses() == ["alice", "alice"]
    assert stage.page().epoch == 2
    assert "not resolved" in stage.page().reason


def test_a_member_who_was_not_notified_may_acknowledge_and_an_outsider_or_a_shadow_may_not(stage: Stage) -> None:
    """page.may_acknowledge"""
    stage.fire()
    for login in ("charlie", "eve", "dana"):
        with pytest.raises(Forbidden):
            stage.acknowledge(login)
    stage.acknowledge("bob")
    assert stage.page().acknowledged_by == stage.people["bob"]


def test_acknowledging_twice_is_one_acknowledgement(stage: Stage) -> None:
    stage.fire()
    stage.acknowledge("alice")
    stage.acknowledge("bob")
    assert stage.page().acknowledged_by == stage.people["alice"]
    assert stage.story().count("page.acknowledged") == 1


def test_an_undeclared_incident_resolves_itself_when_its_alerts_stay_resolved(stage: Stage) -> None:
    """alert.resolved, incident.settles"""
    stage.fire()
    stage.acknowledge("alice")
    stage.recover()
    assert stage.incident().incident.state == "open"
    stage.wait(2 * MINUTE)
    assert stage.incident().incident.state == "resolved"
    assert stage.page().state == "ended"
    stage.wait(120 * MINUTE)
    assert stage.addresses() == ["alice"]


def test_an_alert_that_fires_while_settling_keeps_the_incident_open(stage: Stage) -> None:
    stage.fire()
    stage.recover()
    stage.wait(MINUTE)
    stage.fire()
    stage.wait(5 * MINUTE)
    assert stage.incident().incident.state == "open"


def test_a_declared_incident_needs_a_person(stage: Stage) -> None:
    """incident.declared"""
    stage.fire()
    alice = stage.caller("alice")
    with stage.db.transaction() as tx:
        paging.declare(tx, number=1, caller=alice)
    stage.recover()
    stage.wait(60 * MINUTE)
    assert stage.incident().incident.state == "open"
    stage.resolve("alice")
    assert stage.incident().incident.state == "resolved"


def test_a_page_tier_burn_of_a_tier_1_operation_declares_the_incident(stage: Stage) -> None:
    """incident.declared"""
    stage.service("ledger", owner="payments", tier=1)
    stage.fire("burn", service="ledger", declares=True)
    incident = stage.incident().incident
    assert incident.phase == "declared"
    assert incident.severity == "sev1"


def test_an_incident_reopens_within_the_window_and_pages_a_new_epoch(stage: Stage) -> None:
    """incident.reopens, page.epoch"""
    stage.fire()
    stage.acknowledge("alice")
    stage.recover()
    stage.wait(3 * MINUTE)
    stage.fire()
    assert stage.incident().incident.state == "open"
    assert stage.page().epoch == 2
    assert stage.addresses() == ["alice", "alice"]
    assert "incident.reopened" in stage.story()


def test_after_the_window_a_new_incident_opens(stage: Stage) -> None:
    """alert.episode"""
    stage.fire()
    stage.recover()
    stage.wait(45 * MINUTE)
    stage.fire()
    assert stage.incident(2).incident.state == "open"


def test_a_person_resolves_and_the_still_firing_source_pages_again_after_half_an_hour(stage: Stage) -> None:
    """alert.held"""
    stage.fire()
    stage.resolve("alice")
    assert stage.incident().alerts[0].state == "held"
    stage.wait(10 * MINUTE)
    stage.fire()
    assert stage.addresses() == ["alice"]
    stage.wait(21 * MINUTE)
    assert stage.addresses() == ["alice", "alice"]
    assert stage.incident().incident.state == "open"
    assert "still firing" in stage.page().reason


def test_a_person_resolves_and_a_silent_source_is_believed(stage: Stage) -> None:
    """alert.held"""
    stage.fire()
    stage.resolve("alice")
    stage.wait(31 * MINUTE)
    assert stage.incident().alerts[0].state == "resolved"
    assert stage.addresses() == ["alice"]


def test_an_expired_alert_is_stale_and_never_stops_an_unacknowledged_page(stage: Stage) -> None:
    """alert.stale"""
    stage.beat()
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    stage.wait(6 * MINUTE)
    assert stage.incident().alerts[0].state == "stale"
    assert stage.incident().incident.state == "open"
    assert stage.addresses() == ["alice", "bob"]


def test_a_stale_alert_of_an_acknowledged_incident_expires_after_a_day(stage: Stage) -> None:
    """alert.expired"""
    began = stage.clock.now()
    stage.beat()
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    while stage.incident().incident.state == "open" and stage.clock.now() < began + timedelta(hours=27):
        stage.acknowledge("alice")
        stage.wait(29 * MINUTE)
    detail = stage.incident()
    assert detail.alerts[0].state == "resolved"
    assert detail.alerts[0].resolved_because == "expired"
    assert detail.incident.state == "resolved"


def test_our_own_downtime_does_not_make_an_alert_stale(stage: Stage) -> None:
    """alert.stale"""
    stage.beat()
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    stage.acknowledge("alice")
    stage.wait(10 * MINUTE, intake=False)
    assert stage.incident().alerts[0].state == "firing"
    stage.beat(after_absence=True)
    stage.wait(3 * MINUTE)
    assert stage.incident().alerts[0].state == "firing"
    stage.wait(3 * MINUTE)
    assert stage.incident().alerts[0].state == "stale"


def test_a_resolve_for_nothing_is_an_accepted_no_op(stage: Stage) -> None:
    """alert.none_resolved"""
    accepted = stage.post(alerts.Event(identity="x", action="resolve", title="x"))
    assert accepted[0].outcome == "ignored"


def test_an_older_resolve_never_closes_a_newer_trigger(stage: Stage) -> None:
    """alert.order"""
    now = stage.clock.now()
    stage.fire(occurred_at=now)
    late = alerts.Event(identity="high-errors", action="resolve", title="x", occurred_at=now - MINUTE)
    assert stage.post(late)[0].outcome == "ignored"
    assert stage.incident().alerts[0].state == "firing"


def test_the_same_delivery_twice_counts_once(stage: Stage) -> None:
    """alert.delivery"""
    event = alerts.Event(identity="a", action="trigger", title="a", service="payments", delivery_id="d1")
    assert [a.outcome for a in stage.post(event, event)] == ["opened", "duplicate"]
    assert stage.post(event)[0].outcome == "duplicate"


def test_an_alert_that_fits_no_service_goes_to_the_fallback_team_as_unowned(stage: Stage) -> None:
    """paged.unowned"""
    stage.fire(service="nobody-knows-this")
    assert stage.addresses() == ["dana"]
    assert stage.incident().incident.unowned


def test_urgency_ticket_is_kept_and_shown_but_pages_nobody(stage: Stage) -> None:
    """page.ticket, alert.muted"""
    stage.fire(urgency="ticket")
    assert stage.addresses() == []
    with stage.db.transaction() as tx:
        kept = alerts.open_alerts(tx, team_ids=[stage.teams["payments"]])
    assert "ticket" in (kept[0].muted_because or "")


def test_a_ticket_that_becomes_a_page_pages(stage: Stage) -> None:
    """alert.muted"""
    stage.fire(urgency="ticket")
    stage.fire(urgency="page")
    assert stage.addresses() == ["alice"]


def test_only_production_pages(stage: Stage) -> None:
    """alert.muted"""
    stage.fire(environment="staging")
    assert stage.addresses() == []


def test_one_incident_one_page_per_team(stage: Stage) -> None:
    """incident.pages"""
    stage.fire("a", service="payments")
    stage.fire("b", service="payments")
    stage.fire("c", service="storefront")
    assert stage.addresses() == ["alice", "charlie"]
    assert len(stage.incident().pages) == 2


def test_another_service_joining_an_acknowledged_page_begins_a_new_epoch(stage: Stage) -> None:
    """page.epoch"""
    stage.service("refunds", owner="payments", depends_on=("payments",))
    stage.fire("a", service="payments")
    stage.acknowledge("alice")
    stage.fire("b", service="refunds")
    assert stage.page().epoch == 2
    assert stage.addresses() == ["alice", "alice"]


def test_a_worse_severity_begins_a_new_epoch(stage: Stage) -> None:
    """page.epoch"""
    stage.service("ledger", owner="payments", tier=1, depends_on=("payments",))
    stage.fire("a", service="payments")
    stage.acknowledge("alice")
    stage.fire("b", service="ledger", declares=True)
    assert stage.page().epoch == 2
    assert "severity raised" in stage.page().reason


def test_acknowledging_an_ended_page_says_so(stage: Stage) -> None:
    stage.fire()
    page = stage.page()
    stage.resolve("alice")
    caller = stage.caller("alice")
    with pytest.raises(Conflict), stage.db.transaction() as tx:
        paging.acknowledge_page(tx, page_id=page.id, caller=caller)


def test_a_week_of_alerts_loses_no_page(stage: Stage) -> None:
    """Eight days, an alert every five hours, answered by whoever is on call after a few minutes."""
    for number in range(1, 39):
        stage.fire(f"alert-{number}")
        sent = len(stage.sent)
        assert sent >= number
        stage.wait(4 * MINUTE)
        newest = max(i.incident.number for i in _open(stage))
        stage.acknowledge(stage.addresses()[-1], newest)
        stage.recover(f"alert-{number}")
        stage.wait(timedelta(hours=5))
    assert _open(stage) == []
    assert {"alice", "bob"} == set(stage.addresses())


def _open(stage: Stage) -> list[paging.IncidentLine]:
    with stage.db.transaction() as tx:
        return paging.incident_list(tx, state="open")


def test_one_teams_answer_does_not_silence_the_other_teams_page(stage: Stage) -> None:
    """incident.acknowledge"""
    stage.fire("a", service="payments")
    stage.fire("b", service="storefront")
    stage.acknowledge("alice")
    states = {page.page.team_id: page.page.state for page in stage.incident().pages}
    assert states == {stage.teams["payments"]: "acknowledged", stage.teams["storefront"]: "escalating"}
    stage.acknowledge("alice")
    assert {page.page.state for page in stage.incident().pages} == {"acknowledged"}
