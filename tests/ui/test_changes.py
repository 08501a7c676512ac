"""Changes and the gate in a real browser: the list, the service's page, and an override that is signed."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from tests.ui.conftest import SignIn
from watchbill.features import alerts, changes, evidence
from watchbill.features.changes import ChangeReport
from watchbill.features.telemetry import SeenEvidence
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

PICTURES = os.environ.get("WATCHBILL_TEST_PICTURES")


def _deploy(db: Database, service: str, version: str) -> None:
    with db.transaction() as tx:
        source = alerts.builtin_integration(tx, name="deploys")
        report = ChangeReport(service=service, state="finished", version=version, author="alice@example.org")
        changes.record_change(tx, report=report, integration_id=source.id, source="api", actor=ledger.system("test"))


def _tell_of_protections(db: Database) -> None:
    with db.transaction() as tx:
        seen = [
            SeenEvidence(
                service_name="payments",
                environment="production",
                dependency=dependency,
                primitive=primitive,
                setting=setting,
                used_at=tx.now - timedelta(days=days),
                reported_at=tx.now - timedelta(days=days),
            )
            for dependency, primitive, setting, days in (
                ("payments-db", "timeout", "300ms", 0),
                ("payments-db", "breaker", "5 failures, 30s", 0),
                ("payments-db", "drill", "latency", 12),
                ("fraud-api", "breaker", "5 failures, 30s", 9),
            )
        ]
        evidence.record_evidence(tx, seen=seen)


def test_changes_are_listed_and_the_gate_is_overridden_by_a_signature(shop: Database, sign_in: SignIn) -> None:
    for service, version in (("payments", "v83"), ("payments", "v84"), ("ghost", "1")):
        _deploy(shop, service, version)
    _tell_of_protections(shop)
    page = sign_in(to="/changes")
    expect(page.get_by_text("Deploy v84")).to_be_visible()
    expect(page.get_by_text("Unowned")).to_be_visible()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for name, path in (("changes", "/changes"), ("service", "/services/payments")):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
    expect(page.get_by_text("timeout 300ms, breaker, drilled 12 days ago")).to_be_visible()
    expect(page.get_by_text("breaker (not seen for 9 days), no timeout seen, no drill seen")).to_be_visible()
    expect(page.get_by_role("heading", name="Gate")).to_be_visible()
    expect(page.get_by_text("too few to judge by").first).to_be_visible()
    override = page.get_by_role("link", name="Override…")
    if override.count():
        override.click()
        page.get_by_label("Why must it go out?").fill("the sale starts")
        page.get_by_role("button", name="Sign the override").click()
        expect(page.get_by_text("by Alice Abendroth: the sale starts")).to_be_visible()
        with shop.transaction() as tx:
            assert [e.name for e in ledger.newest(tx, name_prefix="gate.")] == ["gate.overridden"]
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / "overridden.png", full_page=True)
        page.locator("#live").get_by_role("button", name="Withdraw").click()
        expect(page.get_by_text("by Alice Abendroth: the sale starts")).to_have_count(0)
