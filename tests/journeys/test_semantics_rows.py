"""Rows of docs/concepts/semantics.md that no other journey proves; each test names its row."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.journeys.stage import Stage
from watchbill.features import identity, paging
from watchbill.features.identity.store import contact_method
from watchbill.manifest.bundle import File
from watchbill.manifest.check import validate

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("comes", ["fires", "resolves"])
def test_a_stale_alert_follows_its_source_again_when_it_comes_back(stage: Stage, comes: str) -> None:
    """alert.stale.back"""
    stage.beat()
    stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
    stage.wait(6 * MINUTE)
    assert stage.incident().alerts[0].state == "stale"
    if comes == "fires":
        stage.fire(expires_at=stage.clock.now() + 4 * MINUTE)
        assert stage.incident().alerts[0].state == "firing"
    else:
        stage.recover()
        assert stage.incident().alerts[0].state == "resolved"
    assert len(stage.incident().alerts) == 1, "it is still the same episode"


def test_acknowledging_one_teams_page_leaves_the_other_teams_page_and_resolving_ends_both(stage: Stage) -> None:
    """incident.acknowledge"""
    stage.fire("a", service="payments")
    stage.fire("b", service="storefront")
    number = stage.incident().incident.number
    with stage.db.transaction() as tx:
        mine = next(each.page for each in stage.incident().pages if each.page.team_id == stage.teams["payments"])
        paging.acknowledge_page(tx, page_id=mine.id, caller=stage.caller("alice"), via="link")
    states = {detail.page.team_id: detail.page.state for detail in stage.incident().pages}
    assert states == {stage.teams["payments"]: "acknowledged", stage.teams["storefront"]: "escalating"}
    with stage.db.transaction() as tx:
        paging.resolve_incident(tx, number=number, caller=stage.caller("alice"), resolution="mended")
    assert {detail.page.state for detail in stage.incident().pages} == {"ended"}


def test_every_notification_carries_the_epoch_of_its_page(stage: Stage) -> None:
    """page.epoch.carried"""
    stage.fire()
    stage.acknowledge("alice")
    stage.wait(31 * MINUTE)
    notifications = stage.incident().pages[0].notifications
    assert [notification.epoch for notification in notifications] == [1, 2]
    assert [message.payload["epoch"] for _, message in stage.sent] == [1, 2]


@pytest.mark.parametrize("way", ["link", "api"])
def test_whichever_way_somebody_acknowledges_it_is_the_same_entry(stage: Stage, way: str) -> None:
    """page.one_use_case"""
    stage.fire()
    with stage.db.transaction() as tx:
        caller = stage.caller("alice")
        if way == "link":
            paging.acknowledge_page(tx, page_id=stage.page().id, caller=caller, via="link")
        else:
            paging.acknowledge_incident(tx, number=stage.incident().incident.number, caller=caller)
    entries = [entry for entry in stage.incident().timeline if entry.name == "page.acknowledged"]
    assert [entry.actor.id for entry in entries] == [str(stage.people["alice"])]
    assert stage.page().state == "acknowledged"


def test_an_unverified_contact_method_is_still_tried(stage: Stage) -> None:
    """people.unverified"""
    with stage.db.transaction() as tx:
        tx.execute(sa.update(contact_method).values(verified_at=None))
        methods = identity.contact_methods(tx, person_ids=[stage.people["alice"]])[stage.people["alice"]]
    assert methods[0].verified_at is None
    stage.fire()
    assert stage.addresses() == ["alice"]


@pytest.mark.parametrize("key", ["phone", "email", "contactMethods"])
def test_a_manifest_has_no_place_for_a_phone_number(key: str) -> None:
    """people.private"""
    text = f"""apiVersion: watchbill/v1
kind: Team
metadata: {{name: payments}}
spec:
  members: [{{login: alice, {key}: "+49 30 901820"}}]
"""
    _, problems = validate([File(path="watchbill.yaml", text=text, named=True)])
    assert [problem.field for problem in problems if problem.severity == "error"] == [f"spec.members[0].{key}"]
