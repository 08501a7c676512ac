"""Where a whole team is told: a chat channel, a topic, a webhook. Escalation steps name them (``channel:<name>``).

They are kept here and not in manifests: many an address is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import identity
from watchbill.features.catalog.store import team_channel
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

USER_GROUP = "slack-usergroup"
"""Not told anything: a Slack user group that is kept equal to who is on call."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_USER_GROUP = re.compile(r"S[A-Z0-9]{6,20}")


class TeamChannel(msgspec.Struct, frozen=True, kw_only=True):
    """One place that a team is told at; ``channel`` is the way, ``address`` the place."""

    id: UUID
    team_id: UUID
    name: str
    channel: str
    address: str
    created_at: datetime


def team_channels(tx: Tx, *, team_id: UUID, name: str | None = None) -> list[TeamChannel]:
    """The places this team is told at (or the one of this name), by name; user groups are not among them."""
    wanted = sa.select(team_channel).where(team_channel.c.team_id == team_id, team_channel.c.channel != USER_GROUP)
    if name is not None:
        wanted = wanted.where(team_channel.c.name == name)
    return _read(tx, wanted)


def all_team_channels(tx: Tx, *, team_ids: Iterable[UUID] | None = None) -> list[TeamChannel]:
    """Everything kept for these teams (None: for all), user groups too."""
    wanted = sa.select(team_channel)
    if team_ids is not None:
        wanted = wanted.where(team_channel.c.team_id.in_(list(team_ids)))
    return _read(tx, wanted)


def _read(tx: Tx, wanted: sa.Select[tuple[object, ...]]) -> list[TeamChannel]:
    rows = tx.execute(wanted.order_by(team_channel.c.team_id, team_channel.c.name))
    return [msgspec.convert(row, TeamChannel, from_attributes=True) for row in rows]


def add_team_channel(tx: Tx, *, team_id: UUID, name: str, channel: str, address: str, actor: Actor) -> TeamChannel:
    """Add one; the very same again is no entry.

    Raises:
        Invalid: a name that is none, an unknown channel, an address it cannot reach. Conflict: the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(f"'{name}' is not a name", field="name", hint="use small letters, digits and -, such as war-room")
    if channel == USER_GROUP:
        cleaned = address.strip()
        if not _USER_GROUP.fullmatch(cleaned):
            raise Invalid(f"'{cleaned}' is not a user group's id", field="address", hint="write S…, from Slack's URL")
    else:
        cleaned = identity.check_address(channel, address)
        if channel in {"sms", "voice", "webpush"}:
            raise Invalid(f"'{channel}' reaches one person, not a team", field="channel", hint="name the person")
    there = next((c for c in all_team_channels(tx, team_ids=[team_id]) if c.name == name), None)
    if there is not None:
        if (there.channel, there.address) == (channel, cleaned):
            return there
        raise Conflict(f"the team has a channel '{name}' already", code="name_taken", hint="remove it first")
    made = TeamChannel(
        id=new_id(), team_id=team_id, name=name, channel=channel, address=cleaned, created_at=tx.now
    )
    tx.execute(sa.insert(team_channel), msgspec.structs.asdict(made))
    _explain(tx, made, "team_channel.added", actor)
    return made


def remove_team_channel(tx: Tx, *, team_id: UUID, name: str, actor: Actor) -> None:
    """Remove one; steps that name it are skipped and say so.

    Raises:
        NotFound: the team has none of this name.
    """
    there = next((c for c in all_team_channels(tx, team_ids=[team_id]) if c.name == name), None)
    if there is None:
        raise NotFound(f"the team has no channel '{name}'", field="name", hint="see `watchbill contact channels`")
    tx.execute(sa.delete(team_channel).where(team_channel.c.id == there.id))
    _explain(tx, there, "team_channel.removed", actor)


def _explain(tx: Tx, channel: TeamChannel, name: str, actor: Actor) -> None:
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("team", channel.team_id),
        team_id=channel.team_id,
        data={"name": channel.name, "channel": channel.channel},
    )
