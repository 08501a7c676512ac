"""Pure decisions about people: what a login is, who may do what, which secrets are well formed."""

from __future__ import annotations

import hashlib
import re
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from watchbill.features.identity.model import Caller
from watchbill.kernel.errors import Forbidden, Invalid

_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9._%+@-]{0,252}[a-z0-9])?")
_EMAIL = re.compile(r"[^\s@,;<>\"]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.I)

SECRET_PREFIX = "wb_"  # noqa: S105  (the public part: secret scanners find leaked tokens by it)

Action = Literal["read", "respond", "manage_team", "administer"]
"""``read`` anything not personal; ``respond``: acknowledge, note, resolve; ``manage_team``: overrides and
the like; ``administer``: people, tokens, integrations, any team."""


def normalise_login(text: str) -> str:
    """The one spelling of a login: trimmed, lower case.

    Raises:
        Invalid: something that cannot be a login.
    """
    login = text.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise Invalid(
            f"'{text}' is not a login",
            code="bad_login",
            field="login",
            hint="use a work e-mail, or letters, digits and . _ - + @ (at most 254 characters)",
        )
    return login


def email_of_login(login: str) -> str | None:
    """The address that a login is, or None when it is a plain name."""
    return login if is_email(login) else None


def is_email(text: str) -> bool:
    """Plausible as an address (RFC 5321 lengths, one @, a domain); only sending proves it."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def check_time_zone(name: str) -> str:
    """Return ``name`` when it is an IANA zone this machine knows.

    Raises:
        Invalid: it is not.
    """
    if name != "UTC" and name not in available_timezones():
        raise Invalid(f"'{name}' is not a time zone", field="time_zone", hint="use an IANA name such as Europe/Berlin")
    return ZoneInfo(name).key


def hash_secret(secret: str) -> bytes:
    """SHA-256 of a secret with 256 random bits: nothing to stretch, and an index finds it.

    The lookup compares hashes, so its timing tells nothing about the secret.
    """
    return hashlib.sha256(secret.encode()).digest()


def refusal(caller: Caller, action: Action, team_id: UUID | None = None, *, involved: bool = False) -> str | None:
    """Why the caller may not, or None when they may.

    ``team_id`` is the team that owns the thing; None is the whole organisation. ``involved`` is true when
    the caller was notified of the page or responds in the incident.
    """
    bound_elsewhere = caller.token_team_id is not None and caller.token_team_id != team_id
    mine = team_id is not None and team_id in caller.team_ids
    reason: str | None = None
    if action == "read":
        reason = None
    elif bound_elsewhere:
        reason = f"token '{caller.name}' is bound to another team"
    elif caller.role == "admin":
        if action == "administer" and caller.token_team_id is not None:
            reason = f"token '{caller.name}' is bound to one team"
    elif action == "administer":
        reason = "only admins may do this"
    elif action == "respond":
        reason = _refusal_to_respond(caller, mine=mine, involved=involved)
    elif caller.role == "viewer":
        reason = "viewers only read"
    elif not mine:
        reason = "only leads and members of the team, and admins, may change it"
    return reason


def _refusal_to_respond(caller: Caller, *, mine: bool, involved: bool) -> str | None:
    """A person in the team or paged may respond whatever their role: the page was for them."""
    if caller.kind == "token":
        return "a viewer's token only reads" if caller.role == "viewer" else None
    if mine or involved:
        return None
    return "only members of the owning team, those notified and responders of the incident may do this"


def may(caller: Caller, action: Action, team_id: UUID | None = None, *, involved: bool = False) -> bool:
    """Whether the caller may; see `refusal`."""
    return refusal(caller, action, team_id, involved=involved) is None


def require(caller: Caller, action: Action, team_id: UUID | None = None, *, involved: bool = False) -> None:
    """Raise unless the caller may.

    Raises:
        Forbidden: with the reason.
    """
    reason = refusal(caller, action, team_id, involved=involved)
    if reason is not None:
        raise Forbidden(reason, hint="ask a member of the team or an admin, or use a token with the right role")
