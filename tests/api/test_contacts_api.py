"""Contact methods through the API's own door, and what providers send back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.journeys.stage import ACTOR, Stage
from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.api.replies import reply_router
from watchbill.channels import mattermost, twilio
from watchbill.features import identity
from watchbill.kernel.clock import VirtualClock
from watchbill.processes.heartbeat import Lag, lag_of, why_not_able
from watchbill.runtime import due
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.due import Backlog
from watchbill.runtime.messages import Message, SendOutcome
from watchbill.runtime.signing import Signer

Token = Callable[..., dict[str, str]]
NUMBER = "+4915112345678"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        database_url=database_url,
        secret_key="k" * 40,
        observer_url="http://127.0.0.1:9",
        public_url="https://wb.example",
        twilio_account_sid="AC1",
        twilio_auth_token="tok",
        twilio_from="+15005550006",
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Litestar]:
    assert settings.database_url is not None
    url = settings.database_url
    lanes = Lanes.over(lambda name, size: Database(url, name=name, pool_size=size))
    yield create_app(settings=settings, lanes=lanes, handlers=[reply_router()])
    lanes.close()


def invite(client: TestClient[Litestar], headers: dict[str, str], login: str) -> str:
    assert client.post("/api/v1/people", json={"login": login}, headers=headers).status_code == 201
    return f"/api/v1/people/{login}/contact-methods"


def test_a_method_is_added_verified_by_its_code_ordered_and_put_into_a_rule(
    client: TestClient[Litestar], token: Token, db: Database
) -> None:
    """people.unverified"""
    admin = token("admin")
    path = invite(client, admin, "alice")
    bad = client.post(path, json={"channel": "sms", "address": "0151 1234"}, headers=admin)
    assert bad.status_code == 400
    assert "E.164" in bad.json()["error"]["hint"]
    made = client.post(path, json={"channel": "sms", "address": "+49 151 12345678"}, headers=admin).json()
    mail = client.post(path, json={"channel": "email", "address": "alice@example.org"}, headers=admin).json()
    assert made["address"] == NUMBER
    sent: list[Message] = []

    def deliver(message: Message) -> SendOutcome:
        sent.append(message)
        return SendOutcome(sent=True)

    one = f"{path}/{made['id']}"
    assert client.post(f"{one}/code", headers=admin).status_code == 202
    assert client.post(f"{one}/code", headers=admin).status_code == 429
    duty = identity.SendContactMessage(send=deliver, base_url="https://wb.example", signer=Signer(["k" * 40]))
    due.work_outside(db, duty)
    code = sent[0].short.split("code is ")[1][:6]
    reach = "/api/v1/people/alice/reach"
    assert client.get(reach, headers=admin).json()["reachable"] is False
    wrong = client.post(f"{one}/verify", json={"code": "x"}, headers=admin)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "bad_code")
    assert client.post(f"{one}/verify", json={"code": code}, headers=admin).json()["verified_at"]
    assert client.get(reach, headers=admin).json()["reachable"] is True
    ordered = client.put(f"{path}/order", json={"order": [mail["id"]]}, headers=admin).json()
    assert [each["channel"] for each in ordered] == ["email", "sms"]
    rule = {
        "default": [{"contact_method_id": made["id"], "after_seconds": 120}, {"contact_method_id": mail["id"]}],
        "quiet": [{"from": "22:00", "to": "07:00", "days": ["sat", "sun"]}],
    }
    kept = client.put("/api/v1/people/alice/notification-rule", json=rule, headers=admin).json()
    assert [step["after_seconds"] for step in kept["default"]] == [0, 120]
    assert client.get("/api/v1/people/alice/notification-rule", headers=admin).json() == kept
    rule["quiet"][0]["from"] = "26:00"
    refused = client.put("/api/v1/people/alice/notification-rule", json=rule, headers=admin)
    assert refused.json()["error"]["field"] == "quiet[0].from"


def test_addresses_are_nobody_elses_business(client: TestClient[Litestar], token: Token) -> None:
    """people.private"""
    invite(client, token("admin"), "alice")
    responder = token("responder")
    for method, path in (
        ("GET", "/api/v1/people/alice/contact-methods"),
        ("GET", "/api/v1/people/alice/notification-rule"),
        ("GET", "/api/v1/people/alice/reach"),
    ):
        assert client.request(method, path, headers=responder).status_code == 403


def test_each_channel_says_whether_it_is_set_up(client: TestClient[Litestar], token: Token) -> None:
    found = {each["name"]: each for each in client.get("/api/v1/channels", headers=token("viewer")).json()}
    assert found["sms"]["ready"] is True
    assert found["slack"]["ready"] is False
    assert "WATCHBILL_SLACK_BOT_TOKEN" in found["slack"]["needs"]


def signed(client: TestClient[Litestar], path: str, form: dict[str, str], token: str = "tok") -> Any:
    signature = twilio.signature(token, f"https://wb.example{path}", form)
    return client.post(path, data=form, headers={"x-twilio-signature": signature})


@pytest.fixture
def paged(db: Database, clock: VirtualClock) -> Stage:
    """alice was just sent a text message about incident 1, on the database's own clock."""
    stage = Stage(db, clock)
    stage.team("payments", "alice", "bob")
    stage.service("payments", owner="payments")
    with db.transaction() as tx:
        person_id = stage.people["alice"]
        for method in identity.contact_methods(tx, person_ids=[person_id])[person_id]:
            identity.remove_contact_method(tx, person_id=person_id, contact_method_id=method.id, actor=ACTOR)
        for channel, address in (("sms", NUMBER), ("mattermost", "@alice")):
            identity.add_contact_method(tx, person_id=person_id, channel=channel, address=address, actor=ACTOR)
    stage.fire()
    return stage


