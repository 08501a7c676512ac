"""Calls by Twilio (twilio.com/docs/voice/api/call-resource).

The words travel with the order to call, so that they are heard even when Twilio cannot reach us; the key comes back.
"""

from __future__ import annotations

from watchbill.channels import twilio
from watchbill.channels.base import Context, Description, not_set
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="voice",
    label="Call",
    address_label="Number",
    example="+4915112345678",
    note="press 4 to acknowledge, 6 to resolve, 9 to hear it again",
)

_RING_SECONDS = 40


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        sender = context.twilio_from or ""
        if sender.startswith("MG"):
            return not_set("WATCHBILL_TWILIO_FROM is a messaging service; calls need a number")
        said = message.spoken or message.subject
        back = f"{context.base_url}/reply/twilio"
        words = (
            twilio.spoken_page(said, action_url=f"{back}/keys/{message.reference}")
            if message.reference
            else twilio.spoken(said)
        )
        form = [("To", message.address), ("From", sender), ("Twiml", words), ("Timeout", str(_RING_SECONDS))]
        if message.reference:
            form.append(("StatusCallback", f"{back}/status/{message.reference}"))
            form += [("StatusCallbackEvent", event) for event in ("answered", "completed")]
        return twilio.post(context, "Calls", form)

    return send
