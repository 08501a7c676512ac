"""The link in a page that undoes the cause: opening it asks, its button acts, once, and only for who it was sent to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from litestar.testing import TestClient

from tests.api.test_rollback_api import Client, admin, deploy  # noqa: F401  admin is a fixture
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.features import changes, identity, incidents, paging
from watchbill.features.incidents import EvidenceAction
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer
from watchbill.web.app import web_router
from watchbill.web.live import Broadcaster
from watchbill.web.shell import Web


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """The API and the screens of one server."""
    url = settings.database_url or ""
    lanes = Lanes.over(lambda name, size: Database(url, name=name, pool_size=size))
    web = Web(settings=settings, lanes=lanes, signer=Signer(settings.secret_keys), live=Broadcaster(url))
    with TestClient(create_app(settings=settings, lanes=lanes, handlers=[web_router(web)])) as client:
        yield client
    lanes.close()


def test_opening_the_link_does_nothing_and_its_button_rolls_back_once(
    client: Client,
    admin: dict[str, str],  # noqa: F811  the fixture of that name
    db: Database,
    settings: Settings,
) -> None:
    deploy(client, admin, "v2", "v1")
    links = paging.SignedLinks(base_url="", signer=Signer(settings.secret_keys))
    with db.transaction() as tx:
        bob = identity.ensure_person(tx, login="bob@example.org", name="Bob")
        (change,) = changes.newest_changes(tx, service_name="payments")
        incident = incidents.open_incident(
            tx,
            title="it burns",
            severity="sev2",
            environment="production",
            service_id=change.service_id,
            team_id=None,
            unowned=False,
        )
        action = EvidenceAction(name="rollback", subject=change.id, label="Roll back")
        link = links.action(person_id=bob.id, incident_id=incident.id, action=action, now=tx.now)
        stale = links.action(person_id=bob.id, incident_id=incident.id, action=action, now=tx.now - timedelta(days=2))
    shown = client.get(link)
    assert shown.status_code == 200
    assert "goes from v2 to v1" in shown.text
    assert client.get("/api/v1/rollbacks", headers=admin).json() == []
    assert "Rollback 1 of payments is queued" in client.post(link).text
    assert "Rollback 1 of payments is queued" in client.post(link).text
    (run,) = client.get("/api/v1/rollbacks", headers=admin).json()
    assert (run["by"], run["mode"], run["reason"]) == ("Bob", "button", "by link")
    assert client.get(stale).status_code == 403
    assert client.get(link[:-3] + "abc").status_code == 403
