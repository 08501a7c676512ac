"""The chaos switch does nothing without a genuine order, and no more than the order says."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import watchbill_sdk as wb
from watchbill_sdk import contract
from watchbill_sdk.chaos import Chaos, decide, sign, verify
from watchbill_sdk.polling import Poller
from watchbill_sdk.recorder import RECORDER

SECRET = "a secret of sixteen bytes or more"
NOW = 1_800_000_000
ORDER = wb.Experiment(
    id="gameday-7",
    service="shop",
    environment="staging",
    dependency="bank",
    starts_at=NOW,
    expires_at=NOW + 600,
    errors=1.0,
)


def check(token: str, *, service: str = "shop", environment: str = "staging", now: float = NOW + 1) -> wb.Experiment:
    return verify(token, SECRET, service=service, environment=environment, now=now)


def test_a_genuine_order_is_read_back_whole() -> None:
    assert check(sign(ORDER, SECRET)) == ORDER


def test_an_order_is_only_for_its_service_environment_and_time() -> None:
    token = sign(ORDER, SECRET)
    for wrong in ({"service": "bank"}, {"environment": "production"}, {"now": NOW + 600}):
        with pytest.raises(wb.TokenRefused):
            check(token, **wrong)  # type: ignore[arg-type]  # one argument each


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_changed_token_is_obeyed(data: st.DataObject) -> None:
    token = sign(ORDER, SECRET)
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.characters(codec="latin-1"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed.strip() != token:
        with pytest.raises(wb.TokenRefused):
            check(changed)


@pytest.mark.parametrize("token", ["", ".", "a.b", "a" * 1000, "é.é", "..", sign(ORDER, "another secret, long enough")])
def test_nonsense_is_refused_as_a_wrong_signature(token: str) -> None:
    with pytest.raises(wb.TokenRefused, match="signature"):
        check(token)


def test_a_signed_order_that_is_too_much_is_refused_too() -> None:
    def forged(**changes: object) -> str:
        payload = json.loads(base64.urlsafe_b64decode(sign(ORDER, SECRET).split(".")[0] + "=="))
        import hashlib
        import hmac

        body = json.dumps(payload | changes).encode()
        parts = (body, hmac.digest(SECRET.encode(), body, hashlib.sha256))
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    for changes in (
        {"expires_at": NOW + 86400},
        {"errors": 2},
        {"latency": 1e9},
        {"drops": -1},
        {"share": "all"},
        {"id": 7},
    ):
        with pytest.raises(wb.TokenRefused, match="unfit"):
            check(forged(**changes))
    with pytest.raises(wb.ConfigError, match="at most 3600"):
        sign(replace(ORDER, expires_at=NOW + 3601), SECRET)
    with pytest.raises(wb.ConfigError, match="16 bytes"):
        sign(ORDER, "short")


def test_without_a_secret_or_an_identity_nothing_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHBILL_CHAOS_SECRET", raising=False)
    chaos = Chaos(clock=lambda: NOW + 1)
    with pytest.raises(wb.TokenRefused, match="WATCHBILL_CHAOS_SECRET"):
        chaos.arm(sign(ORDER, SECRET))
    with pytest.raises(wb.TokenRefused, match=r"setup\(\)"):
        chaos.arm(sign(ORDER, SECRET), secret=SECRET)
    assert not chaos.armed


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.999), st.floats(0, 0.999), st.integers(-100, 800))
def test_a_call_is_only_touched_in_time_and_within_the_shares(fate: float, slow: float, after: int) -> None:
    order = replace(ORDER, errors=0.2, drops=0.3, share=0.5, latency=0.1)
    found = decide(order, now=NOW + after, fate=fate, slow=slow)
    if not 0 <= after < 600 or (fate >= 0.5 and slow >= 0.5):
        assert found is None
    else:
        assert found is not None
        assert found.effect == ("error" if fate < 0.2 else "drop" if fate < 0.5 else "")
        assert found.wait == (0.1 if slow < 0.5 else 0)


def test_a_drill_fails_slows_and_drops_calls_and_is_evidence_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW + 1.0]
    chaos = Chaos(clock=lambda: now[0], chance=lambda: 0.0)
    chaos.service, chaos.environment = "shop", "staging"
    monkeypatch.setattr("watchbill_sdk.dependency.CHAOS", chaos)
    bank = wb.Dependency("bank", timeout=0.05)
    calls: list[int] = []
    charge = bank(lambda: calls.append(1))

    async def charge_async() -> None:
        calls.append(1)

    chaos.arm(sign(ORDER, SECRET), secret=SECRET)
    with pytest.raises(wb.ChaosError, match="fails"):
        charge()
    chaos.arm(sign(replace(ORDER, errors=0.0, drops=1.0), SECRET), secret=SECRET)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="drops"):
        charge()
    assert 0.04 < time.monotonic() - began < 1, "a drop lasts as long as the caller waits"
    with pytest.raises((wb.DeadlineExceeded, wb.ChaosError)):
        asyncio.run(bank(charge_async)())
    chaos.arm(sign(replace(ORDER, errors=0.0, share=1.0, latency=0.02), SECRET), secret=SECRET)
    began = time.monotonic()
    charge()
    assert time.monotonic() - began >= 0.02
    assert {e.setting for e in wb.evidence() if e.primitive == "drill" and e.used_at} == {"error", "drop", "latency"}
    assert RECORDER.value(contract.CHAOS, "bank", "error", "gameday-7") == 1
    now[0] = NOW + 600.0
    charge()
    assert not chaos.armed
    assert len(calls) == 2


@pytest.fixture
def document() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """A real HTTP server and the answers it will give, one after the other; the last one stays."""
    answers: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            if status == 200 and self.headers.get("If-None-Match") == '"1"' and body == b"same":
                status, body = 304, b""
            self.send_response(status)
            self.send_header("ETag", '"1"')
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/switches.json", answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_switches_and_drills_come_by_http_and_stay_when_it_fails(
    document: tuple[str, list[tuple[int, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers = document
    monkeypatch.setenv("WATCHBILL_CHAOS_SECRET", SECRET)
    monkeypatch.setattr(wb.CHAOS, "service", "shop")
    monkeypatch.setattr(wb.CHAOS, "environment", "staging")
    begins = int(time.time())
    token = sign(replace(ORDER, starts_at=begins, expires_at=begins + 60), SECRET)
    switch, poller = wb.Switch("search-v2"), Poller(url)
    answers.append((200, json.dumps({"switches": {"search-v2": False}, "chaos": [token, "forged"]}).encode()))
    assert poller.poll()
    assert not switch
    assert wb.CHAOS.armed
    for answer in ((500, b""), (200, b"same"), (200, b"{"), (200, b"[]"), (200, b'{"switches": {"search-v2": "off"}}')):
        answers[:] = [answer]
        assert poller.poll() is (answer[1] == b"same")
        assert not switch, "it stays as it was"
    answers[:] = [(200, b"{}")]
    assert poller.poll()
    assert switch
    assert not wb.CHAOS.armed, "an order that is no longer published is over"
    assert not Poller("http://127.0.0.1:9/").poll()
    with pytest.raises(wb.ConfigError):
        Poller("file:///etc/passwd")
