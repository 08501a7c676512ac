"""People and how they are reached."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings, GivenSigner
from watchbill.features import identity
from watchbill.features.identity import Caller, ContactMethod, Person, Role
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

INVITATION_FOR = timedelta(days=7)
Login = Annotated[str, PathParameter(description="A login; `me` is the caller.")]


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A person as others see them. ``joined`` is true when they have set a password."""

    id: UUID
    login: str
    name: str
    role: Role
    time_zone: str
    active: bool
    joined: bool
    created_at: datetime


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to let in, as what."""

    login: str
    role: Role = "responder"
    name: str | None = None


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """Hand ``url`` to the person over a channel you trust: whoever opens it first sets the password."""

    person: PersonView
    url: str
    expires_at: datetime


class PersonChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: str | None = None
    role: Role | None = None
    time_zone: str | None = None
    active: bool | None = None


class NewContactMethod(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel (see ``GET /channels``) and an address in its form."""

    channel: str
    address: str


@get("/people", sync_to_thread=True)
def list_people(
    caller: GivenCaller,
    db: GivenDb,
    after: FromQuery[str] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 500,
) -> list[PersonView]:
    """Everybody, by login; the next page begins after the last login of this one."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return [_view(person) for person in identity.list_people(tx, after_login=after, limit=limit)]


@post("/people", sync_to_thread=True)
def invite_person(
    caller: GivenCaller, db: GivenDb, signer: GivenSigner, settings: GivenSettings, data: JSONBody[Invitation]
) -> Invited:
    """Invite somebody (admins): returns a link, good for seven days and one use, to set a password with."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        person = identity.invite_person(tx, login=data.login, role=data.role, name=data.name, actor=caller.actor)
        expires_at = tx.now + INVITATION_FOR
    signed = signer.sign("invitation", identity.invitation_claims(person), expires_at=expires_at)
    return Invited(person=_view(person), url=f"{settings.base_url}/invitation/{signed}", expires_at=expires_at)


@get("/people/{login:str}", sync_to_thread=True)
def show_person(caller: GivenCaller, db: GivenDb, login: Login) -> PersonView:
    """One person."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return _view(_find(tx, caller, login))


@patch("/people/{login:str}", sync_to_thread=True)
def change_person(caller: GivenCaller, db: GivenDb, login: Login, data: JSONBody[PersonChange]) -> PersonView:
    """Change name, role or time zone, deactivate or activate (admins)."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        person = _find(tx, caller, login)
        changed = identity.change_person(
            tx,
            person_id=person.id,
            name=data.name,
            role=data.role,
            time_zone=data.time_zone,
            active=data.active,
            actor=caller.actor,
        )
        return _view(changed)


@delete("/people/{login:str}", sync_to_thread=True)
def erase_person(caller: GivenCaller, db: GivenDb, login: Login) -> None:
    """Forget who this was (admins): name, login, addresses and password go, the ledger keeps the id."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        identity.erase_person(tx, person_id=_find(tx, caller, login).id, actor=caller.actor)


@get("/people/{login:str}/contact-methods", sync_to_thread=True)
def list_contact_methods(caller: GivenCaller, db: GivenDb, login: Login) -> list[ContactMethod]:
    """How a person is reached, first tried first (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.contact_methods(tx, person_ids=[person_id])[person_id]


@post("/people/{login:str}/contact-methods", sync_to_thread=True)
def add_contact_method(
    caller: GivenCaller, db: GivenDb, login: Login, data: JSONBody[NewContactMethod]
) -> ContactMethod:
    """Add a way to be reached, tried last (the person and admins)."""
    with db.transaction() as tx:
        return identity.add_contact_method(
            tx,
            person_id=own_person(tx, caller, login).id,
            channel=data.channel,
            address=data.address,
            actor=caller.actor,
        )


@delete("/people/{login:str}/contact-methods/{contact_method_id:uuid}", sync_to_thread=True)
def remove_contact_method(caller: GivenCaller, db: GivenDb, login: Login, contact_method_id: FromPath[UUID]) -> None:
    """Remove a way to be reached (the person and admins)."""
    with db.transaction() as tx:
        identity.remove_contact_method(
            tx, person_id=own_person(tx, caller, login).id, contact_method_id=contact_method_id, actor=caller.actor
        )


def _view(person: Person) -> PersonView:
    return PersonView(
        id=person.id,
        login=person.login,
        name=person.name,
        role=person.role,
        time_zone=person.time_zone,
        active=person.active,
        joined=person.has_password,
        created_at=person.created_at,
    )


def _find(tx: Tx, caller: Caller, login: str) -> Person:
    if login == "me" and caller.person_id is not None:
        return identity.person_by_id(tx, person_id=caller.person_id)
    found = identity.person_by_login(tx, login=login)
    if found is None:
        raise NotFound(f"there is no person '{login}'", field="login", hint="see `watchbill person list`")
    return found


def own_person(tx: Tx, caller: Caller, login: str) -> Person:
    """The person, when the caller is that person or an admin; addresses are nobody else's business."""
    if login != "me":
        mine = (
            caller.person_id and identity.person_by_id(tx, person_id=caller.person_id).login == login.strip().lower()
        )
        if not mine:
            identity.require(caller, "administer")
    return _find(tx, caller, login)


handlers = [
    list_people,
    invite_person,
    show_person,
    change_person,
    erase_person,
    list_contact_methods,
    add_contact_method,
    remove_contact_method,
]