def test_a_signed_text_reply_acknowledges_and_a_forged_one_does_nothing(
    client: TestClient[Litestar], paged: Stage
) -> None:
    """page.one_use_case"""
    form = {"From": NUMBER, "To": "+15005550006", "Body": "Ack 1", "MessageSid": "SM9"}
    assert signed(client, "/reply/twilio/sms", form, token="guess").status_code == 403
    assert client.post("/reply/twilio/sms", data=form).status_code == 403
    assert paged.page().state == "escalating"
    answer = signed(client, "/reply/twilio/sms", form)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    assert "<Message>Incident 1 is acknowledged" in answer.text
    assert paged.page().acknowledged_by == paged.people["alice"]


def test_keys_pressed_in_a_call_repeat_acknowledge_and_resolve(client: TestClient[Litestar], paged: Stage) -> None:
    """page.one_use_case"""
    notification = paged.incident().pages[0].notifications[0]
    path = f"/reply/twilio/keys/{notification.id}"
    assert "<Gather" in signed(client, path, {"Digits": "9"}).text
    assert paged.page().state == "escalating"
    assert "is acknowledged" in signed(client, path, {"Digits": "4"}).text
    assert paged.page().state == "acknowledged"
    assert "is resolved" in signed(client, path, {"Digits": "6"}).text
    assert paged.incident().incident.state == "resolved"
    assert "no page that is known" in signed(client, f"/reply/twilio/keys/{UUID(int=7)}", {"Digits": "4"}).text


def test_what_became_of_a_text_message_comes_back_to_the_timeline(client: TestClient[Litestar], paged: Stage) -> None:
    first = paged.incident().pages[0].notifications[0]
    path = f"/reply/twilio/status/{first.id}"
    assert signed(client, path, {"MessageStatus": "sent"}).status_code == 204
    assert paged.incident().pages[0].notifications[0].state == "sent"
    assert signed(client, path, {"MessageStatus": "delivered"}).status_code == 204
    assert paged.incident().pages[0].notifications[0].state == "delivered"
    assert "notification.delivered" in paged.story()


def test_a_button_in_mattermost_acts_only_with_our_own_context(
    client: TestClient[Litestar], paged: Stage, clock: VirtualClock
) -> None:
    """page.one_use_case"""
    notification = paged.incident().pages[0].notifications[0]
    with paged.db.transaction() as tx:
        expires_at = tx.now.replace(year=tx.now.year + 1)
    claims = {"reference": str(notification.id), "action": "acknowledge"}
    forged = Signer(["x" * 40]).sign(mattermost._PURPOSE, claims, expires_at=expires_at)
    ours = Signer(["k" * 40]).sign(mattermost._PURPOSE, claims, expires_at=expires_at)
    for body in ({"context": {"signed": forged}}, {"context": {}}, {}):
        assert client.post("/reply/mattermost", json=body).status_code == 403
    answer = client.post("/reply/mattermost", json={"context": {"signed": ours}, "user_name": "alice"}).json()
    assert "is acknowledged" in answer["update"]["message"]
    assert paged.page().acknowledged_by == paged.people["alice"]


def test_no_sign_of_life_while_pages_cannot_go_out() -> None:
    fine = Lag(page_seconds=2, outbox_seconds=10)
    assert why_not_able(lag=fine, silent=[]) is None
    assert why_not_able(lag=None, silent=[]) == "PostgreSQL takes no writes"
    assert "steps" in (why_not_able(lag=fine, silent=["steps"]) or "")
    assert "pages wait" in (why_not_able(lag=Lag(page_seconds=61, outbox_seconds=0), silent=[]) or "")
    assert "messages wait" in (why_not_able(lag=Lag(page_seconds=0, outbox_seconds=301), silent=[]) or "")
    late = [
        Backlog(kind="page.step", due=3, oldest_seconds=12.0, failing=0),
        Backlog(kind="alert.route", due=1, oldest_seconds=40.0, failing=0),
        Backlog(kind="notification.send", due=9, oldest_seconds=99.0, failing=0),
        Backlog(kind="digest.write", due=9, oldest_seconds=9999.0, failing=0),
    ]
    assert lag_of(late) == Lag(page_seconds=40.0, outbox_seconds=99.0)
