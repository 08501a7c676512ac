"""Microsoft Teams: an Adaptive Card to a Workflows webhook ("When a Teams webhook request is received").

Such a webhook takes no answers, so the card's button opens the signed page. Format: the message type of
learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook, card version 1.4.
"""

from __future__ import annotations

from typing import Any

import httpx

from watchbill.channels.base import Context, Description, outcome_of, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="teams",
    label="Microsoft Teams",
    address_label="Workflow URL",
    example="https://prod-12.westeurope.logic.azure.com/workflows/…",
    note="the URL is a secret: whoever knows it can post",
)

_LONGEST = 20_000
"""A card's whole payload has at most 28 KB."""


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        try:
            answer = context.http.request("POST", message.address, json=card(message))
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)
        return outcome_of(answer)

    return send


def card(message: Message) -> dict[str, Any]:
    """The message that carries one card."""
    links = [(message.acknowledge_label, message.acknowledge_url), ("Incident", message.incident_url)]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": message.subject, "weight": "Bolder", "size": "Medium", "wrap": True},
            {"type": "TextBlock", "text": message.text[:_LONGEST], "wrap": True},
        ],
        "actions": [{"type": "Action.OpenUrl", "title": title, "url": url} for title, url in links if url],
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
        ],
    }
