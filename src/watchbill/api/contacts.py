"""How people and teams are reached: verification, tests, personal rules, team channels."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter

from watchbill import channels
from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.api.people import Login, own_person
from watchbill.features import catalog, identity
from watchbill.features.catalog import TeamChannel
from watchbill.features.identity import ContactMethod, PersonalRule, QuietHours, ReachTest, RuleStep
from watchbill.kernel.errors import Forbidden, NotFound
from watchbill.runtime.db import Tx

TeamName = Annotated[str, PathParameter(description="A team's name.")]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A way to reach somebody; when the operator has not set it up, ``needs`` says what is missing."""

    name: str
    label: str
    address_label: str
    example: str
    note: str
    ready: bool
    needs: str


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The six digits that came through the contact method."""

    code: Annotated[str, msgspec.Meta(max_length=32)]


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ids of contact methods, first tried first; those left out follow as they were."""

    order: list[UUID]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The steps of each urgency and the quiet hours; see the guide 'Reach people'."""

    default: list[RuleStep] = []
    important: list[RuleStep] = []
    quiet: list[QuietHours] = []


class ReachView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody counts as reachable (a verified method is a reason), and their latest test page."""

    reachable: bool
    why: str
    test: ReachTest | None


class NewTeamChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What escalation steps call it (``channel:<name>``), the channel and the address."""

    name: str
    channel: str
    address: str


@get("/channels", sync_to_thread=True)
def list_channels(caller: GivenCaller, settings: GivenSettings) -> list[Channel]:
    """Every channel there is, and whether it is set up here."""
    identity.require(caller, "read")
    missing = channels.missing_of(settings)
    return [
        Channel(
            name=each.name,
            label=each.label,
            address_label=each.address_label,
            example=each.example,
            note=each.note,
            ready=not missing.get(each.name),
            needs=missing.get(each.name, ""),
        )
        for each in channels.describe()
    ]


_METHOD = "/people/{login:str}/contact-methods/{contact_method_id:uuid}"


@post(f"{_METHOD}/code", sync_to_thread=True, status_code=202)
def send_code(caller: GivenCaller, db: GivenDb, login: Login, contact_method_id: FromPath[UUID]) -> ContactMethod:
    """Send a code through the method (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.ask_for_code(tx, person_id=person_id, contact_method_id=contact_method_id, actor=caller.actor)


@post(f"{_METHOD}/verify", sync_to_thread=True, status_code=200)
def verify(
    caller: GivenCaller, db: GivenDb, login: Login, contact_method_id: FromPath[UUID], data: JSONBody[Code]
) -> ContactMethod:
    """Confirm the code that came through the method; five tries (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        right = identity.confirm_code(
            tx, person_id=person_id, contact_method_id=contact_method_id, code=data.code, actor=caller.actor
        )
        found = identity.own_method(tx, person_id=person_id, contact_method_id=contact_method_id)
    if not right:
        raise Forbidden("the code is not right", code="bad_code", field="code", hint="look again, or send a new one")
    return found


@post(f"{_METHOD}/test", sync_to_thread=True, status_code=202)
def test_method(caller: GivenCaller, db: GivenDb, login: Login, contact_method_id: FromPath[UUID]) -> ContactMethod:
    """Send a test message over the method (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.send_test(tx, person_id=person_id, contact_method_id=contact_method_id, actor=caller.actor)


@put("/people/{login:str}/contact-methods/order", sync_to_thread=True)
def order_methods(caller: GivenCaller, db: GivenDb, login: Login, data: JSONBody[Order]) -> list[ContactMethod]:
    """Put the methods into this order (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.order_contact_methods(tx, person_id=person_id, order=data.order, actor=caller.actor)


@get("/people/{login:str}/notification-rule", sync_to_thread=True)
def show_rule(caller: GivenCaller, db: GivenDb, login: Login) -> PersonalRule:
    """When and in which order the person is reached (the person and admins). No steps: all, a minute apart."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.personal_rules(tx, person_ids=[person_id]).get(person_id, PersonalRule())


@put("/people/{login:str}/notification-rule", sync_to_thread=True)
def set_rule(caller: GivenCaller, db: GivenDb, login: Login, data: JSONBody[Rule]) -> PersonalRule:
    """Replace the rule (the person and admins)."""
    rule = PersonalRule(default=tuple(data.default), important=tuple(data.important), quiet=tuple(data.quiet))
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        return identity.set_personal_rule(tx, person_id=person_id, rule=rule, actor=caller.actor)


@get("/people/{login:str}/reach", sync_to_thread=True)
def show_reach(caller: GivenCaller, db: GivenDb, login: Login) -> ReachView:
    """Whether the person counts as reachable, and their latest test page (the person and admins)."""
    with db.transaction() as tx:
        person_id = own_person(tx, caller, login).id
        reach = identity.reachable(tx, person_ids=[person_id])[person_id]
        test = identity.latest_tests(tx, person_ids=[person_id]).get(person_id)
    return ReachView(reachable=reach.reachable, why=reach.why, test=test)


def _team(tx: Tx, name: str) -> catalog.Team:
    team = catalog.team_by_name(tx, name=name)
    if team is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return team


@get("/teams/{team:str}/channels", sync_to_thread=True)
def list_team_channels(caller: GivenCaller, db: GivenDb, team: TeamName) -> list[TeamChannel]:
    """Where the team is told (members of the team, admins): an address may be a secret."""
    with db.transaction() as tx:
        found = _team(tx, team)
        identity.require(_with_teams(tx, caller), "manage_team", found.id)
        return catalog.all_team_channels(tx, team_ids=[found.id])


@post("/teams/{team:str}/channels", sync_to_thread=True)
def add_team_channel(caller: GivenCaller, db: GivenDb, team: TeamName, data: JSONBody[NewTeamChannel]) -> TeamChannel:
    """Add a place the team is told at; escalation steps name it ``channel:<name>`` (members of the team, admins)."""
    with db.transaction() as tx:
        found = _team(tx, team)
        identity.require(_with_teams(tx, caller), "manage_team", found.id)
        return catalog.add_team_channel(
            tx, team_id=found.id, name=data.name, channel=data.channel, address=data.address, actor=caller.actor
        )


@delete("/teams/{team:str}/channels/{name:str}", sync_to_thread=True)
def remove_team_channel(caller: GivenCaller, db: GivenDb, team: TeamName, name: FromPath[str]) -> None:
    """Remove a place (members of the team, admins); steps that name it are skipped and say so."""
    with db.transaction() as tx:
        found = _team(tx, team)
        identity.require(_with_teams(tx, caller), "manage_team", found.id)
        catalog.remove_team_channel(tx, team_id=found.id, name=name, actor=caller.actor)


def _with_teams(tx: Tx, caller: identity.Caller) -> identity.Caller:
    if caller.person_id is None:
        return caller
    return caller.in_teams(catalog.team_ids_of(tx, person_id=caller.person_id, shadows=False))


handlers = [
    list_channels,
    send_code,
    verify,
    test_method,
    order_methods,
    show_rule,
    set_rule,
    show_reach,
    list_team_channels,
    add_team_channel,
    remove_team_channel,
]
