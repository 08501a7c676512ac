"""A real SMTP server on loopback that keeps every mail: the inbox of everybody at shop.example."""

from __future__ import annotations

import email
import email.policy
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

ACKNOWLEDGE = re.compile(r"https?://\S+/a/\S+")


@dataclass(frozen=True)
class Mail:
    """One mail as it came over the wire; ``at`` is `time.monotonic` of its arrival."""

    at: float
    to: tuple[str, ...]
    subject: str
    text: str

    @property
    def acknowledge_url(self) -> str | None:
        """The signed link in it."""
        found = ACKNOWLEDGE.search(self.text)
        return found.group(0) if found else None


class Mailbox:
    """Listens on ``port``; `mails` are those that came, oldest first."""

    def __init__(self, port: int) -> None:
        self._arrived = threading.Condition()
        self._mails: list[Mail] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self.url = f"smtp://127.0.0.1:{port}"

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    @property
    def mails(self) -> list[Mail]:
        with self._arrived:
            return list(self._mails)

    def wait_for(self, wanted: Callable[[Mail], bool], *, timeout_seconds: float) -> Mail | None:
        """The first mail that fits, waiting for it; None when none came in time."""
        end = time.monotonic() + timeout_seconds
        with self._arrived:
            while True:
                for mail in self._mails:
                    if wanted(mail):
                        return mail
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._arrived.wait(left)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Called by aiosmtpd for every mail; its names."""
        content: Any = envelope.content
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        mail = Mail(
            at=time.monotonic(),
            to=tuple(envelope.rcpt_tos),
            subject=str(message["Subject"]),
            text=str(body.get_content()) if body else "",
        )
        with self._arrived:
            self._mails.append(mail)
            self._arrived.notify_all()
        return "250 kept"
