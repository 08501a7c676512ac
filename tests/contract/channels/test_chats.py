"""Slack's Socket Mode by its own SDK, Slack's user groups and Telegram's updates, against servers on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.journeys.stage import ACTOR, Stage
from watchbill.channels import Context
from watchbill.features import catalog, identity
from watchbill.kernel.clock import VirtualClock
from watchbill.processes.chat import SlackSocket, telegram_loop
from watchbill.processes.heartbeat import Heartbeat
from watchbill.processes.reaching import UserGroups, watch_itself
from watchbill.runtime import due
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.loops import Loop


class Chats:
    """Slack, Telegram and a heartbeat service in one server; what comes in is kept by path."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.acked: list[str] = []
        self.pressed: dict[str, Any] | None = None
        self.updates: list[dict[str, Any]] = []
        self.loop = asyncio.new_event_loop()
        self.url = ""
        ready = threading.Event()

        async def run() -> None:
            app = web.Application()
            app.router.add_get("/socket", self._socket)
            app.router.add_route("*", "/{rest:.*}", self._call)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]  # asyncio's
            self.runner = runner
            ready.set()

        def serve() -> None:
            self.loop.run_until_complete(run())
            self.loop.run_forever()

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()
        ready.wait(5)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def calls(self, path: str) -> list[Any]:
        return [body for seen, body in self.seen if seen == path]

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        while self.pressed is None:
            await asyncio.sleep(0.01)
        envelope = {"envelope_id": "e-1", "type": "interactive", "accepts_response_payload": False}
        await socket.send_json({**envelope, "payload": self.pressed})
        async for message in socket:
            if message.type == web.WSMsgType.TEXT:
                self.acked.append(json.loads(message.data)["envelope_id"])
        return socket

    async def _call(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text.startswith("{") else dict(await request.post())
        self.seen.append((request.path, body))
        if request.path == "/api/apps.connections.open":
            assert request.headers["authorization"] == "Bearer xapp-1"
            return web.json_response({"ok": True, "url": self.url.replace("http", "ws") + "/socket"})
        if request.path.endswith("/getUpdates"):
            found = [each for each in self.updates if each["update_id"] >= body.get("offset", 0)]
            return web.json_response({"ok": True, "result": found})
        return web.json_response({"ok": True, "result": {"message_id": 9}, "users": []})


@pytest.fixture
def chats() -> Iterator[Chats]:
    made = Chats()
    yield made
    made.stop()


@pytest.fixture
def http() -> Iterator[HttpOut]:
    made = HttpOut(allow_private=True)
    yield made
    made.close()


@pytest.fixture
def paged(db: Database, clock: VirtualClock) -> Stage:
    stage = Stage(db, clock)
    stage.team("payments", "alice", "bob")
    stage.service("payments", owner="payments")
    with db.transaction() as tx:
        for channel, address in (("slack", "U0ALICE1"), ("telegram", "4711")):
            identity.add_contact_method(
                tx, person_id=stage.people["alice"], channel=channel, address=address, actor=ACTOR
            )
    stage.fire()
    return stage


def settings_of(chats: Chats, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, slack_url=f"{chats.url}/api", slack_bot_token="xoxb-1", slack_app_token="xapp-1")


def until(true: Any) -> bool:
    end = time.monotonic() + 5
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_button_in_slack_acknowledges_over_socket_mode_and_the_message_says_so(
    chats: Chats, paged: Stage, tmp_path: Path
) -> None:
    """page.one_use_case"""
    notification = paged.incident().pages[0].notifications[0]
    socket = SlackSocket(paged.db, settings_of(chats, tmp_path))
    socket.start()
    try:
        chats.pressed = {
            "type": "block_actions",
            "user": {"id": "U0ALICE1"},
            "container": {"channel_id": "D1", "message_ts": "1.2"},
            "message": {"text": "t", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "x"}}]},
            "actions": [{"action_id": "watchbill_acknowledge", "value": str(notification.id)}],
        }
        assert until(lambda: chats.calls("/api/chat.update"))
    finally:
        socket.stop()
    assert chats.acked == ["e-1"]
    assert paged.page().acknowledged_by == paged.people["alice"]
    said = chats.calls("/api/chat.update")[0]
    assert (said["channel"], said["ts"]) == ("D1", "1.2")
    assert "Incident 1 is acknowledged" in json.dumps(said["blocks"])


