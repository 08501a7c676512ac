"""When people are away, their public holidays, and the secret addresses of their calendars."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, JSONBody

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.api.oncall_views import From, Login, PersonRef, To, acting_person, aware, ref, team_of, window
from watchbill.features import catalog, identity, oncall
from watchbill.features.identity import Caller, Person
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

CALENDAR_PATH = "/api/v1/oncall/calendar"


class NewTimeOff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``person`` (the caller when left out) is away; instants are RFC 3339 with an offset."""

    start_at: datetime
    end_at: datetime
    person: str | None = None
    note: str = ""


class TimeOffView(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch away; ``note`` is shown to that person and admins only, ``calendar`` is where it was imported from."""

    id: UUID
    person: PersonRef
    start_at: datetime
    end_at: datetime
    note: str
    calendar: str | None


class CalendarImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An iCalendar file; what was imported under the same ``calendar`` before is replaced."""

    calendar: str
    content: str
    person: str | None = None


class HolidayChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A country, or its part (``DE``, ``DE-BE``), or nothing."""

    calendar: str
    person: str | None = None


class NewFeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A calendar of the caller's shifts (neither), of a team (``team``), or of one slot (both)."""

    team: str | None = None
    slot: str | None = None
    person: str | None = None


class FeedView(msgspec.Struct, frozen=True, kw_only=True):
    """A feed without its secret; ``used_at`` is when a calendar last fetched it (to the hour)."""

    id: UUID
    kind: str
    team: str | None
    slot: str | None
    created_at: datetime
    used_at: datetime | None


class MadeFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed with its secret address, which is shown this once."""

    feed: FeedView
    url: str


@get("/oncall/time-off", sync_to_thread=True)
def list_time_off(
    *, caller: GivenCaller, db: GivenDb, person: Login = None, start: From = None, end: To = None
) -> list[TimeOffView]:
    """When a person is away (the caller when left out), from now on."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        who = _person(tx, caller, person)
        start_at, end_at = window(tx, start, end)
        found = oncall.time_off_of(tx, person_ids=[who.id], start_at=start_at, end_at=end_at if end else None)[who.id]
    return [_view(caller, who, off) for off in found]


@post("/oncall/time-off", sync_to_thread=True)
def add_time_off(caller: GivenCaller, db: GivenDb, data: JSONBody[NewTimeOff]) -> TimeOffView:
    """Say that one is away: people for themselves, admins for anybody. Shifts in it become warnings."""
    with db.transaction() as tx:
        who = acting_person(tx, caller, data.person)
        made = oncall.add_time_off(
            tx,
            person_id=who.id,
            start_at=aware(data.start_at, "start_at"),
            end_at=aware(data.end_at, "end_at"),
            note=data.note.strip(),
            actor=caller.actor,
        )
    return _view(caller, who, made)


@delete("/oncall/time-off/{time_off_id:uuid}", sync_to_thread=True)
def remove_time_off(caller: GivenCaller, db: GivenDb, time_off_id: FromPath[UUID]) -> None:
    """Take time off back: people their own, admins anybody's."""
    with db.transaction() as tx:
        found = oncall.time_off_by_id(tx, time_off_id=time_off_id)
        if found.person_id != caller.person_id:
            identity.require(caller, "administer")
        oncall.remove_time_off(tx, time_off_id=time_off_id, actor=caller.actor)


@post("/oncall/time-off/import", sync_to_thread=True, status_code=200)
def import_time_off(caller: GivenCaller, db: GivenDb, data: JSONBody[CalendarImport]) -> oncall.Imported:
    """Take the coming 400 days of an iCalendar file as time off; again is an update."""
    with db.transaction() as tx:
        who = acting_person(tx, caller, data.person)
        return oncall.import_time_off(
            tx,
            person_id=who.id,
            calendar=data.calendar,
            content=data.content.encode(),
            time_zone=who.time_zone,
            actor=caller.actor,
        )


@put("/oncall/holidays", sync_to_thread=True, status_code=200)
def set_holidays(caller: GivenCaller, db: GivenDb, data: JSONBody[HolidayChoice]) -> HolidayChoice:
    """Say whose public holidays one has."""
    with db.transaction() as tx:
        who = acting_person(tx, caller, data.person)
        oncall.set_holiday_calendar(tx, person_id=who.id, calendar=data.calendar, actor=caller.actor)
        now = oncall.holiday_calendars_of(tx, person_ids=[who.id]).get(who.id, "")
    return HolidayChoice(calendar=now, person=who.login)


@get("/oncall/feeds", sync_to_thread=True)
def list_feeds(caller: GivenCaller, db: GivenDb, person: Login = None) -> list[FeedView]:
    """The caller's calendar feeds."""
    with db.transaction() as tx:
        who = acting_person(tx, caller, person)
        return [_feed_view(tx, feed) for feed in oncall.feeds(tx, owner_id=who.id)]


@post("/oncall/feeds", sync_to_thread=True)
def create_feed(caller: GivenCaller, db: GivenDb, settings: GivenSettings, data: JSONBody[NewFeed]) -> MadeFeed:
    """Make a secret address that calendars can fetch."""
    with db.transaction() as tx:
        who = acting_person(tx, caller, data.person)
        team = team_of(tx, data.team, None) if data.team else None
        kind: oncall.FeedKind = "person" if team is None else "schedule" if data.slot else "team"
        feed, secret = oncall.create_feed(
            tx,
            owner_id=who.id,
            kind=kind,
            team_id=team.id if team else None,
            slot=data.slot,
            actor=caller.actor,
        )
        return MadeFeed(feed=_feed_view(tx, feed), url=feed_url(settings.base_url, secret))


@post("/oncall/feeds/{feed_id:uuid}/replace", sync_to_thread=True, status_code=200)
def replace_feed(caller: GivenCaller, db: GivenDb, settings: GivenSettings, feed_id: FromPath[UUID]) -> MadeFeed:
    """A new address for the same calendar; the old one ends at once."""
    with db.transaction() as tx:
        _own(caller, oncall.feed_by_id(tx, feed_id=feed_id))
        feed, secret = oncall.replace_feed(tx, feed_id=feed_id, actor=caller.actor)
        return MadeFeed(feed=_feed_view(tx, feed), url=feed_url(settings.base_url, secret))


@delete("/oncall/feeds/{feed_id:uuid}", sync_to_thread=True)
def revoke_feed(caller: GivenCaller, db: GivenDb, feed_id: FromPath[UUID]) -> None:
    """End a feed at once."""
    with db.transaction() as tx:
        _own(caller, oncall.feed_by_id(tx, feed_id=feed_id))
        oncall.revoke_feed(tx, feed_id=feed_id, actor=caller.actor)


@get("/oncall/calendar/{name:str}", opt={"public": True}, sync_to_thread=True, security=[{}])
def calendar(db: GivenDb, name: FromPath[str]) -> Response[bytes]:
    """The iCalendar behind a secret address (``SECRET.ics``): thirty days back, half a year ahead, in UTC."""
    secret = name.removesuffix(".ics")
    if len(secret) > 100 or not secret.isascii():
        raise NotFound("there is no such calendar")
    with db.transaction() as tx:
        written = oncall.feed_calendar(tx, secret=secret)
    return Response(
        written,
        media_type="text/calendar; charset=utf-8",
        headers={"Cache-Control": "private, max-age=300", "Content-Disposition": 'inline; filename="on-call.ics"'},
    )


def feed_url(base_url: str, secret: str) -> str:
    """Where a feed is fetched."""
    return f"{base_url}{CALENDAR_PATH}/{secret}.ics"


def _own(caller: Caller, feed: oncall.Feed) -> None:
    if feed.owner_id != caller.person_id:
        identity.require(caller, "administer")


def _person(tx: Tx, caller: Caller, login: str | None) -> Person:
    if login in {None, "", "me"}:
        return acting_person(tx, caller, None)
    found = identity.person_by_login(tx, login=login or "")
    if found is None:
        raise NotFound(f"there is no person '{login}'", field="person", hint="see `watchbill person list`")
    return found


def _view(caller: Caller, person: Person, off: oncall.TimeOff) -> TimeOffView:
    theirs = person.id == caller.person_id or caller.role == "admin"
    return TimeOffView(
        id=off.id,
        person=ref(person),
        start_at=off.start_at,
        end_at=off.end_at,
        note=off.note if theirs else "",
        calendar=off.calendar if theirs else None,
    )


def _feed_view(tx: Tx, feed: oncall.Feed) -> FeedView:
    return FeedView(
        id=feed.id,
        kind=feed.kind,
        team=catalog.team(tx, id=feed.team_id).name if feed.team_id else None,
        slot=feed.slot,
        created_at=feed.created_at,
        used_at=feed.used_at,
    )


handlers = [
    list_time_off,
    add_time_off,
    remove_time_off,
    import_time_off,
    set_holidays,
    list_feeds,
    create_feed,
    replace_feed,
    revoke_feed,
    calendar,
]
