"""ntfy: a push to a phone by an HTTP POST to a topic's URL (docs.ntfy.sh/publish)."""

from __future__ import annotations

import httpx

from watchbill.channels.base import Context, Description, outcome_of, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="ntfy",
    label="ntfy push",
    address_label="Topic URL",
    example="https://ntfy.sh/my-secret-topic",
    note="choose a topic that nobody can guess",
)

_PRIORITY = {"sev1": "urgent", "sev2": "urgent", "sev3": "high", "sev4": "default"}


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        headers = {"Title": _header(message.subject), "Priority": _priority(message)}
        if message.urgent:
            headers["Tags"] = "rotating_light"
        if message.incident_url:
            headers["Click"] = message.incident_url
        if message.acknowledge_url:
            headers["Actions"] = f"view, Acknowledge, {message.acknowledge_url}"
        try:
            answer = context.http.request(
                "POST", message.address, content=message.text.encode(), headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)
        return outcome_of(answer)

    return send


def _priority(message: Message) -> str:
    if not message.urgent:
        return "low"
    return _PRIORITY.get(message.payload.get("incident", {}).get("severity"), "high")


def _header(text: str) -> str:
    """HTTP headers are ASCII here: RFC 2047, which ntfy decodes, when the text is not."""
    cleaned = " ".join(text.split())
    if cleaned.isascii():
        return cleaned
    from email.header import Header

    return Header(cleaned, "utf-8", maxlinelen=10_000).encode()
