"""A developer on call, a lead and a manager use the screens in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui import seed
from tests.ui.conftest import SignIn
from watchbill.features import paging
from watchbill.runtime.db import Database

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PLACES = {
    "watch": "/",
    "incidents": "/incidents",
    "incident": "/incidents/1",
    "resolve": "/incidents/1/resolve",
    "services": "/services",
    "service": "/services/payments",
    "teams": "/teams",
    "team": "/teams/payments",
    "schedule": "/teams/payments/schedule",
    "swaps": "/swaps",
    "availability": "/availability",
    "slos": "/slos",
    "me": "/me",
}


@pytest.fixture
def burning(shop: Database) -> Database:
    """The shop while the search is down and nobody has answered."""
    seed.fire(shop, "payments-burn", "payments", "Payments API: card charges burn their error budget 16 times too fast")
    return shop


def test_an_incident_appears_without_reload_and_is_acknowledged_and_its_timeline_says_so(
    shop: Database, sign_in: SignIn
) -> None:
    page = sign_in("charlie@example.org", to="/incidents")
    expect(page.get_by_text("Search answers nothing")).to_have_count(0)
    page.evaluate("window.mark = 'same page'")

    seed.fire(shop, "search-down", "search", "Search answers nothing")

    page.get_by_text("Search answers nothing").click()
    expect(page.get_by_role("heading", name="Search answers nothing")).to_be_visible()
    expect(page.locator("section.status")).to_contain_text("Nobody has answered for Storefront")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("section.status")).to_contain_text("Charlie Lindqvist has it")
    expect(page.locator(".timeline li").first).to_contain_text("Charlie Lindqvist acknowledged")
    expect(page.locator(".toast")).to_contain_text("It is yours now")
    number = seed.latest(shop)
    with shop.transaction() as tx:
        assert [p.page.state for p in paging.incident_detail(tx, number=number).pages] == ["acknowledged"]


def test_a_page_that_is_open_follows_what_others_do(burning: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/incidents/1")
    page.fill("#note", "half a thought")
    with burning.transaction() as tx:
        paging.acknowledge_incident(tx, number=1, caller=seed.caller(tx, "bob@example.org"), via="link")
    expect(page.locator("section.status")).to_contain_text("Bob Okafor has it")
    expect(page.locator("#note")).to_have_value("half a thought")


def test_resolving_says_what_it_will_do_and_can_be_undone(burning: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/incidents/1")
    page.get_by_role("button", name="Resolve").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("2 alerts still fire: held for 30m")
    dialog.get_by_label("What ended it? (optional)").fill("Rolled back")
    dialog.get_by_role("button", name="Resolve").click()
    expect(page.locator("section.status")).to_contain_text("Resolved by Alice Abendroth")
    page.locator(".toast").get_by_role("button", name="Reopen").click()
    expect(page.locator("section.status")).to_contain_text("Nobody has answered")


def test_a_note_joins_the_timeline(burning: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/incidents/1")
    page.fill("#note", "Card network says it is them <b>")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".timeline li").first).to_contain_text("Card network says it is them <b>")
    expect(page.locator("#note")).to_have_value("")


def test_the_keyboard_alone_gets_from_sign_in_to_acknowledged(burning: Database, sign_in: SignIn) -> None:
    page = sign_in()
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_url("**/incidents")
    page.wait_for_selector("html[data-ready]")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/incidents/*")
    page.wait_for_selector("html[data-ready]")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "acknowledge":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("section.status")).to_contain_text("Alice Abendroth has it")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_a_phone_of_360_pixels(burning: Database, sign_in: SignIn, dark: bool) -> None:
    page = sign_in(width=360, height=740, dark=dark)
    for name, path in PLACES.items():
        page.goto(path)
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.goto("/incidents/1")
    box = page.get_by_role("button", name="Acknowledge").bounding_box()
    assert box is not None
    assert box["height"] >= 48
    assert box["y"] + box["height"] <= 740  # under the thumb without scrolling


def test_dark_follows_the_system_and_the_choice_wins(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(dark=True)
    dark = _background(page)
    page.get_by_role("button", name="Switch between light and dark").last.click()
    assert _background(page) != dark
    page.reload()
    assert _background(page) != dark


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_an_override_is_added_seen_on_the_rota_and_undone(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/teams/payments")
    before = page.locator(".rota .shift.override").count()
    page.get_by_text("Add an override").click()
    page.get_by_label("Who").select_option(label="Alice Abendroth")
    day = page.evaluate("new Date(Date.now() + 9 * 864e5).toISOString().slice(0, 10)")
    page.get_by_role("textbox", name="From").fill(f"{day}T10:00")
    page.get_by_role("textbox", name="Until").fill(f"{day}T18:00")
    page.get_by_role("textbox", name="Why (optional)").fill("Swap")
    page.get_by_role("button", name="Add the override").click()
    expect(page.locator(".rota .shift.override")).to_have_count(before + 1)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".rota .shift.override")).to_have_count(before)


def test_a_contact_method_is_added_and_one_that_cannot_be_is_explained(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/me")
    page.get_by_label("Way").select_option("ntfy")
    page.get_by_label("Address").fill("https://ntfy.example.org/alice-at-night")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("https://ntfy.example.org/…").first).to_be_visible()  # who knows the topic may write to it
    expect(page.get_by_text("alice-at-night")).to_have_count(0)


def test_a_wrong_password_and_an_unknown_page_say_what_to_do(browser_page: Page) -> None:
    browser_page.goto("/sign-in")
    browser_page.fill("#login", "alice@example.org")
    browser_page.fill("#password", "not this one")
    browser_page.get_by_role("button", name="Sign in", exact=True).click()
    expect(browser_page.get_by_role("alert")).to_contain_text("Wrong login or password")
    browser_page.goto("/nowhere/at/all")
    expect(browser_page.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_a_form_from_another_sign_in_changes_nothing(burning: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/incidents/1")
    answer = page.request.post("/incidents/1/acknowledge", form={"_csrf": "forged"})
    assert answer.status == 403
    with burning.transaction() as tx:
        assert {p.page.state for p in paging.incident_detail(tx, number=1).pages} == {"escalating"}


def test_screens_are_shown_in_the_documentation(burning: Database, sign_in: SignIn, tmp_path: Path) -> None:
    """Phone and desktop, light and dark, as a person sees them.

    With WATCHBILL_TEST_IMAGES=1 the pictures in docs/images are made anew; a plain run leaves the tree as it is.
    """
    folder = IMAGES if os.environ.get("WATCHBILL_TEST_IMAGES") == "1" else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    for kind, width, height, dark in (("desktop", 1280, 860, False), ("phone", 390, 800, True)):
        page = sign_in(width=width, height=height, dark=dark)
        for name in ("watch", "incident", "service", "team", "slos"):
            page.goto(PLACES[name])
            page.wait_for_selector(".livestate[data-state=live]", state="attached")
            page.wait_for_timeout(250)
            page.screenshot(path=folder / f"{name}-{kind}.png")
            assert (folder / f"{name}-{kind}.png").stat().st_size > 10_000
