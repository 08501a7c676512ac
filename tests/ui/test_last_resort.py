"""The watch says so when alerts that nobody owns would reach nobody."""

from __future__ import annotations

import sqlalchemy as sa
from playwright.sync_api import expect

from tests.ui.conftest import SignIn
from watchbill.features.catalog.store import team
from watchbill.features.identity.store import person
from watchbill.runtime.db import Database


def test_without_a_fallback_team_or_an_admin_to_reach_the_watch_warns(shop: Database, sign_in: SignIn) -> None:
    """paged.unowned"""
    sentence = "Alerts that nobody owns reach nobody: no team says fallback: true"
    page = sign_in()
    expect(page.get_by_text(sentence)).to_have_count(0)
    with shop.transaction() as tx:
        tx.execute(sa.update(team).values(fallback=False))
        tx.execute(sa.update(person).where(person.c.role == "admin").values(role="responder"))
    page.reload()
    expect(page.get_by_text(sentence)).to_be_visible()
