"""E-mail over SMTP (RFC 5321), plain text with the acknowledge link on a line of its own."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from watchbill.channels.base import Context, Description
from watchbill.kernel.errors import SetupError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="email", label="E-mail", address_label="Address", example="alice@example.org"
)

_TIME_LIMIT_SECONDS = 10.0


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail is handed in."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool
    starttls: bool


def parse_smtp_url(url: str) -> Server:
    """Read ``smtp://user:password@host:587?starttls`` or ``smtps://…`` (implicit TLS, RFC 8314).

    Raises:
        SetupError: another scheme, or no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SetupError(
            "WATCHBILL_SMTP_URL is not an SMTP address",
            hint="write smtp://user:password@host:587?starttls or smtps://host:465",
        )
    tls = parts.scheme == "smtps"
    return Server(
        host=parts.hostname,
        port=parts.port or (465 if tls else 25),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        starttls="starttls" in parse_qs(parts.query, keep_blank_values=True),
    )


def build(context: Context) -> Send:
    server = parse_smtp_url(context.smtp_url) if context.smtp_url else None

    def send(message: Message) -> SendOutcome:
        if server is None:
            return SendOutcome(
                sent=False, permanent=True, error="no mail server is set (WATCHBILL_SMTP_URL)"
            )
        try:
            return deliver(server, _email(message, context.mail_from))
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
            return _refused(error)
        except smtplib.SMTPResponseException as error:
            return SendOutcome(
                sent=False,
                permanent=500 <= error.smtp_code < 600 and not isinstance(error, smtplib.SMTPAuthenticationError),
                error=f"{error.smtp_code} {_text(error.smtp_error)}",
            )
        except (smtplib.SMTPException, OSError) as error:
            return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")

    return send


def deliver(server: Server, mail: EmailMessage) -> SendOutcome:
    """Hand one mail in.

    Raises:
        smtplib.SMTPException, OSError: it was not taken.
    """
    if server.tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=_TIME_LIMIT_SECONDS, context=ssl.create_default_context()
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=_TIME_LIMIT_SECONDS)
    with connection:
        if server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if server.user is not None:
            connection.login(server.user, server.password or "")
        connection.send_message(mail)
    return SendOutcome(sent=True, provider_ref=mail["Message-ID"])


def _email(message: Message, mail_from: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = mail_from
    mail["To"] = message.address
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = formatdate(usegmt=True)
    # The same id for every try, so that a mailbox shows a repeated delivery once.
    domain = parseaddr(mail_from)[1].rpartition("@")[2] or "watchbill"
    mail["Message-ID"] = f"<{message.idempotency_key}@{domain}>"
    if message.urgent:
        mail["Importance"] = "high"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def _refused(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused) -> SendOutcome:
    if isinstance(error, smtplib.SMTPSenderRefused):
        return SendOutcome(
            sent=False, permanent=error.smtp_code >= 500, error=f"{error.smtp_code} {_text(error.smtp_error)}"
        )
    codes = [code for code, _ in error.recipients.values()]
    texts = "; ".join(f"{code} {_text(text)}" for code, text in error.recipients.values())
    return SendOutcome(sent=False, permanent=all(code >= 500 for code in codes), error=texts)


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
