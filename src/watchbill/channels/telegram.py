"""Telegram: a bot's message with an inline keyboard (core.telegram.org/bots/api). Answers come by ``getUpdates``."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from watchbill.channels.base import Context, Description, not_set, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="telegram",
    label="Telegram",
    address_label="Chat number",
    example="123456789",
    note="send the bot /start and it answers with the number",
)

_LONGEST = 4000
"""``text`` has at most 4096 characters."""
ACKNOWLEDGE, RESOLVE = "ack:", "res:"
"""What ``callback_data`` (64 bytes at most) begins with; the notification follows."""


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float | None = None


class Reply(msgspec.Struct, frozen=True):
    """The envelope of every answer of the Bot API."""

    ok: bool = False
    result: Any = None
    description: str = ""
    error_code: int = 0
    parameters: _Parameters = _Parameters()


def call(context: Context, method: str, values: dict[str, Any]) -> Reply:
    """Call a method of the Bot API.

    Raises:
        httpx.HTTPError: no answer. The token is part of the URL, and never of an error.
    """
    answer = context.provider_http.request(
        "POST", f"{context.telegram_url.rstrip('/')}/bot{context.telegram_bot_token}/{method}", json=values
    )
    try:
        return msgspec.json.decode(answer.body, type=Reply)
    except msgspec.DecodeError:
        return Reply(error_code=answer.status, description=f"HTTP {answer.status}, not an answer of the Bot API")


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        token = context.telegram_bot_token
        if not token:
            return not_set("WATCHBILL_TELEGRAM_BOT_TOKEN")
        try:
            reply = call(context, "sendMessage", _values(message))
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            outcome = outcome_of_error(error)
            return msgspec.structs.replace(outcome, error=outcome.error.replace(token, "…"))
        if reply.ok:
            return SendOutcome(sent=True, provider_ref=str((reply.result or {}).get("message_id", "")))
        return SendOutcome(
            sent=False,
            permanent=400 <= reply.error_code < 500 and reply.error_code != 429,
            error=f"Telegram {reply.error_code}: {reply.description}",
            retry_after_seconds=reply.parameters.retry_after,
        )

    return send


def _values(message: Message) -> dict[str, Any]:
    values: dict[str, Any] = {
        "chat_id": int(message.address) if message.address.lstrip("-").isdigit() else message.address,
        "text": message.text[:_LONGEST],
        "disable_notification": not message.urgent,
        "link_preview_options": {"is_disabled": True},
    }
    if message.reference:
        values["reply_markup"] = {
            "inline_keyboard": [
                [
                    {"text": "Acknowledge", "callback_data": f"{ACKNOWLEDGE}{message.reference}"},
                    {"text": "Resolve", "callback_data": f"{RESOLVE}{message.reference}"},
                ]
            ]
        }
    return values
