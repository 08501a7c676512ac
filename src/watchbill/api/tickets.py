"""Tickets of a team: where they go, how they are, and a test of the setting."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.api.teams import find_team
from watchbill.channels import Sender, context_of
from watchbill.features import catalog, identity, tickets
from watchbill.features.tickets import Draft, Place, TrackerError
from watchbill.kernel.errors import Conflict, Problem
from watchbill.kernel.ids import new_id
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Tx
from watchbill.runtime.messages import Message
from watchbill.trackers import Trackers

HOW = "write tickets: {github: {repository: owner/name}} (or gitlab, jira, channel) in the team's manifest and apply it"


class TicketPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where tickets go; ``connection`` names the operator's entry, null for a chat channel."""

    provider: Literal["github", "gitlab", "jira", "channel"]
    project: str
    connection: str | None
    labels: list[str]
    when_resolved: Literal["close", "comment"]
    environments: list[str]
    fallback: str | None


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket of one alert; ``error`` says what is not as it should be, ``failing_at`` since when."""

    id: UUID
    alert_id: UUID
    title: str
    provider: str
    project: str
    state: str
    ref: str | None
    url: str | None
    created_at: datetime
    closed_at: datetime | None
    failing_at: datetime | None
    error: str | None


class TeamTickets(msgspec.Struct, frozen=True, kw_only=True):
    """``place`` is null when the team named none; ``hint`` then says how to. Newest tickets first."""

    team: str
    place: TicketPlace | None
    hint: str | None
    problems: list[Problem]
    tickets: list[TicketView]


class TicketTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``create`` makes a real ticket (and closes it again), or sends a real message; else nothing is made."""

    create: bool = False


class TicketTested(msgspec.Struct, frozen=True, kw_only=True):
    """What a test found. ``said`` is the provider's answer; ``title`` and ``text`` what a ticket looks like."""

    ok: bool
    place: str
    said: str
    url: str | None
    title: str
    text: str


@get("/teams/{name:str}/tickets", sync_to_thread=True)
def list_tickets(name: FromPath[str], caller: GivenCaller, db: GivenDb) -> TeamTickets:
    """Where a team's tickets go, and the newest of them."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        team = find_team(tx, name)
        rules = tickets.rules_of(team.spec)
        found = tickets.tickets_of_team(tx, team_id=team.id)
        problems = tickets.problems(tx, team_ids=[team.id])
    place = None
    if rules is not None:
        place = TicketPlace(
            provider=rules.place.provider,
            project=rules.place.project,
            connection=rules.place.connection or None,
            labels=list(rules.place.labels),
            when_resolved=rules.when_resolved,
            environments=list(rules.environments),
            fallback=rules.fallback,
        )
    return TeamTickets(
        team=team.name,
        place=place,
        hint=None if place else HOW,
        problems=problems,
        tickets=[
            TicketView(
                id=one.id,
                alert_id=one.alert_id,
                title=one.title,
                provider=one.place.provider,
                project=one.place.project,
                state=one.state,
                ref=one.ref,
                url=one.url,
                created_at=one.created_at,
                closed_at=one.closed_at,
                failing_at=one.failing_at,
                error=one.error,
            )
            for one in found
        ],
    )


@post("/teams/{name:str}/tickets/test", sync_to_thread=True, status_code=200)
def test_tickets(
    name: FromPath[str], caller: GivenCaller, db: GivenDb, settings: GivenSettings, data: JSONBody[TicketTest]
) -> TicketTested:
    """Try a team's setting: ask the provider for the place, or make a ticket and close it. No transaction is open."""
    with db.transaction() as tx:
        team = find_team(tx, name)
        identity.require(caller, "manage_team", team.id)
        rules = tickets.rules_of(team.spec)
        if rules is None:
            raise Conflict(f"team {team.name} has not said where its tickets go", code="no_tickets", hint=HOW)
        address = _address(tx, team.id, rules.place)
    draft = tickets.sample(team=team.name, base_url=settings.base_url, id=new_id())
    url = None
    try:
        if rules.place.provider == "channel":
            said = _in_chat(settings, rules.place, address, draft, create=data.create)
        else:
            said, url = _at_tracker(settings, team.name, rules.place, draft, create=data.create)
        ok = True
    except TrackerError as error:
        ok, said = False, str(error)
    text = "\n\n".join(part for part in (draft.intro, draft.description) if part)
    return TicketTested(ok=ok, place=rules.place.shown, said=said, url=url, title=draft.title, text=text)


def _address(tx: Tx, team_id: UUID, place: Place) -> tuple[str, str] | None:
    found = catalog.team_channels(tx, team_id=team_id, name=place.project) if place.provider == "channel" else []
    return (found[0].channel, found[0].address) if found else None


def _at_tracker(settings: Settings, team: str, place: Place, draft: Draft, *, create: bool) -> tuple[str, str | None]:
    tracker = Trackers(settings.tickets_file)(team, place)
    said = tracker.check(place)
    if not create:
        return said, None
    made = tracker.create(place, draft)
    tracker.comment(place, made.ref, text=f"Tested at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.", marker=draft.marker)
    refused = tracker.set_open(place, made.ref, open=False)
    return (f"made, commented and {f'not closed: {refused}' if refused else 'closed'}", made.url)


def _in_chat(settings: Settings, place: Place, address: tuple[str, str] | None, draft: Draft, *, create: bool) -> str:
    if address is None:
        raise TrackerError(f"the team has no channel '{place.project}'; see `watchbill contact channels`")
    if not create:
        return f"the channel {place.project} is {address[0]}; nothing was sent"
    text = "\n\n".join((draft.intro, draft.description))
    sent = Sender(context_of(settings))(
        Message(
            channel=address[0],
            address=address[1],
            subject=f"[ticket] {draft.title}",
            text=text,
            idempotency_key=draft.marker,
            urgent=False,
        )
    )
    if not sent.sent:
        raise TrackerError(sent.error)
    return "sent"


handlers = [list_tickets, test_tickets]
