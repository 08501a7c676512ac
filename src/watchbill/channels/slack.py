"""Slack: a message with buttons by ``chat.postMessage`` (docs.slack.dev/reference/methods/chat.postMessage)."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from watchbill.channels.base import Context, Description, not_set, outcome_of, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="slack",
    label="Slack",
    address_label="Member or channel id",
    example="U024BE7LH",
    note="'Copy member ID' in your profile's menu; the bot must be in a channel to write there",
)

ACKNOWLEDGE, RESOLVE = "watchbill_acknowledge", "watchbill_resolve"
"""``action_id`` of the buttons; their ``value`` is the notification."""

_PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_LONGEST = 2900
"""A section's text has at most 3000 characters."""


class _Posted(msgspec.Struct, frozen=True):
    ok: bool = False
    error: str = ""
    channel: str = ""
    ts: str = ""


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        if not context.slack_bot_token:
            return not_set("WATCHBILL_SLACK_BOT_TOKEN")
        try:
            answer = context.provider_http.request(
                "POST",
                f"{context.slack_url.rstrip('/')}/chat.postMessage",
                json={"channel": message.address, "text": message.subject, "blocks": blocks(message)},
                headers={
                    "authorization": f"Bearer {context.slack_bot_token}",
                    "content-type": "application/json; charset=utf-8",
                },
            )
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)
        if not answer.ok:
            return outcome_of(answer)
        try:
            posted = msgspec.json.decode(answer.body, type=_Posted)
        except msgspec.DecodeError:
            return SendOutcome(sent=False, error="Slack: not an answer of its API")
        if posted.ok:
            return SendOutcome(sent=True, provider_ref=f"{posted.channel}:{posted.ts}")
        return SendOutcome(sent=False, permanent=posted.error not in _PASSING, error=f"Slack: {posted.error}")

    return send


def blocks(message: Message) -> list[dict[str, Any]]:
    """Block Kit: what it is about, and what to do."""
    text = message.text if len(message.text) <= _LONGEST else message.text[:_LONGEST] + "…"
    found = [
        {"type": "header", "text": {"type": "plain_text", "text": message.subject[:150]}},
        {"type": "section", "text": {"type": "plain_text", "text": text}},
    ]
    buttons: list[dict[str, Any]] = []
    if message.reference:
        buttons.append(_button(ACKNOWLEDGE, "Acknowledge", message.reference) | {"style": "primary"})
        buttons.append(_button(RESOLVE, "Resolve", message.reference) | {"confirm": _CONFIRM})
    if message.incident_url:
        buttons.append(_button("watchbill_open", "Open", "open") | {"url": message.incident_url})
    elif message.acknowledge_url:
        buttons.append(
            _button("watchbill_confirm", message.acknowledge_label, "confirm") | {"url": message.acknowledge_url}
        )
    return [*found, {"type": "actions", "elements": buttons}] if buttons else found


_CONFIRM = {
    "title": {"type": "plain_text", "text": "Resolve the incident?"},
    "text": {
        "type": "plain_text",
        "text": "Its pages end, for every team. Alerts that still fire are held for 30 minutes.",
    },
    "confirm": {"type": "plain_text", "text": "Resolve"},
    "deny": {"type": "plain_text", "text": "Not yet"},
}


def _button(action_id: str, text: str, value: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": text},
        "value": value,
    }
