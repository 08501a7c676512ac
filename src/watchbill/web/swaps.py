"""Swaps: what waits for me, what I asked for, and how to ask or to take a shift."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath

from watchbill.features import catalog, identity, oncall
from watchbill.features.oncall import PRIMARY, Shift, Swap
from watchbill.kernel.errors import Conflict, Forbidden, Invalid
from watchbill.web import shell, teams
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

AHEAD = timedelta(days=42)
_MOST_LISTED = 60


@get("/swaps", sync_to_thread=True)
def swap_list(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """Requests of my teams, my coming shifts to give away, and my colleagues' to take."""
    with shell.looking(web, request) as screen:
        tx, me = screen.tx, _me(screen)
        mine_ids = catalog.team_ids_of(tx, person_id=me, shadows=False)
        found = oncall.swaps(tx, team_ids=mine_ids) if mine_ids else []
        found += [s for s in oncall.swaps(tx, person_id=me) if s.team_id not in mine_ids]
        members = catalog.members(tx, team_ids=mine_ids) if mine_ids else {}
        mine = oncall.my_shifts(tx, person_id=me, start_at=tx.now, end_at=tx.now + AHEAD)
        theirs = [
            shift
            for team_id in mine_ids
            for shift in oncall.shifts(tx, team_id=team_id, start_at=tx.now, end_at=tx.now + AHEAD)
            if me not in shift.people
        ]
        colleagues = {m.person_id for found in members.values() for m in found if m.role != "shadow"} - {me}
        named = {p for s in found for p in (s.from_person, s.to_person, s.decided_by)} | colleagues
        return screen.page(
            "swaps.html",
            title="Swaps",
            live="oncall:*",
            waiting=[s for s in found if s.state == "open" and s.from_person != me and s.to_person in {None, me}],
            asked=[s for s in found if s.state == "open" and s.from_person == me],
            others=[s for s in found if s.state == "open" and me not in {s.from_person, s.to_person} and s.to_person],
            past=[s for s in found if s.state != "open"][:20],
            me=me,
            people=screen.people(named | {p for s in theirs for p in s.people}),
            teams={team.id: team for team in catalog.teams(tx, ids=list({s.team_id for s in found} | set(mine_ids)))},
            mine=[(s, _value(s)) for s in mine if s.team_id in mine_ids],
            theirs=[(s, _value(s)) for s in sorted(theirs, key=lambda s: s.start_at)[:_MOST_LISTED]],
            colleagues=sorted(colleagues, key=str),
        )


def _me(screen: Screen) -> UUID:
    if screen.person is None:
        raise Conflict("a token has no shifts", hint="sign in as a person")
    return screen.person.id


def _value(shift: Shift) -> str:
    """What a form sends for a shift."""
    return f"{shift.team_id}|{shift.slot}|{shift.start_at.isoformat()}|{shift.end_at.isoformat()}|{shift.person_id}"


def _shift_of(text: str, field: str) -> tuple[UUID, str, datetime, datetime, UUID]:
    try:
        team_id, slot, start, end, person_id = text.split("|")
        begin, until = datetime.fromisoformat(start), datetime.fromisoformat(end)
        if begin.tzinfo is None or until.tzinfo is None:
            raise ValueError(text)
        return UUID(team_id), slot or PRIMARY, begin, until, UUID(person_id)
    except ValueError as error:
        raise Invalid("no shift was chosen", field=field, hint="choose one of the list") from error


@post("/swaps", sync_to_thread=True, status_code=204, opt=ACT)
def request_swap(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """Ask for a whole shift of mine, or a part of it."""
    with shell.acting(web, request, data) as screen:
        team_id, slot, start, end, _ = _shift_of(data.get("shift", ""), "shift")
        identity.require(screen.caller, "manage_team", team_id)
        zone = ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")
        back = _shift_of(data["back"], "back") if data.get("back") else None
        to = teams.person_id_of(data["to"]) if data.get("to") else None
        if back is not None and back[4] != to:
            hint = "choose a shift of the person who is asked, or nothing in return"
            raise Invalid("the shift in return is somebody else's", field="back", hint=hint)
        oncall.request_swap(
            screen.tx,
            team_id=team_id,
            from_person=_me(screen),
            to_person=to,
            start_at=teams.local(data["from"], zone, "from") if data.get("from") else start,
            end_at=teams.local(data["until"], zone, "until") if data.get("until") else end,
            back=(back[2], back[3]) if back else None,
            note=data.get("note", "").strip(),
            slot=slot,
            actor=screen.caller.actor,
        )
    return shell.done(request, "Asked. You stay on call until somebody accepts.", back="/swaps")


@post("/swaps/take", sync_to_thread=True, status_code=204, opt=ACT)
def take_shift(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """A colleague's shift becomes mine at once."""
    with shell.acting(web, request, data) as screen:
        team_id, slot, start, end, person_id = _shift_of(data.get("shift", ""), "shift")
        identity.require(screen.caller, "manage_team", team_id)
        made = oncall.take_shift(
            screen.tx,
            team_id=team_id,
            person_id=_me(screen),
            start_at=start,
            end_at=end,
            instead_of=person_id,
            note=data.get("note", "").strip(),
            slot=slot,
            actor=screen.caller.actor,
        )
        team = catalog.team(screen.tx, id=team_id)
        screen.tx.hint("watchbill_live", f"oncall:{team.name}")
    undo = ("Undo", f"/teams/{team.name}/overrides/{made[0].id}/cancel")
    return shell.done(request, "Taken: it is yours now.", back="/swaps", undo=undo)


@post("/swaps/{id:uuid}/{decision:str}", sync_to_thread=True, status_code=204, opt=ACT)
def answer(
    request: AnyRequest, web: GivenWeb, id: FromPath[UUID], decision: FromPath[str], data: Form
) -> Response[None]:
    """Accept, decline, withdraw or undo."""
    decide: dict[str, tuple[Callable[..., Swap], str]] = {
        "accept": (oncall.accept_swap, "Accepted: the time is yours."),
        "decline": (oncall.decline_swap, "Declined. Nothing has changed."),
        "withdraw": (oncall.withdraw_swap, "Withdrawn. You stay on call."),
        "undo": (oncall.undo_swap, "Undone. The rotation counts again for what is ahead."),
    }
    if decision not in decide:
        raise Invalid(f"'{decision}' is not an answer", hint="accept, decline, withdraw or undo")
    with shell.acting(web, request, data) as screen:
        swap = oncall.swap_by_id(screen.tx, swap_id=id)
        identity.require(screen.caller, "manage_team", swap.team_id)
        me = _me(screen)
        if decision in {"withdraw", "undo"} and me not in {swap.from_person, swap.to_person, swap.decided_by}:
            raise Forbidden("only the two of the swap take it back here", hint="a lead can cancel the override")
        act, said = decide[decision]
        act(screen.tx, swap_id=id, person_id=me, actor=screen.caller.actor)
    undo = ("Undo", f"/swaps/{id}/undo") if decision == "accept" else None
    return shell.done(request, said, back="/swaps", undo=undo)


handlers = [swap_list, request_swap, take_shift, answer]
