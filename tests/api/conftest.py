"""The API over real PostgreSQL, called through its own HTTP door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import identity
from watchbill.features.identity import Role
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database

As = Callable[[str], dict[str, str]]


class Kept(NamedTuple):
    """An application with what it stands on."""

    app: Litestar
    lanes: Lanes
    limit: identity.FailureLimit


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=database_url, secret_key="k" * 40, observer_url="http://127.0.0.1:9")


@pytest.fixture(scope="session")
def kept() -> Iterator[dict[str, Kept]]:
    """Applications by their settings: building one takes as long as twenty requests."""
    made: dict[str, Kept] = {}
    yield made
    for one in made.values():
        one.lanes.close()


@pytest.fixture
def app(settings: Settings, kept: dict[str, Kept]) -> Iterator[Litestar]:
    assert settings.database_url is not None
    url, key = settings.database_url, str(msgspec.structs.replace(settings, home=Path("/")))
    if key not in kept:
        lanes = Lanes.over(lambda name, size: Database(url, name=name, pool_size=size))
        limit = identity.FailureLimit(most=60, window_seconds=60)
        kept[key] = Kept(create_app(settings=settings, lanes=lanes, failure_limit=limit), lanes, limit)
    one = kept[key]
    one.limit.succeeded("testclient")  # what an earlier test guessed is not held against this one
    yield one.app
    for name in ("intake", "act", "screens"):
        one.lanes[name].db.dispose()  # the next test's emptying ends every connection


@pytest.fixture
def client(app: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def token(db: Database) -> Callable[..., dict[str, str]]:
    """``token("admin")`` is the headers of a new token of that role."""

    def make(role: Role = "admin", name: str | None = None) -> dict[str, str]:
        with db.transaction() as tx:
            _, secret = identity.create_token(tx, name=name or f"{role}-test", role=role, actor=ledger.system("test"))
        return {"authorization": f"Bearer {secret}"}

    return make
