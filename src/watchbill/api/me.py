"""The caller's own account."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import JSONBody

from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, identity
from watchbill.features.identity import Caller, Role
from watchbill.kernel.errors import Forbidden
from watchbill.runtime.db import Database


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. ``teams`` are the names of the teams whose pages the caller answers."""

    kind: str
    id: UUID
    name: str
    role: Role
    login: str | None
    time_zone: str
    teams: list[str]


class MyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people may change about themselves; what is left out stays."""

    name: str | None = None
    time_zone: str | None = None


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password now (if there is one) and the new one, of 10 to 1024 characters."""

    password: str
    current: str = ""


@get("/me", sync_to_thread=True)
def show_me(caller: GivenCaller, db: GivenDb) -> Me:
    """Who is calling, and what they may do."""
    return _me(caller, db)


def _me(caller: Caller, db: Database) -> Me:
    with db.transaction() as tx:
        known = with_teams(tx, caller)
        found = catalog.teams(tx, ids=list(known.team_ids))
        person = identity.person_by_id(tx, person_id=caller.person_id) if caller.person_id else None
    return Me(
        kind=caller.kind,
        id=caller.id,
        name=caller.name,
        role=caller.role,
        login=person.login if person else None,
        time_zone=person.time_zone if person else "UTC",
        teams=sorted(team.name for team in found),
    )


@patch("/me", sync_to_thread=True)
def change_me(caller: GivenCaller, db: GivenDb, data: JSONBody[MyChange]) -> Me:
    """Change one's own name or time zone."""
    with db.transaction() as tx:
        identity.change_person(
            tx, person_id=_person(caller), name=data.name, time_zone=data.time_zone, actor=caller.actor
        )
    return _me(caller, db)


@post("/me/password", sync_to_thread=True, status_code=204)
def change_my_password(caller: GivenCaller, db: GivenDb, data: JSONBody[PasswordChange]) -> None:
    """Set one's own password; all sessions end, this one too."""
    with db.transaction() as tx:
        identity.change_password(tx, person_id=_person(caller), current=data.current, password=data.password)


@delete("/me/sessions", sync_to_thread=True)
def sign_me_out_everywhere(caller: GivenCaller, db: GivenDb) -> None:
    """End all of one's own sessions, in every browser."""
    with db.transaction() as tx:
        identity.sign_out_everywhere(tx, person_id=_person(caller), actor=caller.actor)


def _person(caller: Caller) -> UUID:
    if caller.person_id is None:
        raise Forbidden("a token has no account of its own", hint="sign in as a person")
    return caller.person_id


handlers = [show_me, change_me, change_my_password, sign_me_out_everywhere]
