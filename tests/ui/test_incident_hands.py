"""Snooze, hand over, cancel and merge in a real browser: each says first what it will do."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Page, expect

from tests.ui import seed
from tests.ui.conftest import SignIn
from watchbill.runtime.db import Database

SHOTS = os.environ.get("WATCHBILL_TEST_SHOTS")


@pytest.fixture
def burning(shop: Database) -> Database:
    seed.fire(shop, "payments-burn", "payments", "Payments API: card charges burn their error budget 16 times too fast")
    return shop


def test_a_page_is_answered_handed_over_taken_back_snoozed_and_cancelled(burning: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/incidents/1", width=360, height=740)
    page.get_by_role("button", name="Acknowledge").click()
    status = page.locator("section.status")
    expect(status).to_contain_text("Alice Abendroth has it")
    _hand(page, "Hand over")
    _shot(page, "hand_over")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("If they have not accepted within 5m")
    dialog.get_by_label("To whom?").select_option(label="Bob Okafor")
    dialog.get_by_role("button", name="Hand over").click()
    expect(status).to_contain_text("Bob Okafor is asked to take it over")
    page.locator(".toast").get_by_role("button", name="Take it back").click()
    expect(status).not_to_contain_text("is asked to take it over")
    _hand(page, "Snooze")
    dialog.get_by_role("button", name="Snooze").click()
    expect(status).to_contain_text("Snoozed")
    _hand(page, "Cancel the page")
    dialog.get_by_label("Why does nobody need to answer?").fill("a rehearsal")
    dialog.get_by_role("button", name="Cancel the page").click()
    expect(page.locator(".timeline li").first).to_contain_text("cancelled: a rehearsal")
    _shot(page, "cancelled")
    page.locator(".toast").get_by_role("button", name="Page again").click()
    expect(status).to_contain_text("Nobody has answered")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_two_incidents_are_merged_and_taken_apart(burning: Database, sign_in: SignIn) -> None:
    seed.fire(burning, "search-down", "search", "Search answers nothing")
    number = seed.latest(burning)
    page = sign_in("dana@example.org", to=f"/incidents/{number}")
    _shot(page, "incident")
    _hand(page, "Merge")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("Both timelines are kept")
    _shot(page, "merge")
    dialog.get_by_label("Into which incident?").select_option("1")
    dialog.get_by_role("button", name="Merge").click()
    expect(page.locator("section.status")).to_contain_text("merged into incident 1")
    page.get_by_role("button", name="Take apart").first.click()
    dialog.get_by_role("button", name="Take apart").click()
    expect(page.locator("section.status")).not_to_contain_text("merged into")


def _hand(page: Page, name: str) -> None:
    page.locator("details.hands").evaluate("each => { each.open = true }")
    page.locator("details.hands").get_by_role("button", name=name).click()
    expect(page.locator("#dialog h2")).to_be_visible()


def _shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def test_a_service_and_a_team_say_whom_a_page_would_ask(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/services/payments", width=360, height=740)
    card = page.locator("section[aria-labelledby=preview-title]")
    expect(card).to_contain_text("email")
    expect(card).to_contain_text("(fallback)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    _shot(page, "preview")
    page.goto("/teams/payments")
    expect(card).to_contain_text("(fallback)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
