"""Guessing a password at the sign-in page is slowed down, and does not lock out whoever knows it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import identity
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer
from watchbill.web.app import web_router
from watchbill.web.live import Broadcaster
from watchbill.web.shell import Web

ALICE = "alice@example.org"


@pytest.fixture
def browser(settings: Settings, database_url: str, db: Database) -> Iterator[TestClient[Litestar]]:
    with db.transaction() as tx:
        for login in (ALICE, "bob@example.org"):
            person = identity.ensure_person(tx, login=login)
            identity.set_password(tx, person_id=person.id, password="correct horse", actor=ledger.system("test"))
    lanes = Lanes.over(lambda name, size: Database(database_url, name=name, pool_size=size))
    web = Web(settings=settings, lanes=lanes, signer=Signer(settings.secret_keys), live=Broadcaster(database_url))
    with TestClient(create_app(settings=settings, lanes=lanes, handlers=[web_router(web)])) as client:
        yield client
    lanes.close()


def sign_in(browser: TestClient[Litestar], login: str, password: str) -> int:
    data = {"login": login, "password": password}
    return browser.post("/sign-in", data=data, follow_redirects=False).status_code


def test_the_right_password_signs_in_with_a_cookie_that_scripts_cannot_read(browser: TestClient[Litestar]) -> None:
    answer = browser.post("/sign-in", data={"login": ALICE, "password": "correct horse"}, follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_five_wrong_guesses_and_the_sixth_waits_even_when_right(browser: TestClient[Litestar]) -> None:
    assert [sign_in(browser, ALICE, f"guess {n}") for n in range(5)] == [401] * 5
    assert sign_in(browser, ALICE, "correct horse") == 429
    assert sign_in(browser, "bob@example.org", "correct horse") == 303
