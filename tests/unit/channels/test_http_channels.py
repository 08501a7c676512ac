"""Webhook, ntfy and Apprise against a real HTTP server on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from watchbill.channels import MODULES, Context, Sender, describe
from watchbill.features.identity import CHANNELS
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.messages import Message, SendOutcome

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # a plugin of Apprise imports it


class Target:
    """Answers with ``status`` and remembers what came."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        came, target = self.came, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                came.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(target.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.stop()


def send(channel: str, address: str, *, private: bool = True) -> SendOutcome:
    http = HttpOut(allow_private=private)
    context = Context(http=http, smtp_url=None, mail_from="a@b.example", allow_private_addresses=private)
    message = Message(
        channel=channel,
        address=address,
        subject="[sev1] Zahlung fällt aus",
        text="what happened\n",
        idempotency_key="n-1",
        acknowledge_url="http://wb.example/a/signed",
        incident_url="http://wb.example/incidents/1",
        payload={"type": "page", "incident": {"number": 1, "severity": "sev1"}},
    )
    try:
        return Sender(context)(message)
    finally:
        http.close()


def test_a_webhook_gets_the_page_as_json_with_the_same_key_at_every_try(target: Target) -> None:
    """notification.queued"""
    target.status = 503
    assert not send("webhook", f"http://{target.address}/hook").sent
    target.status = 204
    assert send("webhook", f"http://{target.address}/hook").sent
    assert [headers["idempotency-key"] for _, headers, _ in target.came] == ["n-1", "n-1"]
    body = json.loads(target.came[1][2])
    assert body["incident"]["number"] == 1
    assert body["subject"] == "[sev1] Zahlung fällt aus"


def test_ntfy_gets_text_priority_and_a_way_to_acknowledge(target: Target) -> None:
    assert send("ntfy", f"http://{target.address}/topic").sent
    ((path, headers, body),) = target.came
    assert path == "/topic"
    assert body == b"what happened\n"
    assert headers["priority"] == "urgent"
    assert headers["actions"].endswith("http://wb.example/a/signed")
    assert headers["title"].isascii()


@pytest.mark.parametrize("channel", ["webhook", "ntfy"])
@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (401, True), (404, True), (410, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_which_answers_are_for_good(target: Target, channel: str, status: int, permanent: bool) -> None:
    """notification.failed"""
    target.status = status
    outcome = send(channel, f"http://{target.address}/x")
    assert (outcome.sent, outcome.permanent) == (False, permanent)
    assert str(status) in outcome.error


@pytest.mark.parametrize("channel", ["webhook", "ntfy"])
def test_nobody_there_is_for_now(channel: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = send(channel, f"http://127.0.0.1:{port}/x")
    assert (outcome.sent, outcome.permanent) == (False, False)


@pytest.mark.parametrize(("channel", "scheme"), [("webhook", "http"), ("ntfy", "http"), ("apprise", "json")])
def test_a_private_address_is_refused_unless_the_installation_allows_it(
    target: Target, channel: str, scheme: str
) -> None:
    outcome = send(channel, f"{scheme}://{target.address}/x", private=False)
    assert (outcome.sent, outcome.permanent) == (False, True)
    assert target.came == []


def test_an_apprise_url_is_delivered(target: Target) -> None:
    assert send("apprise", f"json://{target.address}/x").sent
    body: dict[str, Any] = json.loads(target.came[0][2])
    assert body["title"] == "[sev1] Zahlung fällt aus"
    assert "what happened" in body["message"]


@pytest.mark.parametrize("address", ["nonsense://x", "syslog://", "dbus://", "no url"])
def test_an_apprise_url_that_reaches_no_person_is_refused_for_good(address: str) -> None:
    outcome = send("apprise", address)
    assert (outcome.sent, outcome.permanent) == (False, True)


def test_an_unknown_channel_is_a_failure_for_good() -> None:
    assert send("pigeon", "x").permanent


def test_each_channel_says_what_its_address_looks_like() -> None:
    assert [found.name for found in describe()] == [*MODULES]
    assert set(MODULES) == set(CHANNELS), "what identity takes as an address, a channel can reach"
    assert all(found.example and found.address_label for found in describe())
