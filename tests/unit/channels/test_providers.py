"""Twilio, Slack, Mattermost, Teams, Telegram and web push, against servers that check what their documentation asks."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.etree import ElementTree

import http_ece
import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from watchbill.channels import Context, Sender, limits_of, mattermost, twilio, webpush
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Forbidden, SetupError
from watchbill.runtime.config import Settings
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.messages import Message, SendOutcome
from watchbill.runtime.signing import Signer

Answer = tuple[int, dict[str, str], bytes]
Provider = Callable[[str, str, dict[str, str], bytes], Answer]
REFERENCE = str(uuid4())


class Loopback:
    """One HTTP server; ``provider`` answers, and what it raises fails the test."""

    def __init__(self) -> None:
        self.provider: Provider = lambda *_: (500, {}, b"")
        self.failures: list[BaseException] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    status, more, answer = outer.provider(self.command, self.path, headers, body)
                except BaseException as error:  # noqa: BLE001  told to the test
                    outer.failures.append(error)
                    status, more, answer = 599, {}, b""
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = _serve  # noqa: N815  the library's names

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def running() -> Iterator[Loopback]:
    server = Loopback()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def loopback(running: Loopback) -> Iterator[Loopback]:
    running.failures.clear()
    yield running
    if running.failures:
        raise running.failures[0]


KEY = webpush.new_key()
SIGNER = Signer(["k" * 40])


def send(loopback: Loopback, channel: str, address: str, **more: Any) -> SendOutcome:
    http = HttpOut(allow_private=True, timeout_seconds=3)
    context = Context(
        http=http,
        smtp_url=None,
        mail_from="Watchbill <pages@wb.example>",
        allow_private_addresses=True,
        base_url="https://wb.example",
        signer=SIGNER,
        push_key=lambda: KEY,
        twilio_account_sid="AC1",
        twilio_auth_token="tok",
        twilio_from="+15005550006",
        twilio_url=loopback.url,
        slack_bot_token="xoxb-1",
        slack_url=f"{loopback.url}/api",
        mattermost_url=loopback.url,
        mattermost_token="mm",
        telegram_bot_token="12:secret",
        telegram_url=loopback.url,
    )
    try:
        return Sender(msgspec.structs.replace(context, **more))(page(channel, address))
    finally:
        http.close()


def page(channel: str, address: str) -> Message:
    return Message(
        channel=channel,
        address=address,
        subject="[sev2] Checkout <fails> & burns · incident 12",
        text="Checkout fails\n\nAcknowledge: https://wb.example/a/x\n",
        short="[sev2] Checkout fails. Reply 'ack 12' or https://wb.example/a/x",
        spoken="Page for team payments. Checkout <fails> & burns.",
        idempotency_key="n-1",
        acknowledge_url="https://wb.example/a/x",
        incident_url="https://wb.example/incidents/12",
        reference=REFERENCE,
    )


def as_json(status: int, body: object, **headers: str) -> Answer:
    return status, {"content-type": "application/json", **headers}, json.dumps(body).encode()


def twilio_account(wanted: str, answer: Answer, seen: list[list[tuple[str, str]]]) -> Provider:
    def provider(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        assert (method, path) == ("POST", f"/2010-04-01/Accounts/AC1/{wanted}.json")
        assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"AC1:tok"
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        seen.append(parse_qsl(body.decode(), strict_parsing=True))
        return answer

    return provider


def test_a_text_message_says_how_to_answer_and_asks_to_be_told_what_became_of_it(loopback: Loopback) -> None:
    seen: list[list[tuple[str, str]]] = []
    loopback.provider = twilio_account("Messages", as_json(201, {"sid": "SM1", "status": "queued"}), seen)
    outcome = send(loopback, "sms", "+4915112345678")
    assert (outcome.sent, outcome.provider_ref) == (True, "SM1")
    form = dict(seen[0])
    assert (form["To"], form["From"]) == ("+4915112345678", "+15005550006")
    assert "ack 12" in form["Body"]
    assert form["StatusCallback"] == f"https://wb.example/reply/twilio/status/{REFERENCE}"
    send(loopback, "sms", "+4915112345678", twilio_from="MG9")
    assert dict(seen[1])["MessagingServiceSid"] == "MG9"


def test_a_call_carries_its_words_and_where_the_key_goes(loopback: Loopback) -> None:
    seen: list[list[tuple[str, str]]] = []
    loopback.provider = twilio_account("Calls", as_json(201, {"sid": "CA1"}), seen)
    assert send(loopback, "voice", "+4915112345678").provider_ref == "CA1"
    spoken = ElementTree.fromstring(dict(seen[0])["Twiml"])
    gather = spoken.find("Gather")
    assert gather is not None
    assert gather.attrib["action"] == f"https://wb.example/reply/twilio/keys/{REFERENCE}"
    assert gather.attrib["numDigits"] == "1"
    said = gather.findtext("Say") or ""
    assert "Checkout <fails> & burns" in said
    assert "Press 4 to acknowledge" in said
    assert [v for k, v in seen[0] if k == "StatusCallbackEvent"] == ["answered", "completed"]


@pytest.mark.parametrize(
    ("answer", "permanent", "after"),
    [
        (as_json(400, {"code": 21211, "message": "Invalid 'To' Phone Number", "status": 400}), True, None),
        (as_json(429, {"code": 20429, "message": "Too Many Requests"}, **{"retry-after": "7"}), False, 7.0),
        (as_json(503, {"message": "away"}), False, None),
        ((500, {}, b"<html>"), False, None),
    ],
)
def test_what_twilio_refuses_for_good_moves_on_and_the_rest_is_tried_again(
    loopback: Loopback, answer: Answer, permanent: bool, after: float | None
) -> None:
    """notification.failed"""
    loopback.provider = twilio_account("Messages", answer, [])
    outcome = send(loopback, "sms", "+4915112345678")
    assert (outcome.sent, outcome.permanent, outcome.retry_after_seconds) == (False, permanent, after)


def test_a_channel_that_is_not_set_up_fails_for_good_and_names_the_setting(loopback: Loopback) -> None:
    for channel, missing in (
        ("sms", "twilio_auth_token"),
        ("voice", "twilio_from"),
        ("slack", "slack_bot_token"),
        ("mattermost", "mattermost_url"),
        ("telegram", "telegram_bot_token"),
    ):
        outcome = send(loopback, channel, "+4915112345678", **{missing: None})
        assert outcome.permanent
        assert "WATCHBILL_" in outcome.error


def test_the_signature_is_the_one_of_twilios_documentation() -> None:
    """The example of twilio.com/docs/usage/security."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio.signature("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert twilio.is_from_twilio("12345", url, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not twilio.is_from_twilio("12345", url, {**form, "Digits": "4"}, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not twilio.is_from_twilio("12345", url, form, "ü")


def test_slack_gets_blocks_with_buttons_that_name_the_notification(loopback: Loopback) -> None:
    seen: list[Any] = []

    def provider(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        assert (method, path, headers["authorization"]) == ("POST", "/api/chat.postMessage", "Bearer xoxb-1")
        seen.append(json.loads(body))
        return as_json(200, {"ok": True, "channel": "D1", "ts": "1.2"})

    loopback.provider = provider
    assert send(loopback, "slack", "U024BE7LH").provider_ref == "D1:1.2"
    said = seen[0]
    assert said["channel"] == "U024BE7LH"
    header, section, actions = said["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000
    buttons = {each["action_id"]: each for each in actions["elements"]}
    assert buttons["watchbill_acknowledge"]["value"] == buttons["watchbill_resolve"]["value"] == REFERENCE
    assert buttons["watchbill_open"]["url"] == "https://wb.example/incidents/12"


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (as_json(200, {"ok": False, "error": "channel_not_found"}), True),
        (as_json(200, {"ok": False, "error": "invalid_auth"}), True),
        (as_json(200, {"ok": False, "error": "internal_error"}), False),
        (as_json(429, {"ok": False, "error": "ratelimited"}, **{"retry-after": "30"}), False),
        ((200, {}, b"<html>"), False),
    ],
)
def test_slacks_refusals_are_told_apart(loopback: Loopback, answer: Answer, permanent: bool) -> None:
    loopback.provider = lambda *_: answer
    outcome = send(loopback, "slack", "C024BE7LH")
    assert (outcome.sent, outcome.permanent) == (False, permanent)
    assert outcome.retry_after_seconds == (30.0 if answer[0] == 429 else None)


def test_mattermost_opens_a_direct_channel_once_and_signs_its_buttons(loopback: Loopback, clock: VirtualClock) -> None:
    calls: list[tuple[str, str, Any]] = []

    def provider(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        assert headers["authorization"] == "Bearer mm"
        calls.append((method, path, json.loads(body) if body else None))
        ids = {"/api/v4/users/username/alice": "u-alice", "/api/v4/users/me": "u-bot"}
        ids |= {"/api/v4/channels/direct": "ch-1", "/api/v4/posts": "post-1"}
        return as_json(201 if method == "POST" else 200, {"id": ids[path]})

    loopback.provider = provider
    assert send(loopback, "mattermost", "@alice").provider_ref == "post-1"
    assert calls[2] == ("POST", "/api/v4/channels/direct", ["u-bot", "u-alice"])
    post = calls[3][2]
    assert post["channel_id"] == "ch-1"
    acknowledge, resolve = post["props"]["attachments"][0]["actions"]
    assert acknowledge["integration"]["url"] == "https://wb.example/reply/mattermost"
    signed = acknowledge["integration"]["context"]["signed"]
    assert mattermost.open_context(SIGNER, signed, now=clock.now()) == (REFERENCE, "acknowledge")
    with pytest.raises(Forbidden):
        mattermost.open_context(Signer(["x" * 40]), resolve["integration"]["context"]["signed"], now=clock.now())


def test_teams_gets_an_adaptive_card_whose_button_opens_the_signed_page(loopback: Loopback) -> None:
    seen: list[Any] = []

    def provider(_method: str, _path: str, _headers: dict[str, str], body: bytes) -> Answer:
        seen.append(json.loads(body))
        return 202, {}, b""

    loopback.provider = provider
    assert send(loopback, "teams", f"{loopback.url}/workflows/secret").sent
    (attachment,) = seen[0]["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert [(each["type"], each["url"]) for each in card["actions"]] == [
        ("Action.OpenUrl", "https://wb.example/a/x"),
        ("Action.OpenUrl", "https://wb.example/incidents/12"),
    ]


def test_telegram_gets_buttons_within_its_limits_and_its_token_stays_out_of_errors(loopback: Loopback) -> None:
    seen: list[Any] = []

    def provider(method: str, path: str, _headers: dict[str, str], body: bytes) -> Answer:
        assert (method, path) == ("POST", "/bot12:secret/sendMessage")
        seen.append(json.loads(body))
        return as_json(200, {"ok": True, "result": {"message_id": 7}})

    loopback.provider = provider
    assert send(loopback, "telegram", "-1001234").provider_ref == "7"
    (row,) = seen[0]["reply_markup"]["inline_keyboard"]
    assert seen[0]["chat_id"] == -1001234
    assert all(1 <= len(each["callback_data"].encode()) <= 64 for each in row)
    loopback.provider = lambda *_: as_json(
        429, {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 5}}
    )
    slowed = send(loopback, "telegram", "1")
    assert (slowed.permanent, slowed.retry_after_seconds) == (False, 5.0)
    loopback.provider = lambda *_: as_json(403, {"ok": False, "error_code": 403, "description": "bot was blocked"})
    assert send(loopback, "telegram", "1").permanent
    away = send(loopback, "telegram", "1", telegram_url="http://127.0.0.1:9")
    assert not away.permanent
    assert "secret" not in away.error


class Browser:
    """A subscription with its own keys, as a browser makes it, that can read what was pushed to it."""

    def __init__(self, url: str) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.auth = b"0123456789abcdef"
        point = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": text(point), "auth": text(self.auth)}
        self.address = json.dumps({"endpoint": f"{url}/push/1", "keys": keys})

    def read(self, body: bytes) -> Any:
        plain = http_ece.decrypt(body, private_key=self.private, auth_secret=self.auth, version="aes128gcm")
        return json.loads(plain)


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_web_push_is_encrypted_for_the_browser_and_signed_for_its_service(loopback: Loopback) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    def provider(_method: str, _path: str, headers: dict[str, str], body: bytes) -> Answer:
        assert headers["content-encoding"] == "aes128gcm"
        assert int(headers["ttl"]) > 0
        assert headers["urgency"] == "high"
        assert len(headers["topic"]) <= 32
        seen.append((headers, body))
        return 201, {}, b""

    loopback.provider = provider
    browser = Browser(loopback.url)
    assert send(loopback, "webpush", browser.address).sent
    headers, body = seen[0]
    assert len(body) <= 4096
    shown = browser.read(body)
    assert shown["acknowledge"] == "https://wb.example/a/x"
    token, key = headers["authorization"].removeprefix("vapid t=").split(", k=")
    assert key == webpush.public_key(KEY)
    head, claims, signature = token.split(".")
    assert json.loads(unpacked(head)) == {"typ": "JWT", "alg": "ES256"}
    said = json.loads(unpacked(claims))
    assert said["aud"] == loopback.url
    assert said["sub"] == "mailto:pages@wb.example"
    raw = unpacked(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unpacked(key))
    public.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_a_browser_that_ended_its_subscription_is_no_way_any_more(loopback: Loopback) -> None:
    loopback.provider = lambda *_: (410, {}, b"")
    outcome = send(loopback, "webpush", Browser(loopback.url).address)
    assert outcome.permanent
    assert "ended its subscription" in outcome.error
    assert send(loopback, "webpush", '{"endpoint":"https://x","keys":{}}').permanent


def test_encryption_is_that_of_rfc_8291() -> None:
    """Appendix A: what the RFC's own sender made is read with the receiver's key; ours is read the same way above."""
    private = unpacked("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
    receiver = ec.derive_private_key(int.from_bytes(private), ec.SECP256R1())
    body = unpacked(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    plain = http_ece.decrypt(
        body, private_key=receiver, auth_secret=unpacked("BTBZMqHH6r4Tts7J_aSIgg"), version="aes128gcm"
    )
    assert plain == b"When I grow up, I want to be a watermelon"


def test_limits_are_read_and_nonsense_is_refused_with_how_to_write_it() -> None:
    assert limits_of(Settings(channel_limits="sms=2/5, voice=0.5/1")) == {"sms": (2.0, 5), "voice": (0.5, 1)}
    assert limits_of(Settings(channel_limits="")) == {}
    assert limits_of(Settings())["sms"] == (10.0, 30)
    for wrong in ("pigeon=1/1", "sms", "sms=0/1", "sms=1/0", "sms=x/y"):
        with pytest.raises(SetupError, match="CHANNEL_LIMITS"):
            limits_of(Settings(channel_limits=wrong))
