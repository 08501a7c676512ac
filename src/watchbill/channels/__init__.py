"""Ways to reach a person: one module each, describing itself, so that a new one is a new file.

A channel module has ``DESCRIPTION`` and ``build(context) -> Send``. Sending returns failures as
values: ``permanent`` ones move on to the person's next method at once, others are tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchbill.channels import apprise, email, ntfy, webhook
from watchbill.channels.base import Context, Description
from watchbill.runtime.messages import Message, Send, SendOutcome

MODULES: Mapping[str, Any] = {
    module.DESCRIPTION.name: module for module in (email, ntfy, webhook, apprise)
}
"""Every channel by its name."""


def describe() -> list[Description]:
    """What each channel is called and what its address looks like."""
    return [module.DESCRIPTION for module in MODULES.values()]


class Sender:
    """Hands a message to its channel; channels are built on first use, so that unused ones cost nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._built: dict[str, Send] = {}

    def __call__(self, message: Message) -> SendOutcome:
        send = self._built.get(message.channel)
        if send is None:
            module = MODULES.get(message.channel)
            if module is None:
                return SendOutcome(sent=False, permanent=True, error=f"there is no channel '{message.channel}'")
            build: Callable[[Context], Send] = module.build
            send = self._built.setdefault(message.channel, build(self._context))
        return send(message)


__all__ = ["MODULES", "Context", "Description", "Sender", "describe"]
