"""What goes to a person over a channel, whoever has something to say: a page, a digest.

Features compose messages, channels deliver them; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel is given. ``idempotency_key`` is the same for every try of one message.

    ``urgent`` asks the recipient's device to make itself heard. ``acknowledge_url`` and ``incident_url``
    are there for pages only; ``payload`` is the message as data, for machines. ``short`` is for text messages and
    ``spoken`` for calls (both empty: made of ``subject``). ``reference`` names the notification that an answer through
    the channel itself (a key, a button, a reply) belongs to; empty when no answer is expected.
    """

    channel: str
    address: str
    subject: str
    text: str
    idempotency_key: str
    urgent: bool = True
    acknowledge_url: str | None = None
    acknowledge_label: str = "Acknowledge"
    incident_url: str | None = None
    short: str = ""
    spoken: str = ""
    reference: str = ""
    payload: Mapping[str, Any] = {}


class SendOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one try. ``permanent`` means that trying again cannot help.

    ``retry_after_seconds`` is what the provider asked for (RFC 9110, ``Retry-After``); ``provider_ref`` its own name
    for the message.
    """

    sent: bool
    permanent: bool = False
    error: str = ""
    provider_ref: str = ""
    retry_after_seconds: float | None = None


Send = Callable[[Message], SendOutcome]
"""A channel's way to send. Returns failures as values; ends within its own time limit."""
