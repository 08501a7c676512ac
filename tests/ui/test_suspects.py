"""Whoever is paged sees the probable cause with its chart, and undoes it with two clicks; a switch stops all."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from tests.ui import seed
from tests.ui.conftest import SignIn
from watchbill.features import alerts, changes, incidents, rollback, slo
from watchbill.features.changes import ChangeReport
from watchbill.features.rollback import store as rollback_store
from watchbill.features.suspects import Point, store
from watchbill.features.suspects import duties as ranking
from watchbill.features.suspects.logic import rank
from watchbill.features.suspects.reads import candidates_of
from watchbill.features.suspects.verdict import judge_before_after, short
from watchbill.runtime.db import Database, Tx


def _open_incident(tx: Tx) -> incidents.Incident:
    return incidents.incident_list(tx, state="open", limit=1)[0]


@pytest.fixture
def suspected(shop: Database) -> Database:
    """Payments burns since v84 came; the change is measured to be worse, and nobody said that it may act alone."""
    with shop.transaction() as tx:
        rules = '{"rollback": {"shell": {"command": ["./deploy.sh", "{previous_version}"]}}}'
        tx.execute(sa.text("UPDATE service SET spec = spec || CAST(:rules AS jsonb)"), {"rules": rules})
        integration = alerts.builtin_integration(tx, name="events")
        report = ChangeReport(
            service="payments",
            state="finished",
            version="v84",
            previous_version="v83",
            reversible="yes",
            occurred_at=tx.now - timedelta(minutes=9),
        )
        deployed = changes.record_change(
            tx, report=report, integration_id=integration.id, source="ci", actor=seed.SEED
        ).change
    seed.fire(shop, "payments-burn", "payments", "Payments API: card charges burn their error budget")
    with shop.transaction() as tx:
        incident = _open_incident(tx)
        points = [
            Point(
                at=deployed.started_at + timedelta(minutes=minute),
                version="v83" if minute < 0 else "v84",
                total=600,
                bad=3 if minute < 0 else 240,
                slow=30,
                p50_ms=20,
            )
            for minute in range(-30, 9)
        ]
        verdict = judge_before_after(points[:30], points[30:], canary="v84", control="v83")
        candidates = candidates_of(tx, incident=incident, onset_at=tx.now)
        found = rank(
            candidates,
            incident_id=incident.id,
            onset_at=tx.now,
            now=tx.now,
            comparisons={deployed.id: short(verdict)},
        )
        ranking.write(tx, incident=incident, found=found, looks=1, verdicts={deployed.id: verdict})
        assert deployed.service_id is not None
        store.keep_verdict(
            tx, id=deployed.id, service_id=deployed.service_id, environment="production", found=verdict
        )
    return shop


def test_the_probable_cause_is_shown_with_its_chart_and_undone_from_there(suspected: Database, sign_in: SignIn) -> None:
    with suspected.transaction() as tx:
        number = _open_incident(tx).number
    page = sign_in("alice@example.org", to=f"/incidents/{number}")
    card = page.locator("section", has=page.get_by_role("heading", name="Probable cause"))
    expect(card).to_contain_text("payments v84 (deploy)")
    expect(card).to_contain_text("v84 is worse than v83: 40% failed against 0.5%")
    expect(card.locator("canvas").first).to_be_visible()
    card.get_by_role("button", name="Roll back payments v84").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("goes from v84 to v83, by shell on a runner of its team")
    expect(dialog).to_contain_text("was never exercised here")
    dialog.get_by_role("button", name="Roll back").click()
    expect(card).to_contain_text("Rollback 1 payments to v83")
    expect(page.locator(".timeline li").first).to_contain_text("asked for a rollback of payments to v83")
    card.get_by_role("button", name="Stop it").click()
    expect(card).to_contain_text("Cancelled")


def test_the_service_shows_how_its_rollout_is_judged_and_the_incident_how_recovery_is(
    suspected: Database, sign_in: SignIn
) -> None:
    with suspected.transaction() as tx:
        incident = _open_incident(tx)
        [objective] = [v.slo for v in slo.slos(tx) if v.operation == "charge card" and v.slo.name == "availability"]
        witness = rollback.Witness(
            slo_id=objective.id, operation_id=objective.operation_id, objective="availability",
            name="payments · charge card (availability)", cause="burn", factor=14.4, budget_share=0.001,
            window_seconds=300,
        )  # fmt: skip
        words = f"{witness.name} burns 21× (it alerts from 14×), 400× before: 60 of 2900 failed in 5m"
        verification = rollback.Verification(
            rule="burn", chosen=f"{witness.name} must burn under the alert's threshold for 5m", witnesses=[witness],
            findings=[rollback.Finding(witness=witness, answer="over", words=words)], looked_at=tx.now,
        )  # fmt: skip
        top = rollback.ranking_of(tx, incident=incident)
        assert top is not None
        caller = seed.caller(tx, "alice@example.org")
        run = rollback.press(
            tx, change_id=top.suspects[0].change_id, incident=incident, caller=caller, via="screen"
        )
        rollback_store.change_run(tx, run, state="verifying", finished_at=tx.now, verification=verification)
    page = sign_in("alice@example.org", to=f"/incidents/{incident.number}")
    card = page.locator("section", has=page.get_by_role("heading", name="Probable cause"))
    expect(card.locator("canvas").first).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})  # a phone is turned
    for _ in range(30):  # charts are drawn anew a moment later
        if page.evaluate("document.documentElement.scrollWidth") <= 360:
            break
        page.wait_for_timeout(100)
    card = page.locator("section", has=page.get_by_role("heading", name="Probable cause"))
    expect(card).to_contain_text("Judged by: payments · charge card (availability) must burn under")
    expect(card).to_contain_text("60 of 2900 failed in 5m")
    wide = page.evaluate("""[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 361)
        .map(e => e.tagName + '.' + e.className).slice(0, 9)""")
    assert wide == []
    page.goto(page.url.rpartition("/incidents/")[0] + "/services/payments")
    judged = page.locator("section", has=page.get_by_role("heading", name="Rollouts, judged"))
    expect(judged).to_contain_text("v84 is worse than v83")
    expect(judged.locator("canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/service-360.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.screenshot(path=f"{folder}/service-1280.png", full_page=True)
        page.goto(page.url.rpartition("/services/")[0] + f"/incidents/{incident.number}")
        page.screenshot(path=f"{folder}/incident-1280.png", full_page=True)
        page.set_viewport_size({"width": 360, "height": 740})
        page.screenshot(path=f"{folder}/incident-360.png", full_page=True)


def test_the_switch_is_on_the_page_of_rollbacks_and_asks_why(suspected: Database, sign_in: SignIn) -> None:
    page = sign_in("alice@example.org", to="/rollbacks")
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.get_by_text("No runner yet")).to_be_visible()
    page.get_by_label("Why?").fill("We move the data centre")
    page.get_by_role("button", name="Switch all automation off").click()
    expect(page.get_by_text("We move the data centre")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
