"""Time is left out of a budget on the SLO's page: previewed, declared, signed by a second person, revoked."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import expect

from tests.ui.conftest import SignIn
from watchbill.features import identity, slo
from watchbill.features.slo.policy_reads import insert_crossings
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

ACTOR = ledger.system("test")
PICTURES = os.environ.get("WATCHBILL_TEST_PICTURES")


def test_time_is_excluded_with_a_preview_and_a_second_signature(shop: Database, sign_in: SignIn) -> None:
    with shop.transaction() as tx:
        one = next(view.slo for view in slo.slos(tx) if view.team == "payments")
        bob = identity.ensure_person(tx, login="bob@example.org")
        begin = tx.now.replace(second=0, microsecond=0) - timedelta(hours=1)
        wanted = slo.Wanted(
            service_id=one.service_id,
            slo_id=one.id,
            environment="production",
            start_at=begin,
            end_at=begin + timedelta(minutes=12),
        )
        slo.declare_exclusion(
            tx, wanted=wanted, reason="database upgrade", actor=ledger.person(bob.id), person_id=bob.id
        )
        rules = (
            slo.Rule(remaining=Decimal(50), do=("ticket",)),
            slo.Rule(remaining=Decimal(20), do=("freeze", "postmortem")),
        )
        view = next(view for view in slo.slos(tx) if view.slo.id == one.id)
        slo.sync_policies(tx, said={("team", view.team_id): slo.BudgetPolicy(rules=rules)}, actor=ACTOR)
        crossing = slo.Crossing(
            id=new_id(),
            slo_id=one.id,
            threshold=Decimal("0.2"),
            direction="down",
            at=tx.now,
            told=True,
            remaining=Decimal("0.134"),
            actions=["freeze", "postmortem"],
            cause="spent",
            why="13.4 % of the budget is left, at or below 20 %",
            target=one.target,
            window_seconds=one.window_seconds,
            reviewed_at=None,
            reviewed_by=None,
            review=None,
        )
        insert_crossings(tx, rows=[crossing])
    page = sign_in(to=f"/slos/{one.id}")
    expect(page.get_by_text("At 20% left: freeze, postmortem")).to_be_visible()
    page.get_by_label("Link of the postmortem").fill("https://wiki.example.org/pm/12 retries get a budget")
    page.get_by_role("button", name="Note the postmortem").click()
    expect(page.get_by_text("retries get a budget")).to_be_visible()
    expect(page.get_by_text("12 minutes excluded by")).to_be_visible()
    expect(page.get_by_text("Waits for a signature")).to_be_visible()
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_text("Signed: this time is left out now.")).to_be_visible()
    expect(page.get_by_text("Over", exact=True)).to_be_visible()
    _look(page, "slo-budget", f"/slos/{one.id}#budget")
    page.goto(f"/slos/{one.id}/exclude")
    page.get_by_label("Minutes").fill("10")
    page.get_by_label("What is done").fill("move to new disks")
    page.get_by_role("button", name="See what will happen").click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    _look(page, "slo-exclude", page.url)
    page.get_by_role("button", name="Ask for a second signature").click()  # it burns
    expect(page.get_by_text("10 minutes excluded by")).to_be_visible()
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_label("Why?").fill("put off to next week")
    page.get_by_role("button", name="Revoke", exact=True).last.click()
    expect(page.get_by_text("Revoked: its minutes count again.")).to_be_visible()
    expect(page.get_by_text("put off to next week")).to_be_visible()


def _look(page, name: str, path: str) -> None:
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path)
        page.reload()  # charts take their width when they are drawn
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
