"""The pages of capacity: what is left, the fan charts, and signing a component off before a peak event."""

from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from tests.ui import seed
from tests.ui.conftest import SignIn
from watchbill.features import capacity, catalog
from watchbill.features.capacity import Fanout, Journey, measuring, nightly, ramping, usl
from watchbill.features.telemetry import LoadStep, Observer
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.signing import Signer


@pytest.fixture
def planned(shop: Database) -> Database:
    """Payments has six weeks of demand, a declared capacity and a peak event; the night has been."""
    with shop.transaction() as tx:
        tx.execute(sa.text("DELETE FROM slo_series"))  # the seed's own day is another service's size
        start = (tx.now + timedelta(days=10)).date()
        rules = '{"capacity": {"perReplica": 40, "replicas": 5, "replicaPrice": 90}}'
        tx.execute(sa.text("UPDATE service SET spec = spec || CAST(:r AS jsonb) WHERE name = 'payments'"), {"r": rules})
        event = (
            f'{{"peakEvents": [{{"name": "Cyber Week", "start": "{start}", "end": "{start + timedelta(days=4)}",'
            ' "factor": 1.71, "operations": ["payments/charge card"]}]}'
        )
        tx.execute(sa.text("UPDATE team SET spec = spec || CAST(:r AS jsonb) WHERE name = 'payments'"), {"r": event})
        service = catalog.service_by_name(tx, name="payments")
        assert service is not None
        today = tx.now.replace(hour=0, minute=0, second=0, microsecond=0)
        hours = [
            (
                today - timedelta(hours=hour),
                110 * (0.6 + 0.4 * math.sin(math.pi * ((-hour) % 24 - 8) / 12)) * (1 + 0.02 * (hour * 37 % 7)),
                None,
            )
            for hour in range(42 * 24, 0, -1)
        ]
        capacity.push_demand(
            tx, service=service, operation="charge card", kind="rate", hours=hours, actor=seed.SEED
        )
        calls = [
            Fanout(component=name, mean=mean, low=mean * 0.95, high=mean * 1.05, busy_ms=5, depends_on_load=mean > 1)
            for name, mean in (("payments", 1.0), ("ledger", 2.0))
        ]
        measuring.write_journey(
            tx,
            Journey(service_id=service.id, operation="charge card", measured_at=tx.now, traces=500, fanouts=calls),
        )
        full = [(at, 0.3 + 0.002 * mean, None) for at, mean, _ in hours]
        capacity.push_demand(tx, service=service, operation="", kind="saturation", hours=full, actor=seed.SEED)
        ramp_it(tx, service)
    nightly.work_night(shop, None)
    return shop


def ramp_it(tx: Tx, service: catalog.Service) -> None:
    """A ramp of eight loads that went past its peak."""
    begun = capacity.start_ramp(
        tx, service=service, operation="", environment="production", replicas=2, step_seconds=30,
        lasts=timedelta(minutes=10), latency_ms=None, save=False, actor=seed.SEED,
    )  # fmt: skip
    seen = [
        LoadStep(
            number=at, requests=60 * usl.throughput(0.03, 2e-4, 50.0, load), busy_seconds=60 * load,
            p95_ms=1500 * load / usl.throughput(0.03, 2e-4, 50.0, load), failed=0, instances=2,
        )
        for at, load in enumerate((1, 5, 10, 20, 40, 60, 80, 100))
    ]  # fmt: skip
    duty = ramping.WatchRamp(Observer("http://127.0.0.1:9", Signer(["k" * 32])))
    row = DueRow(
        id=1, kind=ramping.RAMP, subject=str(begun.id), payload={}, due_at=tx.now, attempts=0, lease=None
    )  # fmt: skip
    job = duty.prepare(tx, row)
    assert job is not None
    duty.settle(tx, row, job, seen)


def test_the_fan_chart_shows_and_a_component_is_signed_off(planned: Database, sign_in: SignIn) -> None:
    del planned
    folder = os.environ.get("WATCHBILL_PICTURES")
    page = sign_in(to="/capacity")
    expect(page.get_by_role("link", name="payments", exact=True).first).to_be_visible()
    if folder:
        page.screenshot(path=Path(folder) / "capacity-1280.png", full_page=True)
    page.goto("/capacity/payments")
    expect(page.locator(".chart canvas").first).to_be_visible()
    expect(page.get_by_text("lay in the 90% interval").first).to_be_visible()
    expect(page.get_by_text("throughput is past its peak")).to_be_visible()
    expect(page.get_by_text("By saturation", exact=True)).to_be_visible()
    if folder:
        page.screenshot(path=Path(folder) / "service-1280.png", full_page=True)
    page.goto("/capacity/review")
    page.get_by_label("Note on Payments API").fill("three more are ordered")
    page.get_by_role("row", name="Payments API").get_by_role("button", name="Sign off").click()
    expect(page.get_by_text("Alice Abendroth").first).to_be_visible()
    if folder:
        page.screenshot(path=Path(folder) / "review-1280.png", full_page=True)


def test_the_pages_fit_a_phone(planned: Database, sign_in: SignIn) -> None:
    del planned
    folder = os.environ.get("WATCHBILL_PICTURES")
    page = sign_in(width=360, height=760, to="/capacity")
    for path in ("/capacity", "/capacity/payments", "/capacity/review"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if folder:
            page.screenshot(path=Path(folder) / f"phone-{path.strip('/').replace('/', '-')}.png", full_page=True)


def test_a_ramp_is_begun_from_the_page_which_says_what_will_happen(planned: Database, sign_in: SignIn) -> None:
    del planned
    folder = os.environ.get("WATCHBILL_PICTURES")
    page = sign_in(width=360, height=760, to="/capacity/payments")
    page.get_by_role("link", name="Watch a ramp…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Nothing is sent to the service")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if folder:
        page.screenshot(path=Path(folder) / "phone-ramp.png")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.screenshot(path=Path(folder) / "ramp-1280.png")
    dialog.get_by_label("For at most how many minutes?").fill("20")
    dialog.get_by_role("button", name="Watch from now on").click()
    expect(page.get_by_text("is watched for 20 minutes")).to_be_visible()
    expect(page.get_by_role("button", name="The load has ended")).to_be_visible()
    if folder:
        page.screenshot(path=Path(folder) / "ramping-1280.png", full_page=True)
    page.on("dialog", lambda asked: asked.accept())
    page.locator("section").get_by_role("button", name="Stop watching").click()
    expect(page.get_by_text("stopped by hand")).to_be_visible()
