"""Text messages by Twilio (twilio.com/docs/messaging/api/message-resource). A reply ``ack 12`` acknowledges."""

from __future__ import annotations

from watchbill.channels import twilio
from watchbill.channels.base import Context, Description
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="sms",
    label="Text message",
    address_label="Number",
    example="+4915112345678",
    note="answer 'ack 12' to acknowledge incident 12",
)

_LONGEST = 1600
"""Twilio's limit of a body."""


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        sender = context.twilio_from or ""
        form = [
            ("To", message.address),
            ("MessagingServiceSid" if sender.startswith("MG") else "From", sender),
            ("Body", (message.short or f"{message.subject} {message.acknowledge_url or ''}").strip()[:_LONGEST]),
        ]
        if message.reference:
            form.append(("StatusCallback", f"{context.base_url}/reply/twilio/status/{message.reference}"))
        return twilio.post(context, "Messages", form)

    return send
