"""What an address of each channel looks like. Only a message that arrives proves it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from watchbill.features.identity.logic import is_email
from watchbill.kernel.errors import Invalid

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""ITU-T E.164: a plus, the country's code, at most fifteen digits."""
_SLACK = re.compile(r"[UWCGD][A-Z0-9]{6,20}")
_MATTERMOST = re.compile(r"@[a-z0-9._-]{1,64}|[a-z0-9]{26}")
_TELEGRAM = re.compile(r"-?[1-9][0-9]{0,19}|@[A-Za-z0-9_]{5,32}")
_FILLERS = str.maketrans("", "", " ()-./\u00a0")


class PushSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser's ``PushSubscription.toJSON()`` says (W3C Push API)."""

    endpoint: str
    keys: dict[str, str]


def _email(text: str) -> str:
    if not is_email(text):
        raise Invalid(f"'{text}' is not an e-mail address", field="address", hint="write name@example.org")
    return text


def _number(text: str) -> str:
    number = text.translate(_FILLERS)
    if not _E164.fullmatch(number):
        raise Invalid(
            f"'{text}' is not an international telephone number",
            field="address",
            hint="write it in E.164: + and the country's code, such as +4915112345678",
        )
    return number


def _url(text: str) -> str:
    """Where it may lead is the SSRF guard's to say."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise Invalid("not an http or https URL", field="address", hint="write https://host/path")
    return text


def _apprise(text: str) -> str:
    if "://" not in text:
        raise Invalid(
            "not an apprise URL", field="address", hint="write scheme://…, see https://appriseit.com/services/"
        )
    return text


def _matching(pattern: re.Pattern[str], hint: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise Invalid(f"'{text}' is no address of this channel", field="address", hint=hint)
        return text

    return check


def _subscription(text: str) -> str:
    try:
        given = msgspec.json.decode(text, type=PushSubscription)
    except msgspec.DecodeError as error:
        raise Invalid(
            "not a push subscription", field="address", hint="press 'This device' under My account in the browser"
        ) from error
    _url(given.endpoint)
    keys = {name: given.keys.get(name, "") for name in ("auth", "p256dh")}
    if not all(keys.values()):
        raise Invalid("the subscription has no keys", field="address", hint="subscribe again in the browser")
    return msgspec.json.encode({"endpoint": given.endpoint, "keys": keys}).decode()


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "email": _email,
    "sms": _number,
    "voice": _number,
    "webpush": _subscription,
    "slack": _matching(_SLACK, "write the member's id (U…) or the channel's (C…), from 'Copy member ID' in Slack"),
    "mattermost": _matching(_MATTERMOST, "write @name, or the channel's id of 26 letters and digits"),
    "teams": _url,
    "telegram": _matching(_TELEGRAM, "write the chat's number, which the bot tells you when you send it /start"),
    "ntfy": _url,
    "webhook": _url,
    "apprise": _apprise,
}
CHANNELS = tuple(_CHECKS)
"""Every channel that a contact method may name."""

_SECRET_CHANNELS = frozenset({"webpush", "teams", "webhook", "ntfy", "apprise"})


def check_address(channel: str, address: str) -> str:
    """The address in its one spelling, when this channel could reach it.

    Raises:
        Invalid: it could not; says how to write it.
    """
    check = _CHECKS.get(channel)
    if check is None:
        raise Invalid(f"there is no channel '{channel}'", field="channel", hint=f"use one of {', '.join(CHANNELS)}")
    cleaned = address.strip()
    if not cleaned or len(cleaned) > 2000 or any(ord(sign) < 32 for sign in cleaned):
        raise Invalid("the address is empty, too long or has control characters", field="address")
    return check(cleaned)


def shown_address(channel: str, address: str) -> str:
    """An address as logs, ledgers and small screens may show it: who knows a secret URL may send to it."""
    if channel == "webpush":
        host = urlsplit(msgspec.json.decode(address, type=PushSubscription).endpoint).hostname
        return f"a browser, by {host}"
    if channel not in _SECRET_CHANNELS:
        return address
    parts = urlsplit(address)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}/…" if host else f"{parts.scheme}://…"
