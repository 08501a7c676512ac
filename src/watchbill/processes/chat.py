"""Answers from chats that we fetch ourselves, so that no firewall needs an opening: Slack and Telegram."""

from __future__ import annotations

import logging
import threading
from typing import Any
from uuid import UUID

import httpx
import structlog

from watchbill.channels import Context as ChannelContext
from watchbill.channels import slack, telegram
from watchbill.features import identity, paging, rollback
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop

log = structlog.get_logger("watchbill.chat")

_HELP = "Watchbill: this chat's number is {}. Add it as a contact method of the channel telegram."


def answer(db: Database, *, reference: str, resolve: bool, channel: str, addresses: list[str], via: str) -> str:
    """Act on a pressed button; returns what to say. Never raises on what a chat may send."""
    try:
        with db.transaction() as tx:
            person_id = identity.person_at(tx, channel=channel, addresses=addresses)
            return paging.answer_notification(
                tx,
                notification_id=UUID(reference),
                action="resolve" if resolve else "acknowledge",
                via=via,
                person_id=person_id,
            ).text
    except ValueError:
        return "This button is not one of ours."
    except WatchbillError as error:
        return f"That did not work: {error.problem.message}. Please try again."


class SlackSocket:
    """Slack's Socket Mode (docs.slack.dev/apis/events-api/using-socket-mode), by their own SDK.

    With several pagers Slack hands each press to one of them. The SDK reconnects by itself; a connection that cannot be
    made at the start is tried again.
    """

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._stopping = threading.Event()
        self._client: Any = None
        self._thread = threading.Thread(target=self._connect, name="slack-socket", daemon=True)

    def start(self) -> None:
        """Begin to connect, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close the connection."""
        self._stopping.set()
        if self._client is not None:
            self._client.close()

    def _connect(self) -> None:
        from slack_sdk.socket_mode import SocketModeClient
        from slack_sdk.web import WebClient

        base_url = self._settings.slack_url.rstrip("/") + "/"
        web = WebClient(token=self._settings.slack_bot_token, base_url=base_url, timeout=10)
        quiet = logging.getLogger("slack_sdk.quiet")
        quiet.setLevel(logging.ERROR)
        client = SocketModeClient(app_token=self._settings.slack_app_token or "", web_client=web, logger=quiet)
        client.socket_mode_request_listeners.append(self._heard)
        self._client = client
        wait = 1.0
        while not self._stopping.is_set():
            try:
                client.connect()
            except Exception as error:  # noqa: BLE001  the SDK raises many kinds; none may end the pager
                log.warning(
                    "Slack's Socket Mode does not connect; trying again", why=type(error).__name__, seconds=wait
                )
                self._stopping.wait(wait)
                wait = min(60.0, wait * 2)
            else:
                log.info("listening to Slack's buttons")
                return

    def _heard(self, client: Any, request: Any) -> None:
        from slack_sdk.socket_mode.response import SocketModeResponse

        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type != "interactive" or request.payload.get("type") != "block_actions":
            return
        for action in request.payload.get("actions", []):
            if action.get("action_id") in (slack.ACKNOWLEDGE, slack.RESOLVE):
                self._pressed(client, request.payload, action)

    def _pressed(self, client: Any, payload: dict[str, Any], action: dict[str, Any]) -> None:
        said = answer(
            self._db,
            reference=str(action.get("value", "")),
            resolve=action["action_id"] == slack.RESOLVE,
            channel="slack",
            addresses=[str(payload.get("user", {}).get("id", ""))],
            via="Slack",
        )
        container, message = payload.get("container", {}), payload.get("message", {})
        told = {"type": "context", "elements": [{"type": "plain_text", "text": said[:1900]}]}
        kept = [block for block in message.get("blocks", []) if block.get("type") != "context"][:48]
        try:
            client.web_client.chat_update(
                channel=container.get("channel_id", ""),
                ts=container.get("message_ts", ""),
                text=message.get("text", said),
                blocks=[*kept, told],
            )
        except Exception as error:  # noqa: BLE001  the page is answered; only its message still looks unanswered
            log.warning("Slack's message was not updated", why=type(error).__name__)


def telegram_loop(db: Database, context: ChannelContext) -> Loop:
    """Asks for updates (long polling). With several pagers Telegram serves one at a time, and the others wait."""
    state = {"offset": 0}

    def work() -> int:
        values = {"offset": state["offset"], "timeout": 5, "allowed_updates": ["callback_query", "message"]}
        try:
            reply = telegram.call(context, "getUpdates", values)
        except httpx.HTTPError as error:
            log.warning("Telegram does not answer", why=type(error).__name__)
            return 0
        if not reply.ok:
            if reply.error_code != 409:  # another pager is asking
                log.warning("Telegram refuses updates", code=reply.error_code, why=reply.description)
            return 0
        for update in reply.result or []:
            _updated(db, context, update)
            state["offset"] = int(update["update_id"]) + 1
        return len(reply.result or [])

    return Loop("telegram", work, idle_seconds=1.0)


def _updated(db: Database, context: ChannelContext, update: dict[str, Any]) -> None:
    pressed, message = update.get("callback_query"), update.get("message")
    if pressed is not None:
        data = str(pressed.get("data", ""))
        said = answer(
            db,
            reference=data[4:],
            resolve=data.startswith(telegram.RESOLVE),
            channel="telegram",
            addresses=[str(pressed.get("from", {}).get("id", "")), f"@{pressed.get('from', {}).get('username', '')}"],
            via="Telegram",
        )
        where = pressed.get("message", {})
        telegram.call(context, "answerCallbackQuery", {"callback_query_id": pressed["id"], "text": said[:200]})
        if where.get("chat"):
            values = {"chat_id": where["chat"]["id"], "reply_to_message_id": where["message_id"], "text": said}
            telegram.call(context, "sendMessage", values)
    elif message is not None and str(message.get("text", "")).startswith("/start"):
        chat = message["chat"]["id"]
        telegram.call(context, "sendMessage", {"chat_id": chat, "text": _HELP.format(chat)})
    elif message is not None and message.get("text") and message.get("chat", {}).get("type", "private") == "private":
        chat = message["chat"]["id"]
        said = answer_text(db, address=str(chat), text=str(message["text"])[:200])
        telegram.call(context, "sendMessage", {"chat_id": chat, "text": said})


def answer_text(db: Database, *, address: str, text: str) -> str:
    """What to say to a message that somebody wrote: ``ack 12``, ``undo 12``. Never raises on what a chat may send."""
    try:
        with db.transaction() as tx:
            found = rollback.answer_text(tx, channel="telegram", address=address, text=text, via="Telegram")
            return found.text
    except WatchbillError as error:
        return f"That did not work: {error.problem.message}. Please try again."
