"""Webhook: the page as JSON, POSTed to a URL of the person's own.

The body is the message's payload; ``Idempotency-Key`` is the same for every try of one notification
(draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import httpx

from watchbill.channels.base import Context, Description, outcome_of, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="webhook",
    label="Webhook",
    address_label="URL",
    example="https://hooks.example.org/page",
    note="the page as JSON, by POST",
)


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        try:
            answer = context.http.request(
                "POST",
                message.address,
                json={**message.payload, "subject": message.subject, "text": message.text},
                headers={"idempotency-key": message.idempotency_key},
            )
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)
        return outcome_of(answer)

    return send
