"""Ways to reach a person: one module each, describing itself, so that a new one is a new file.

A channel module has ``DESCRIPTION`` and ``build(context) -> Send``. Sending returns failures as
values: ``permanent`` ones move on to the person's next method at once, others are tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchbill.channels import (
    apprise,
    email,
    mattermost,
    ntfy,
    slack,
    sms,
    teams,
    telegram,
    voice,
    webhook,
    webpush,
)
from watchbill.channels.base import Context, Description
from watchbill.kernel.errors import SetupError
from watchbill.runtime.config import Settings
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.messages import Message, Send, SendOutcome
from watchbill.runtime.signing import Signer

MODULES: Mapping[str, Any] = {
    module.DESCRIPTION.name: module
    for module in (email, sms, voice, webpush, slack, mattermost, teams, telegram, ntfy, webhook, apprise)
}
"""Every channel by its name."""


def describe() -> list[Description]:
    """What each channel is called and what its address looks like."""
    return [module.DESCRIPTION for module in MODULES.values()]


def context_of(settings: Settings, *, push_key: Callable[[], str] | None = None) -> Context:
    """What channels are given, from the installation's settings."""
    return Context(
        http=HttpOut(allow_private=settings.allow_private_addresses),
        providers=HttpOut(allow_private=True),
        smtp_url=settings.smtp_url,
        mail_from=settings.mail_from,
        allow_private_addresses=settings.allow_private_addresses,
        base_url=settings.base_url,
        signer=Signer(settings.secret_keys),
        push_key=push_key,
        twilio_account_sid=settings.twilio_account_sid,
        twilio_auth_token=settings.twilio_auth_token,
        twilio_from=settings.twilio_from,
        twilio_url=settings.twilio_url,
        slack_bot_token=settings.slack_bot_token,
        slack_url=settings.slack_url,
        mattermost_url=settings.mattermost_url,
        mattermost_token=settings.mattermost_token,
        telegram_bot_token=settings.telegram_bot_token,
        telegram_url=settings.telegram_url,
    )


def limits_of(settings: Settings) -> dict[str, tuple[float, int]]:
    """``channel_limits`` as messages a second and burst, by channel.

    Raises:
        SetupError: a part is not ``name=rate/burst``, or there is no such channel.
    """
    found: dict[str, tuple[float, int]] = {}
    for part in filter(None, (each.strip() for each in settings.channel_limits.split(","))):
        name, _, limit = part.partition("=")
        rate, _, burst = limit.partition("/")
        try:
            found[name.strip()] = (float(rate), int(burst or "1"))
            good = name.strip() in MODULES and found[name.strip()][0] > 0 and found[name.strip()][1] > 0
        except ValueError:
            good = False
        if not good:
            raise SetupError(
                f"WATCHBILL_CHANNEL_LIMITS: '{part}' is not a limit",
                hint="write sms=10/30,voice=1/10: messages a second, and how many at once",
            )
    return found


def missing_of(settings: Settings) -> dict[str, str]:
    """Channels that the operator has not set up, and which setting would."""
    needs = {
        "email": (settings.smtp_url, "WATCHBILL_SMTP_URL"),
        "slack": (settings.slack_bot_token, "WATCHBILL_SLACK_BOT_TOKEN"),
        "mattermost": (settings.mattermost_url and settings.mattermost_token, "WATCHBILL_MATTERMOST_URL and …_TOKEN"),
        "telegram": (settings.telegram_bot_token, "WATCHBILL_TELEGRAM_BOT_TOKEN"),
    }
    twilio = settings.twilio_account_sid and settings.twilio_auth_token and settings.twilio_from
    needs |= dict.fromkeys(("sms", "voice"), (twilio, "WATCHBILL_TWILIO_ACCOUNT_SID, …_AUTH_TOKEN and …_FROM"))
    return {name: what for name, (given, what) in needs.items() if not given}


class Sender:
    """Hands a message to its channel; channels are built on first use, so that unused ones cost nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._built: dict[str, Send] = {}

    def __call__(self, message: Message) -> SendOutcome:
        send = self._built.get(message.channel)
        if send is None:
            module = MODULES.get(message.channel)
            if module is None:
                return SendOutcome(sent=False, permanent=True, error=f"there is no channel '{message.channel}'")
            build: Callable[[Context], Send] = module.build
            send = self._built.setdefault(message.channel, build(self._context))
        return send(message)


__all__ = ["MODULES", "Context", "Description", "Sender", "context_of", "describe", "limits_of", "missing_of"]
