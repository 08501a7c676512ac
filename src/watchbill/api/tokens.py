"""API tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, identity
from watchbill.features.identity import Role, Token
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret; ``team`` is the only team it may change, None for the organisation."""

    name: str
    role: Role
    team: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least role that does the job, and the team it is for."""

    name: str
    role: Role
    team: str | None = None


class CreatedToken(msgspec.Struct, frozen=True, kw_only=True):
    """``token`` is the secret; it is never shown again."""

    token: str
    name: str
    role: Role
    team: str | None


@get("/tokens", sync_to_thread=True)
def list_tokens(caller: GivenCaller, db: GivenDb, revoked: FromQuery[bool] = False) -> list[TokenView]:
    """All tokens by name, the revoked ones too when asked for (admins)."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        found = identity.tokens(tx, include_revoked=revoked)
        bound = [token.team_id for token in found if token.team_id is not None]
        names = {team.id: team.name for team in catalog.teams(tx, ids=bound)}
    return [_view(token, names) for token in found]


@post("/tokens", sync_to_thread=True)
def create_token(caller: GivenCaller, db: GivenDb, data: JSONBody[NewToken]) -> CreatedToken:
    """Make a token: admins any, members of a team a viewer's or responder's token bound to that team."""
    with db.transaction() as tx:
        team_id = _team_id(tx, data.team)
        if team_id is None or data.role == "admin":
            identity.require(caller, "administer")
        else:
            identity.require(with_teams(tx, caller), "manage_team", team_id)
        token, secret = identity.create_token(tx, name=data.name, role=data.role, team_id=team_id, actor=caller.actor)
    return CreatedToken(token=secret, name=token.name, role=token.role, team=data.team)


@delete("/tokens/{name:str}", sync_to_thread=True)
def revoke_token(caller: GivenCaller, db: GivenDb, name: FromPath[str]) -> None:
    """End a token and its sessions at once: admins any, members of a team those bound to that team."""
    with db.transaction() as tx:
        if caller.role != "admin" and caller.kind == "token":
            identity.require(caller, "administer")
        token = identity.token_by_name(tx, name=name)
        if token.team_id is None or token.role == "admin":
            identity.require(caller, "administer")
        else:
            identity.require(with_teams(tx, caller), "manage_team", token.team_id)
        identity.revoke_token(tx, token_id=token.id, actor=caller.actor)


def _team_id(tx: Tx, name: str | None) -> UUID | None:
    if name is None:
        return None
    team = catalog.team_by_name(tx, name=name)
    if team is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return team.id


def _view(token: Token, team_names: dict[UUID, str]) -> TokenView:
    return TokenView(
        name=token.name,
        role=token.role,
        team=team_names.get(token.team_id, str(token.team_id)) if token.team_id else None,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )


handlers = [list_tokens, create_token, revoke_token]