def context_of(chats: Chats, http: HttpOut) -> Context:
    return Context(
        http=http,
        smtp_url=None,
        mail_from="wb@example.org",
        slack_url=f"{chats.url}/api",
        slack_bot_token="xoxb-1",
        telegram_url=chats.url,
        telegram_bot_token="12:secret",
    )


def test_the_user_group_follows_who_is_on_call_and_is_asked_for_once(chats: Chats, paged: Stage, http: HttpOut) -> None:
    with paged.db.transaction() as tx:
        catalog.add_team_channel(
            tx,
            team_id=paged.teams["payments"],
            name="duty",
            channel=catalog.USER_GROUP,
            address="S0DUTY12",
            actor=ACTOR,
        )
    groups = UserGroups(paged.db, context_of(chats, http))
    groups.keep()
    groups.keep()
    with paged.db.transaction() as tx:
        from watchbill.features import oncall

        on_call = oncall.people_on_call(tx, team_id=paged.teams["payments"], at=tx.now).people
    wanted = [{"usergroup": "S0DUTY12", "users": "U0ALICE1"}] if paged.people["alice"] in on_call else []
    assert chats.calls("/api/usergroups.users.update") == wanted


def test_telegrams_buttons_and_start_are_answered(chats: Chats, paged: Stage, http: HttpOut) -> None:
    """page.one_use_case"""
    notification = paged.incident().pages[0].notifications[0]
    where = {"chat": {"id": 4711}, "message_id": 3}
    chats.updates = [
        {"update_id": 5, "message": {"text": "/start", "chat": {"id": 99}}},
        {
            "update_id": 6,
            "callback_query": {"id": "q", "from": {"id": 4711}, "data": f"ack:{notification.id}", "message": where},
        },
        {"update_id": 7, "callback_query": {"id": "r", "from": {"id": 1}, "data": "ack:nonsense", "message": where}},
    ]
    loop = telegram_loop(paged.db, context_of(chats, http))
    loop.run_once()
    loop.run_once()
    assert paged.page().acknowledged_by == paged.people["alice"]
    said = [body["text"] for body in chats.calls("/bot12:secret/sendMessage")]
    assert "99" in said[0]
    assert "is acknowledged" in said[1]
    assert chats.calls("/bot12:secret/getUpdates")[1]["offset"] == 8


def test_the_sign_of_life_is_given_only_while_pages_can_go_out_and_watchbill_alerts_about_itself(
    chats: Chats, paged: Stage, http: HttpOut
) -> None:
    watched = Loop("steps", lambda: 0)
    watched.run_once()
    heart = Heartbeat(paged.db, urls=[f"{chats.url}/ping/secret"], watched=[watched], http=http)
    heart.beat()
    assert len(chats.calls("/ping/secret")) == 1
    firing: set[str] = set()
    with paged.db.transaction() as tx:
        late = tx.now.replace(year=tx.now.year - 1)
        due.schedule(tx, kind="page.step", subject="stuck", due_at=late)
    heart.beat()
    assert len(chats.calls("/ping/secret")) == 1, "a step waits: no sign of life"
    watch_itself(paged.db, firing)
    with paged.db.transaction() as tx:
        due.cancel(tx, kind="page.step", subject="stuck")
    heart.beat()
    assert len(chats.calls("/ping/secret")) == 2
    paged.work()
    assert any("Pages are late" in incident_title(paged, number) for number in (1, 2))
    watch_itself(paged.db, set())
    paged.work()
    assert paged.incident(2).alerts[0].state == "resolved"


def incident_title(stage: Stage, number: int) -> str:
    return stage.incident(number).incident.title
