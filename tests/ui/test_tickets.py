"""Tickets on the team's and the SLO's page, and a source that is down."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from tests.ui.conftest import SignIn
from watchbill.features import alerts, slo
from watchbill.features.catalog.store import team
from watchbill.features.tickets import store as tickets
from watchbill.kernel.ids import new_id
from watchbill.runtime.db import Database

PICTURES = os.environ.get("WATCHBILL_TEST_PICTURES")


def test_a_team_without_a_place_is_told_how_and_its_tickets_are_linked_from_the_slo(
    shop: Database, sign_in: SignIn
) -> None:
    page = sign_in()
    page.goto("/teams/payments")
    assert "Add tickets: to the team's manifest" in page.locator("#tickets").inner_text()
    with shop.transaction() as tx:
        view = next(one for one in slo.slos(tx) if one.team == "payments")
        place = {"github": {"repository": "acme/payments", "labels": ["slo"]}}
        spec = tx.execute(sa.select(team.c.spec).where(team.c.id == view.team_id)).scalar_one()
        tx.execute(sa.update(team).where(team.c.id == view.team_id).values(spec={**spec, "tickets": place}))
        source = alerts.builtin_integration(tx, name="slo")
        for number, state in enumerate(("closed_outside", "open", "wanted")):
            tx.execute(
                sa.insert(tickets.ticket).values(
                    id=new_id(),
                    alert_id=new_id(),
                    integration_id=source.id,
                    identity=f"slo:{view.slo.id}",
                    team_id=view.team_id,
                    title=f"{view.operation} burns its budget three times faster than it may",
                    place={"provider": "github", "project": "acme/payments"},
                    state=state,
                    marker="m",
                    ref=None if state == "wanted" else str(number),
                    url=None if state == "wanted" else f"https://github.com/acme/payments/issues/{number}",
                    error="GitHub answered 401: Bad credentials" if state == "wanted" else None,
                    created_at=tx.now - timedelta(hours=3 - number),
                )
            )
        slo.note_source(tx, name=slo.CLICKHOUSE, answered=False, error="refused")
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for name, path in (("team", "/teams/payments"), ("slo", f"/slos/{view.slo.id}")):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
            assert page.locator("a[href='https://github.com/acme/payments/issues/1']").count() == 1
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"tickets-{name}-{width}.png", full_page=True)
    assert "ClickHouse does not answer: this SLO is frozen" in page.content()
    page.goto("/teams/payments")
    said = page.locator("#tickets").inner_text()
    assert "Bad credentials" in said
    assert "Closed by people" in said
