"""Who people are and who is calling."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.runtime.ledger import Actor

Role = Literal["viewer", "responder", "admin"]
"""What a person or token may do in the whole organisation; roles within a team live in the catalog."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be named in a manifest, paged and signed in.

    ``login`` is lower case and often a work e-mail; ``time_zone`` an IANA name. An erased person keeps
    only the id.
    """

    id: UUID
    login: str
    name: str
    email: str | None
    time_zone: str
    role: Role
    active: bool
    invited_at: datetime | None
    erased_at: datetime | None
    created_at: datetime
    has_password: bool


class ContactMethod(msgspec.Struct, frozen=True, kw_only=True):
    """One way to reach a person; a lower ``position`` is tried first. Unverified ones are tried too.

    ``proved_at`` is when an answer last came back through it, ``tried_at`` when a message that is no page was
    last sent over it, and ``tried_error`` what the provider said when that failed.
    """

    id: UUID
    person_id: UUID
    channel: str
    address: str
    position: int
    verified_at: datetime | None
    created_at: datetime
    proved_at: datetime | None = None
    tried_at: datetime | None = None
    tried_error: str | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An API token as it may be shown: never its secret. ``team_id`` binds its changes to one team."""

    id: UUID
    name: str
    role: Role
    team_id: UUID | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in, as a person or with a token."""

    id: UUID
    person_id: UUID | None
    token_id: UUID | None
    csrf: str
    created_at: datetime
    expires_at: datetime


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, and what they may do: the argument of every use-case that a person or tool starts.

    ``team_ids`` are the teams whose pages the caller answers (lead or member, never shadow). ``csrf`` and
    ``session_id`` are set when a browser's session asks.
    """

    kind: Literal["person", "token"]
    id: UUID
    name: str
    role: Role
    person_id: UUID | None = None
    team_ids: frozenset[UUID] = frozenset()
    token_team_id: UUID | None = None
    session_id: UUID | None = None
    csrf: str | None = None

    @property
    def actor(self) -> Actor:
        """The caller as the ledger names it: a kind and an id, never a name."""
        return Actor(self.kind, str(self.id))

    def in_teams(self, team_ids: frozenset[UUID]) -> Caller:
        """The same caller with the teams that the catalog says they answer for."""
        return msgspec.structs.replace(self, team_ids=self.team_ids | team_ids)
