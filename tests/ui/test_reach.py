"""My contact methods in a real browser, on a phone."""

from __future__ import annotations

from tests.ui.conftest import SignIn
from watchbill.features import identity
from watchbill.runtime.db import Database


def test_a_way_is_added_tested_and_put_into_a_rule_on_a_phone(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(width=360, to="/me/reach")
    page.get_by_role("heading", name="How I am reached").wait_for()
    page.get_by_label("Way", exact=True).select_option("ntfy")
    page.get_by_label("Address", exact=True).fill("https://ntfy.sh/alices-secret-topic")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("https://ntfy.sh/…").first.wait_for()
    assert "alices-secret-topic" not in page.content()
    page.reload()
    page.locator("#default_method_0").select_option(index=2)
    page.locator("#default_minutes_0").fill("0")
    page.locator("#default_method_1").select_option(index=1)
    page.locator("#default_minutes_1").fill("2.5")
    page.locator("#quiet_from_0").fill("22:00")
    page.locator("#quiet_to_0").fill("07:00")
    page.get_by_role("button", name="Save rules").click()
    page.get_by_text("Saved.").wait_for()
    page.get_by_role("button", name="Test https://ntfy.sh/…").click()
    page.get_by_text("A test is on its way").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    with shop.transaction() as tx:
        alice = identity.person_by_login(tx, login="alice@example.org")
        assert alice is not None
        rule = identity.personal_rules(tx, person_ids=[alice.id])[alice.id]
    assert [step.after_seconds for step in rule.default] == [0, 150]
    assert rule.quiet[0].from_time == "22:00"


def test_the_service_worker_is_there_and_shows_a_page_that_is_pushed(shop: Database, sign_in: SignIn) -> None:
    page = sign_in(to="/me/reach")
    page.context.grant_permissions(["notifications"])
    page.evaluate("navigator.serviceWorker.register('/push-worker.js').then(() => navigator.serviceWorker.ready)")
    devtools = page.context.new_cdp_session(page)
    registrations: list[str] = []
    devtools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]),
    )
    devtools.send("ServiceWorker.enable")
    for _ in range(100):
        if registrations:
            break
        page.wait_for_timeout(100)
    origin = page.evaluate("location.origin")
    pushed = '{"title":"[sev2] Checkout fails","body":"b","tag":"n-1","acknowledge":"/a/x","open":"/incidents/1"}'
    devtools.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": origin, "registrationId": registrations[-1], "data": pushed},
    )
    shown = page.evaluate(
        """async () => {
          const ready = await navigator.serviceWorker.ready;
          for (let tries = 0; tries < 300; tries += 1) {
            const found = await ready.getNotifications();
            if (found.length) return found.map((one) => [one.title, one.data.acknowledge]);
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
          return [];
        }"""
    )
    assert shown == [["[sev2] Checkout fails", "/a/x"]]
