"""What providers send back: keys pressed, text replies, buttons, delivery states. Each proves who it is in its own way.

These addresses (``/reply/…``) are for Twilio and Mattermost, not for people; Slack and Telegram answer over connections
of our own. Nothing is believed before its signature is checked.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import structlog
from litestar import Request, Response, Router, post
from litestar.concurrency import sync_to_thread
from litestar.params import FromPath

from watchbill.api.given import GivenDb, GivenSettings, GivenSigner
from watchbill.channels import mattermost, twilio
from watchbill.features import identity, paging, rollback
from watchbill.features.paging import Answered
from watchbill.kernel.errors import Forbidden
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer

log = structlog.get_logger("watchbill.replies")

AnyRequest = Request[Any, Any, Any]
_ACT = {"lane": "act", "public": True}
_XML = "text/xml; charset=utf-8"
_KEYS: dict[str, paging.AnswerAction] = {"4": "acknowledge", "6": "resolve"}
_STATES: dict[str, bool | None] = {
    "delivered": True,
    "read": True,
    "undelivered": False,
    "failed": False,
    "canceled": False,
    "busy": False,
    "no-answer": False,
    "in-progress": True,  # a call that was answered
    "answered": True,
}
"""Twilio's ``MessageStatus`` and ``CallStatus``; others (queued, sent, ringing, completed …) are steps between."""


async def _twilio_form(request: AnyRequest, settings: Settings) -> dict[str, str]:
    """The form of a call-back that Twilio signed.

    Raises:
        Forbidden: it did not, or Twilio is not set up here.
    """
    given = await request.form()
    form = {str(name): str(value) for name, value in given.items()}
    url = settings.base_url + request.url.path + (f"?{request.url.query}" if request.url.query else "")
    signature = request.headers.get("x-twilio-signature", "")
    if not settings.twilio_auth_token or not twilio.is_from_twilio(settings.twilio_auth_token, url, form, signature):
        raise Forbidden(
            "this call-back is not signed by Twilio",
            code="bad_signature",
            hint="WATCHBILL_PUBLIC_URL must be the very address that Twilio calls",
        )
    return form


@post("/reply/twilio/keys/{notification_id:uuid}", opt=_ACT, status_code=200)
async def keys(
    request: AnyRequest, db: GivenDb, settings: GivenSettings, notification_id: FromPath[UUID]
) -> Response[str]:
    """A key was pressed during a call: 4 acknowledges, 6 resolves, anything else says it again."""
    form = await _twilio_form(request, settings)
    action = _KEYS.get(form.get("Digits", ""))
    if action is None:
        again = f"{settings.base_url}/reply/twilio/keys/{notification_id}"
        return Response(twilio.spoken_page("Page from Watchbill.", action_url=again), media_type=_XML)
    answered = await sync_to_thread(_answer, db, notification_id, action, "call")
    return Response(twilio.spoken(answered.text), media_type=_XML)


def _answer(
    db: Database, notification_id: UUID, action: paging.AnswerAction, via: str, person_id: UUID | None = None
) -> Answered:
    with db.transaction() as tx:
        return paging.answer_notification(
            tx, notification_id=notification_id, action=action, via=via, person_id=person_id
        )


@post("/reply/twilio/status/{notification_id:uuid}", opt=_ACT, status_code=204)
async def status(request: AnyRequest, db: GivenDb, settings: GivenSettings, notification_id: FromPath[UUID]) -> None:
    """What became of a text message or a call."""
    form = await _twilio_form(request, settings)
    state = form.get("MessageStatus") or form.get("CallStatus") or ""
    code = form.get("ErrorCode", "")
    detail = state + (f" (Twilio {code})" if code else "")
    await sync_to_thread(_note, db, notification_id, _STATES.get(state), detail)


def _note(db: Database, notification_id: UUID, delivered: bool | None, detail: str) -> None:
    with db.transaction() as tx:
        known = paging.note_delivery(tx, notification_id=notification_id, delivered=delivered, detail=detail)
    if not known:
        log.info("a delivery state of nothing known here", notification_id=str(notification_id), state=detail)


@post("/reply/twilio/sms", opt=_ACT, status_code=200)
async def sms(request: AnyRequest, db: GivenDb, settings: GivenSettings) -> Response[str]:
    """A text message came in: ``ack 12``, ``undo 12`` and the like."""
    form = await _twilio_form(request, settings)
    answered = await sync_to_thread(_answer_text, db, form.get("From", ""), form.get("Body", ""))
    return Response(twilio.texted(answered.text), media_type=_XML)


def _answer_text(db: Database, number: str, text: str) -> Answered:
    with db.transaction() as tx:
        return rollback.answer_text(tx, channel="sms", address=number, text=text, via="text message")


class Pressed(msgspec.Struct, frozen=True):
    """A button in Mattermost (its integration request); ``context`` is what we signed."""

    context: dict[str, Any]
    user_id: str = ""
    user_name: str = ""


@post("/reply/mattermost", opt=_ACT, status_code=200)
async def mattermost_button(request: AnyRequest, db: GivenDb, signer: GivenSigner) -> dict[str, Any]:
    """A button was pressed; the post is updated to say what happened."""
    try:
        pressed = msgspec.json.decode(await request.body(), type=Pressed)
    except msgspec.DecodeError as error:
        raise Forbidden("not a button of ours", code="bad_link") from error
    answered = await sync_to_thread(_mattermost, db, signer, pressed)
    if not answered.done:
        return {"ephemeral_text": answered.text}
    return {"update": {"message": answered.text, "props": {}}, "ephemeral_text": answered.text}


def _mattermost(db: Database, signer: Signer, pressed: Pressed) -> Answered:
    with db.transaction() as tx:
        signed = str(pressed.context.get("signed", ""))
        reference, action = mattermost.open_context(signer, signed, now=tx.now)
        wanted: paging.AnswerAction = "resolve" if action == "resolve" else "acknowledge"
        person_id = identity.person_at(tx, channel="mattermost", addresses=[f"@{pressed.user_name}"])
        return paging.answer_notification(
            tx, notification_id=UUID(reference), action=wanted, via="Mattermost", person_id=person_id
        )


def reply_router() -> Router:
    """Every address that providers call back."""
    return Router(path="/", route_handlers=[keys, status, sms, mattermost_button], include_in_schema=False)
