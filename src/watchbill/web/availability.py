"""My availability: when I am away, my public holidays, and calendars that fetch my shifts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from watchbill.api.availability import feed_url
from watchbill.features import catalog, identity, oncall
from watchbill.features.identity import Person
from watchbill.features.oncall import Shift, TimeOff
from watchbill.kernel.errors import Conflict, Forbidden, Invalid
from watchbill.web import shell, teams
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

AHEAD = timedelta(days=365)
SHIFTS_AHEAD = timedelta(days=90)
_MOST_BYTES = 1024 * 1024
Upload = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]


@get("/availability", sync_to_thread=True)
def availability(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """Time off with the shifts it meets, feeds, and holidays."""
    with shell.looking(web, request) as screen:
        tx, me = screen.tx, _me(screen)
        off = oncall.time_off_of(tx, person_ids=[me.id], start_at=tx.now, end_at=tx.now + AHEAD)[me.id]
        shifts = oncall.my_shifts(tx, person_id=me.id, start_at=tx.now, end_at=tx.now + SHIFTS_AHEAD)
        return screen.page(
            "availability.html",
            title="My availability",
            live="oncall:*",
            off=[(each, _met(each, shifts)) for each in off],
            feeds=oncall.feeds(tx, owner_id=me.id),
            teams={team.id: team for team in catalog.teams(tx)},
            my_teams=[team for team in catalog.teams(tx) if team.id in screen.team_ids],
            holidays=oncall.holiday_calendars_of(tx, person_ids=[me.id]).get(me.id, ""),
        )


def _me(screen: Screen) -> Person:
    if screen.person is None:
        raise Conflict("a token has no page of its own", hint="sign in as a person")
    return screen.person


def _met(off: TimeOff, shifts: list[Shift]) -> list[Shift]:
    return [shift for shift in shifts if shift.start_at < off.end_at and shift.end_at > off.start_at]


@post("/availability/time-off", sync_to_thread=True, status_code=204, opt=ACT)
def add_time_off(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """One more stretch away, on my own clock."""
    with shell.acting(web, request, data) as screen:
        me = _me(screen)
        zone = ZoneInfo(me.time_zone)
        made = oncall.add_time_off(
            screen.tx,
            person_id=me.id,
            start_at=teams.local(data.get("from", ""), zone, "from"),
            end_at=teams.local(data.get("to", ""), zone, "to"),
            note=data.get("note", "").strip(),
            actor=screen.caller.actor,
        )
        shifts = oncall.my_shifts(screen.tx, person_id=me.id, start_at=screen.tx.now, end_at=_later(made.end_at))
        met = len(_met(made, shifts))
    said = f"Noted. {met} of your shifts fall into it: ask for a swap." if met else "Noted. No shift of yours meets it."
    undo = ("Undo", f"/availability/time-off/{made.id}/remove")
    return shell.done(request, said, back="/availability", undo=undo)


def _later(end_at: datetime) -> datetime:
    return end_at + timedelta(hours=1)


@post("/availability/time-off/{id:uuid}/remove", sync_to_thread=True, status_code=204, opt=ACT)
def remove_time_off(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """I am there after all."""
    with shell.acting(web, request, data) as screen:
        if oncall.time_off_by_id(screen.tx, time_off_id=id).person_id != _me(screen).id:
            raise Forbidden("this is somebody else's time off", hint="they remove it on their own page")
        oncall.remove_time_off(screen.tx, time_off_id=id, actor=screen.caller.actor)
    return shell.done(request, "Removed.", back="/availability")


@post("/availability/import", sync_to_thread=True, status_code=303, opt=ACT)
def import_calendar(request: AnyRequest, web: GivenWeb, data: Upload) -> Response[Any]:
    """A calendar file as time off; what it changed is told on a page of its own."""
    given = data.get("file")
    if not isinstance(given, UploadFile):
        raise Invalid("no file was chosen", field="file", hint="choose an .ics file")
    content = given.file.read(_MOST_BYTES + 1)
    with shell.acting(web, request, {"_csrf": str(data.get("_csrf", ""))}) as screen:
        me = _me(screen)
        done = oncall.import_time_off(
            screen.tx,
            person_id=me.id,
            calendar=str(data.get("calendar", "")).strip() or (given.filename or "calendar").removesuffix(".ics"),
            content=content,
            time_zone=me.time_zone,
            actor=screen.caller.actor,
        )
        return screen.page("imported.html", title="Calendar imported", done=done)


@post("/availability/holidays", sync_to_thread=True, status_code=204, opt=ACT)
def set_holidays(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """Whose public holidays I have."""
    with shell.acting(web, request, data) as screen:
        calendar = data.get("holidays", "").strip()
        oncall.set_holiday_calendar(screen.tx, person_id=_me(screen).id, calendar=calendar, actor=screen.caller.actor)
    said = f"Public holidays of {calendar} are yours." if calendar else "No public holidays."
    return shell.done(request, said, back="/availability")


@post("/availability/feeds", sync_to_thread=True, status_code=200, opt=ACT)
def create_feed(request: AnyRequest, web: GivenWeb, data: Form) -> Response[Any]:
    """A secret address, shown this once."""
    with shell.acting(web, request, data) as screen:
        me, team = _me(screen), data.get("team", "")
        team_id = teams.named(screen.tx, team).id if team else None
        kind: oncall.FeedKind = "person" if team_id is None else "team"
        _, secret = oncall.create_feed(screen.tx, owner_id=me.id, kind=kind, team_id=team_id, actor=screen.caller.actor)
        return _shown(screen, secret)


@post("/availability/feeds/{id:uuid}/{decision:str}", sync_to_thread=True, status_code=200, opt=ACT)
def change_feed(
    request: AnyRequest, web: GivenWeb, id: FromPath[UUID], decision: FromPath[str], data: Form
) -> Response[Any]:
    """A new address, or none any more."""
    with shell.acting(web, request, data) as screen:
        feed = oncall.feed_by_id(screen.tx, feed_id=id)
        if feed.owner_id != _me(screen).id:
            identity.require(screen.caller, "administer")
        if decision == "replace":
            _, secret = oncall.replace_feed(screen.tx, feed_id=id, actor=screen.caller.actor)
            return _shown(screen, secret)
        oncall.revoke_feed(screen.tx, feed_id=id, actor=screen.caller.actor)
    return Response(None, status_code=303, headers={"Location": "/availability"})


def _shown(screen: Screen, secret: str) -> Response[Any]:
    url = feed_url(screen.web.settings.base_url, secret)
    return screen.page("feed.html", title="Calendar address", url=url, webcal="webcal" + url[url.index(":") :])


handlers = [
    availability,
    add_time_off,
    remove_time_off,
    import_calendar,
    set_holidays,
    create_feed,
    change_feed,
]
