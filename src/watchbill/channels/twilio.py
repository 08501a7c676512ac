"""Twilio's REST API (twilio.com/docs/usage/api) and the proof that a call-back is theirs (…/usage/security)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import httpx
import msgspec

from watchbill.channels.base import Context, not_set, retry_after
from watchbill.channels.base import outcome_of_error as _no_answer
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import SendOutcome

API = "2010-04-01"
KEYS = "Press 4 to acknowledge, 6 to resolve, 9 to hear this again."


class _Made(msgspec.Struct, frozen=True):
    sid: str = ""
    code: int | None = None
    message: str = ""


def post(context: Context, resource: str, form: Sequence[tuple[str, str]]) -> SendOutcome:
    """Create a ``Messages`` or ``Calls`` resource; ``provider_ref`` is its SID.

    An error's body has a ``code`` (twilio.com/docs/api/errors); 429 and 5xx may pass, other refusals are for good.
    """
    sid, token = context.twilio_account_sid, context.twilio_auth_token
    if not sid or not token or not context.twilio_from:
        return not_set("WATCHBILL_TWILIO_ACCOUNT_SID, …_AUTH_TOKEN and …_FROM")
    basic = base64.b64encode(f"{sid}:{token}".encode()).decode()
    try:
        answer = context.provider_http.request(
            "POST",
            f"{context.twilio_url.rstrip('/')}/{API}/Accounts/{sid}/{resource}.json",
            content=urlencode(form).encode(),
            headers={"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"},
        )
    except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
        return _no_answer(error)
    try:
        made = msgspec.json.decode(answer.body, type=_Made)
    except msgspec.DecodeError:
        made = _Made(message=answer.text[:200])
    if answer.ok:
        return SendOutcome(sent=True, provider_ref=made.sid)
    return SendOutcome(
        sent=False,
        permanent=answer.status not in {408, 429} and answer.status < 500,
        error=f"Twilio {answer.status}" + (f" ({made.code})" if made.code else "") + f": {made.message}",
        retry_after_seconds=retry_after(answer),
    )


def signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """``X-Twilio-Signature``: HMAC-SHA1 over the URL and each parameter's name and value, sorted by name."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def is_from_twilio(auth_token: str, url: str, form: Mapping[str, str], given: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(signature(auth_token, url, form).encode(), given.encode("utf-8", "replace"))


def spoken_page(text: str, *, action_url: str) -> str:
    """TwiML: say it, take one key, say it once more, hang up (twilio.com/docs/voice/twiml/gather)."""
    gather = (
        f'<Gather numDigits="1" timeout="8" method="POST" action={quoteattr(action_url)}>'
        f"<Say>{escape(text)} {KEYS}</Say></Gather>"
    )
    return f"<Response>{gather}{gather}<Say>No key was pressed. Goodbye.</Say></Response>"


def spoken(text: str) -> str:
    """TwiML: say it twice and hang up."""
    said = f"<Say>{escape(text)}</Say>"
    return f'<Response>{said}<Pause length="1"/>{said}</Response>'


def texted(text: str) -> str:
    """TwiML that answers a text message."""
    return f"<Response><Message>{escape(text)}</Message></Response>"
