"""Schedules in a browser: drag and preview, swaps, being away; everything also without a mouse."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.ui.conftest import SignIn
from watchbill.runtime.db import Database


def _choose_by_dragging(page: Page) -> None:
    strip = page.locator("[data-strip] svg.days").nth(2)
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=4)
    page.mouse.up()


def test_dragging_or_the_keyboard_choose_a_time_that_is_previewed_and_then_saved(
    shop: Database, sign_in: SignIn
) -> None:
    page = sign_in(to="/teams/payments/schedule")
    _choose_by_dragging(page)
    preview = page.locator("#preview")
    expect(preview).to_contain_text("As it would be")
    expect(preview).to_contain_text("Alice Abendroth is on call from")
    before = page.locator("[data-strip] .shift.override").count()
    page.get_by_role("button", name="Save the override").click()
    expect(page.locator("[data-strip] .shift.override")).to_have_count(before + 1)
    expect(preview).to_be_empty()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("[data-strip] .shift.override")).to_have_count(before)
    page.locator("[data-strip]").focus()
    for key in ("Escape", "ArrowDown", "ArrowDown", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(preview).to_contain_text("As it would be")
    begin, until = (page.get_by_role("textbox", name=name).input_value() for name in ("From", "Until"))
    assert begin < until


def test_a_swap_is_offered_and_withdrawn_and_a_shift_taken_and_given_back(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/swaps")
    page.get_by_label("Whose").select_option(index=0)
    page.get_by_role("button", name="Take it").click()
    expect(page.locator(".toast")).to_contain_text("it is yours now")
    page.reload()
    page.get_by_label("My shift").select_option(index=0)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#live")).to_contain_text("You asked")
    colleague = sign_in("bob@example.org")
    expect(colleague.locator("#live")).to_contain_text("Alice Abendroth asks the team to take over")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator("#live")).to_contain_text("Withdrawn")


def test_being_away_is_noted_a_calendar_imported_and_a_feed_made(
    shop: Database, sign_in: SignIn, tmp_path: Path
) -> None:
    page = sign_in(to="/availability")
    day = page.evaluate("new Date(Date.now() + 9 * 864e5).toISOString().slice(0, 10)")
    page.get_by_label("From", exact=True).fill(f"{day}T10:00")
    page.get_by_label("Until", exact=True).fill(f"{day}T18:00")
    page.get_by_role("button", name="Add time off").click()
    expect(page.locator(".toast")).to_contain_text("Noted")
    file = tmp_path / "leave.ics"
    file.write_text(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Sea\r\n"
        f"DTSTART;VALUE=DATE:{day.replace('-', '')}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    page.get_by_label("iCalendar file").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    expect(page.locator("h1")).to_have_text("leave is imported")
    page.get_by_role("link", name="See my time off").click()
    expect(page.locator("#live")).to_contain_text("Sea")
    page.get_by_role("button", name="Make an address").click()
    expect(page.locator(".command code")).to_contain_text("/api/v1/oncall/calendar/")
