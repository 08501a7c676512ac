"""The long tail by Apprise: any of its notification URLs (appriseit.com/services)."""

from __future__ import annotations

import socket

from watchbill.channels.base import Context, Description
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.http_out import resolve
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="apprise",
    label="Apprise URL",
    address_label="URL",
    example="tgram://bottoken/ChatID",
    note="Slack, Telegram, Matrix, Signal and a hundred more",
)

_ON_THIS_MACHINE = frozenset(
    {"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog", "rsyslog"}
)
"""Schemes that act on the server itself: of no use to a person, and not theirs to use."""


def build(context: Context) -> Send:
    import apprise  # 0.2 s to import, so only where it is used

    def send(message: Message) -> SendOutcome:
        scheme = message.address.split("://", 1)[0].lower()
        if scheme in _ON_THIS_MACHINE:
            return SendOutcome(sent=False, permanent=True, error=f"'{scheme}' notifies this server, not a person")
        plugin = apprise.Apprise.instantiate(message.address, suppress_exceptions=True)
        if plugin is None:
            return SendOutcome(sent=False, permanent=True, error="not a URL that Apprise understands")
        host = getattr(plugin, "host", None)
        if host:
            try:
                resolve(host, getattr(plugin, "port", None) or 443, allow_private=context.allow_private_addresses)
            except WatchbillError as error:
                return SendOutcome(sent=False, permanent=True, error=error.problem.message)
            except socket.gaierror as error:
                return SendOutcome(sent=False, error=f"cannot resolve {host}: {error}")
        sent = plugin.notify(body=message.text, title=message.subject)
        return SendOutcome(sent=True) if sent else SendOutcome(sent=False, error=f"{scheme}: not taken by the provider")

    return send
