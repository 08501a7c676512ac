"""What every channel is given, and how one describes itself."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import msgspec

from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.http_out import Answer, HttpOut
from watchbill.runtime.messages import SendOutcome
from watchbill.runtime.signing import Signer

_LONGEST_WAIT = 600.0


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The installation's own settings for sending.

    ``http`` is for URLs that people gave, ``providers`` for those of the operator's settings. ``push_key`` gives the
    private key (PEM) that web pushes are signed with.
    """

    http: HttpOut
    smtp_url: str | None
    mail_from: str
    allow_private_addresses: bool = False
    providers: HttpOut | None = None
    base_url: str = "http://127.0.0.1:8080"
    signer: Signer | None = None
    push_key: Callable[[], str] | None = None
    twilio_account_sid: str | None = None
    twilio_auth_token: str | None = None
    twilio_from: str | None = None
    twilio_url: str = "https://api.twilio.com"
    slack_bot_token: str | None = None
    slack_url: str = "https://slack.com/api"
    mattermost_url: str | None = None
    mattermost_token: str | None = None
    telegram_bot_token: str | None = None
    telegram_url: str = "https://api.telegram.org"

    @property
    def provider_http(self) -> HttpOut:
        """The client for providers that the operator named."""
        return self.providers or self.http


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """How a channel shows itself in forms and docs."""

    name: str
    label: str
    address_label: str
    example: str
    note: str = ""


def not_set(what: str) -> SendOutcome:
    """The operator has not configured this channel: for good, so that the next method follows at once."""
    return SendOutcome(sent=False, permanent=True, error=f"this channel is not set up here ({what})")


def outcome_of(answer: Answer) -> SendOutcome:
    """The outcome that an HTTP status means.

    2xx is sent. 408, 425, 429 and 5xx may pass; any other 4xx will not (RFC 9110, section 15).
    """
    if answer.ok:
        return SendOutcome(sent=True, provider_ref=answer.headers.get("x-request-id", ""))
    passing = answer.status in {408, 425, 429} or answer.status >= 500
    return SendOutcome(
        sent=False,
        permanent=not passing,
        error=f"HTTP {answer.status}: {answer.text[:200].strip()}",
        retry_after_seconds=retry_after(answer),
    )


def retry_after(answer: Answer) -> float | None:
    """What ``Retry-After`` asks for, in seconds; dates and nonsense are None, and our own pauses are kept."""
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, _LONGEST_WAIT) if seconds >= 0 else None


def outcome_of_error(error: Exception) -> SendOutcome:
    """The outcome of no answer at all: forbidden addresses are permanent, the rest may pass."""
    if isinstance(error, WatchbillError):
        return SendOutcome(sent=False, permanent=True, error=error.problem.message)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return SendOutcome(sent=False, permanent=True, error=str(error))
    return SendOutcome(sent=False, error=f"{type(error).__name__}: {error}")
