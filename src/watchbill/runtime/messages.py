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
    are there for pages only; ``payload`` is the message as data, for machines.
    """

    channel: str
    address: str
    subject: str
    text: str
    idempotency_key: str
    urgent: bool = True
    acknowledge_url: str | None = None
    incident_url: str | None = None
    payload: Mapping[str, Any] = {}


class SendOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one try. ``permanent`` means that trying again cannot help."""

    sent: bool
    permanent: bool = False
    error: str = ""
    provider_ref: str = ""


Send = Callable[[Message], SendOutcome]
"""A channel's way to send. Returns failures as values; ends within its own time limit."""
