"""What people do with the page of an incident: snooze, hand over, reassign, cancel, page a team; merge incidents.

``team`` names the page where an incident has several open ones; else the caller's own is meant.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import post
from litestar.params import JSONBody

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.api.incident_views import IncidentDetailView, detail_view
from watchbill.api.incidents import ACT, Number, Text, Why
from watchbill.api.times import instant_of
from watchbill.features import paging
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]


class Snooze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``until`` an instant, or ``for`` a duration such as 2h."""

    until: str | None = None
    for_: str | None = msgspec.field(name="for", default=None)
    team: Name | None = None
    why: Text = ""


class HandOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``to`` is a login."""

    to: Name
    team: Name | None = None
    why: Text = ""


class Decline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page, and why not."""

    team: Name | None = None
    why: Text = ""


class Reassign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``to_team`` a team's name, or ``to_person`` a login."""

    to_team: Name | None = None
    to_person: Name | None = None
    team: Name | None = None
    why: Text = ""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why nobody needs to answer."""

    why: Text
    team: Name | None = None


class PageTeam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The team to page, and why."""

    team: Name
    why: Text = ""


class Merge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of the incident that it becomes part of."""

    into: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    why: Text = ""


@post("/incidents/{number:int}/snooze", sync_to_thread=True, opt=ACT, status_code=200)
def snooze_page(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Snooze]
) -> IncidentDetailView:
    """Acknowledge until a time of your choice; then paging begins again unless it is resolved."""
    with db.transaction() as tx:
        until = _until(tx, data)
        paging.snooze(tx, number=number, caller=caller, until=until, team=data.team, why=data.why)
        return detail_view(tx, number, settings)


def _until(tx: Tx, data: Snooze) -> datetime:
    at = instant_of(data.until, field="until")
    if (at is None) == (data.for_ is None):
        raise Invalid("say one: until when, or for how long", field="until", hint='write {"for": "2h"}')
    if at is not None:
        return at
    try:
        return tx.now + parse_duration(data.for_ or "")
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field="for", hint="write a duration such as 2h") from error


@post("/incidents/{number:int}/hand-over", sync_to_thread=True, opt=ACT, status_code=200)
def hand_over_page(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[HandOver]
) -> IncidentDetailView:
    """Ask a person to take the page over; they accept by acknowledging, within five minutes."""
    with db.transaction() as tx:
        paging.hand_over(tx, number=number, caller=caller, to=data.to, team=data.team, why=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/hand-over/decline", sync_to_thread=True, opt=ACT, status_code=200)
def decline_hand_over(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Decline]
) -> IncidentDetailView:
    """Decline a hand-over (paging begins again), or take back your own (it stays with whoever has it)."""
    with db.transaction() as tx:
        paging.decline_hand_over(tx, number=number, caller=caller, team=data.team, why=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/reassign", sync_to_thread=True, opt=ACT, status_code=200)
def reassign_page(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Reassign]
) -> IncidentDetailView:
    """Give the page to another team, or first to a person: the old page ends, a new one begins."""
    with db.transaction() as tx:
        paging.reassign(
            tx,
            number=number,
            caller=caller,
            to_team=data.to_team,
            to_person=data.to_person,
            team=data.team,
            why=data.why,
        )
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/cancel", sync_to_thread=True, opt=ACT, status_code=200)
def cancel_page(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Cancel]
) -> IncidentDetailView:
    """End the page with a reason; the incident stays open, and the team can be paged again."""
    with db.transaction() as tx:
        paging.cancel_page(tx, number=number, caller=caller, why=data.why, team=data.team)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/pages", sync_to_thread=True, opt=ACT, status_code=201)
def page_team(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[PageTeam]
) -> IncidentDetailView:
    """Page a team about this incident: one that is needed too, or one whose page was cancelled."""
    with db.transaction() as tx:
        paging.page_team(tx, number=number, caller=caller, team=data.team, why=data.why)
        return detail_view(tx, number, settings)


@post("/incidents/{number:int}/merge", sync_to_thread=True, opt=ACT, status_code=200)
def merge_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Merge]
) -> IncidentDetailView:
    """Make it part of another incident, which is answered with; both timelines are kept."""
    with db.transaction() as tx:
        target = paging.merge_incident(tx, number=number, into=data.into, caller=caller, why=data.why)
        return detail_view(tx, target.number, settings)


@post("/incidents/{number:int}/unmerge", sync_to_thread=True, opt=ACT, status_code=200)
def unmerge_incident(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, number: Number, data: JSONBody[Why]
) -> IncidentDetailView:
    """Take a merged incident apart again: its alerts and running pages come back to it."""
    with db.transaction() as tx:
        paging.unmerge_incident(tx, number=number, caller=caller, why=data.why)
        return detail_view(tx, number, settings)


handlers = [
    snooze_page,
    hand_over_page,
    decline_hand_over,
    reassign_page,
    cancel_page,
    page_team,
    merge_incident,
    unmerge_incident,
]
