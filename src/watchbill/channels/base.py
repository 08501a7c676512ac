"""What every channel is given, and how one describes itself."""

from __future__ import annotations

import httpx
import msgspec

from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.http_out import Answer, HttpOut
from watchbill.runtime.messages import SendOutcome


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The installation's own settings for sending."""

    http: HttpOut
    smtp_url: str | None
    mail_from: str
    allow_private_addresses: bool = False


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """How a channel shows itself in forms and docs."""

    name: str
    label: str
    address_label: str
    example: str
    note: str = ""


def outcome_of(answer: Answer) -> SendOutcome:
    """The outcome that an HTTP status means.

    2xx is sent. 408, 425, 429 and 5xx may pass; any other 4xx will not (RFC 9110, section 15).
    """
    if answer.ok:
        return SendOutcome(sent=True, provider_ref=answer.headers.get("x-request-id", ""))
    passing = answer.status in {408, 425, 429} or answer.status >= 500
    return SendOutcome(sent=False, permanent=not passing, error=f"HTTP {answer.status}: {answer.text[:200].strip()}")


def outcome_of_error(error: Exception) -> SendOutcome:
    """The outcome of no answer at all: forbidden addresses are permanent, the rest may pass."""
    if isinstance(error, WatchbillError):
        return SendOutcome(sent=False, permanent=True, error=error.problem.message)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return SendOutcome(sent=False, permanent=True, error=str(error))
    return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")
