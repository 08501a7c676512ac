"""E-mail over a real SMTP server: what arrives, and which refusals are for good."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from watchbill.channels import Context, Sender
from watchbill.channels.email import parse_smtp_url
from watchbill.kernel.errors import SetupError
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.messages import Message, SendOutcome


class Post:
    """Keeps every mail; some recipients it refuses, for good or for now."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.users: list[str] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802  aiosmtpd names it
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        if address.startswith("greylisted"):
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd names it
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "554 5.7.1 smells of spam" if b"spam" in envelope.content else "250 kept"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.users.append(data.login.decode())
        return AuthResult(success=data.password == b"p@ss word", handled=False)


@pytest.fixture
def post() -> Iterator[tuple[Post, str]]:
    post = Post()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(
        post, hostname="127.0.0.1", port=port, authenticator=post.authenticate, auth_require_tls=False
    )
    controller.start()
    yield post, f"127.0.0.1:{port}"
    controller.stop()


def send(url: str | None, address: str = "alice@example.org", **more: Any) -> SendOutcome:
    http = HttpOut()
    sender = Sender(Context(http=http, smtp_url=url, mail_from="Watchbill <pages@wb.example>"))
    try:
        return sender(message(address, **more))
    finally:
        http.close()


def message(address: str, *, subject: str = "[sev2] Zahlung fällt aus", text: str = "Größe → ✓\n") -> Message:
    return Message(channel="email", address=address, subject=subject, text=text, idempotency_key="n-1")


def test_a_mail_arrives_readable_with_the_same_id_at_every_try(post: tuple[Post, str]) -> None:
    """notification.queued"""
    kept, address = post
    link = "Acknowledge: http://wb.example/a/" + "x" * 400 + "\n"
    for _ in range(2):
        assert send(f"smtp://{address}", text=f"Größe → ✓\n{link}").sent
    first, second = kept.mails
    assert first["Subject"] == "[sev2] Zahlung fällt aus"
    assert first["To"] == "alice@example.org"
    assert first.get_body(("plain",)).get_content().replace("\r\n", "\n") == f"Größe → ✓\n{link}"
    assert first["Message-ID"] == second["Message-ID"] == "<n-1@wb.example>"


def test_a_subject_of_several_lines_injects_no_header(post: tuple[Post, str]) -> None:
    kept, address = post
    assert send(f"smtp://{address}", subject="down\r\nBcc: mallory@example.org").sent
    assert kept.mails[0]["Bcc"] is None
    assert kept.mails[0]["Subject"] == "down Bcc: mallory@example.org"


@pytest.mark.parametrize(
    ("address", "text", "permanent", "said"),
    [
        ("gone@example.org", "t", True, "550"),
        ("greylisted@example.org", "t", False, "451"),
        ("alice@example.org", "spam", True, "554"),
    ],
)
def test_5xx_is_for_good_and_4xx_is_for_now(
    post: tuple[Post, str], address: str, text: str, permanent: bool, said: str
) -> None:
    """notification.failed"""
    outcome = send(f"smtp://{post[1]}", address, text=text)
    assert (outcome.sent, outcome.permanent) == (False, permanent)
    assert said in outcome.error


def test_a_server_that_is_not_there_is_for_now() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = send(f"smtp://127.0.0.1:{port}")
    assert (outcome.sent, outcome.permanent) == (False, False)
    assert "ConnectionRefusedError" in outcome.error


def test_a_server_without_starttls_is_given_nothing_when_it_is_asked_for(post: tuple[Post, str]) -> None:
    outcome = send(f"smtp://{post[1]}?starttls")
    assert not outcome.sent
    assert "STARTTLS" in outcome.error
    assert post[0].mails == []


def test_user_and_password_of_the_url_are_used_and_a_wrong_one_is_for_now(post: tuple[Post, str]) -> None:
    kept, address = post
    assert send(f"smtp://al%40ice:p%40ss%20word@{address}").sent
    assert kept.users == ["al@ice"]
    outcome = send(f"smtp://alice:wrong@{address}")
    assert "535" in outcome.error
    assert (outcome.sent, outcome.permanent) == (False, False), "an operator can mend it; the page waits"


def test_without_a_mail_server_the_next_method_is_tried_at_once() -> None:
    outcome = send(None)
    assert outcome.permanent
    assert "WATCHBILL_SMTP_URL" in outcome.error


def test_an_address_of_something_else_is_refused_with_what_to_write() -> None:
    assert parse_smtp_url("smtps://mail.example.org").port == 465
    for wrong in ("http://mail.example.org", "smtp://", "mail.example.org:25"):
        with pytest.raises(SetupError, match="SMTP"):
            parse_smtp_url(wrong)
