"""Mattermost: a post by a bot with buttons (developers.mattermost.com/integrate/plugins/interactive-messages).

A button's context is signed, so that a call-back is believed only for what we posted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from watchbill.channels.base import Context, Description, not_set, outcome_of, outcome_of_error
from watchbill.kernel.errors import Forbidden, WatchbillError
from watchbill.runtime.http_out import Answer
from watchbill.runtime.messages import Message, Send, SendOutcome
from watchbill.runtime.signing import Signer

DESCRIPTION = Description(
    name="mattermost",
    label="Mattermost",
    address_label="@name or channel id",
    example="@alice",
    note="buttons work when the server can reach Watchbill's public address",
)

_PURPOSE = "mattermost"
_BUTTON_FOR = timedelta(days=7)


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class _RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def build(context: Context) -> Send:
    direct: dict[str, str] = {}

    def call(method: str, path: str, json: Any = None) -> str:
        answer = context.provider_http.request(
            method,
            f"{(context.mattermost_url or '').rstrip('/')}/api/v4/{path}",
            json=json,
            headers={"authorization": f"Bearer {context.mattermost_token}"},
        )
        if not answer.ok:
            raise _RefusedError(answer)
        return msgspec.json.decode(answer.body, type=_Named).id

    def channel_of(address: str) -> str:
        """A direct channel between the bot and a person; asked for once."""
        if not address.startswith("@"):
            return address
        if address not in direct:
            user = call("GET", f"users/username/{address[1:]}")
            direct[address] = call("POST", "channels/direct", [call("GET", "users/me"), user])
        return direct[address]

    def send(message: Message) -> SendOutcome:
        if not context.mattermost_url or not context.mattermost_token:
            return not_set("WATCHBILL_MATTERMOST_URL and …_TOKEN")
        try:
            post = {
                "channel_id": channel_of(message.address),
                "message": message.subject,
                "props": {"attachments": [_attachment(context, message)]},
            }
            return SendOutcome(sent=True, provider_ref=call("POST", "posts", post))
        except _RefusedError as refused:
            return outcome_of(refused.answer)
        except msgspec.DecodeError:
            return SendOutcome(sent=False, error="Mattermost: not an answer of its API")
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)

    return send


def _attachment(context: Context, message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"text": message.text[:7000], "fallback": message.subject}
    if message.reference and context.signer is not None:
        expires_at = datetime.now(UTC) + _BUTTON_FOR
        found["actions"] = [
            {
                "id": action,
                "name": label,
                "style": style,
                "integration": {
                    "url": f"{context.base_url}/reply/mattermost",
                    "context": {
                        "signed": context.signer.sign(
                            _PURPOSE, {"reference": message.reference, "action": action}, expires_at=expires_at
                        )
                    },
                },
            }
            for action, label, style in (("acknowledge", "Acknowledge", "primary"), ("resolve", "Resolve", "default"))
        ]
    return found


def open_context(signer: Signer, signed: str, *, now: datetime) -> tuple[str, str]:
    """(notification, action) of a button.

    Raises:
        Forbidden: the context is not ours, or too old.
    """
    claims = signer.verify(_PURPOSE, signed, now=now)
    if claims.get("action") not in {"acknowledge", "resolve"}:
        raise Forbidden("this button does nothing here", code="bad_link")
    return claims["reference"], claims["action"]
