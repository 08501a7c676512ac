"""My watch: am I on call, what burns, what comes next, and what is wrong with the watch itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from watchbill.features import catalog, identity, oncall, paging, slo
from watchbill.features.oncall import Shift
from watchbill.kernel.errors import NotFound, Problem
from watchbill.web import incidents, shell
from watchbill.web.shell import AnyRequest, GivenWeb, Screen

AHEAD = timedelta(days=28)


@get("/", sync_to_thread=True)
def home(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """The first page of whoever is signed in."""
    with shell.looking(web, request) as screen:
        teams = {team.id: team for team in catalog.teams(screen.tx)}
        mine = [id for id in screen.team_ids if id in teams]
        rows = incidents.rows(screen, paging.incident_list(screen.tx, state="open", limit=100))
        rows.sort(key=lambda row: (not row.mine, row.tone != "red"))
        shifts = _shifts(screen)
        methods = _methods(screen)
        return screen.page(
            "home.html",
            title="My watch",
            live="incident:* oncall:* slo:* team:*",
            teams=teams,
            mine=mine,
            rows=rows[:20],
            more=max(0, len(rows) - 20),
            now_on=[shift for shift in shifts if shift.start_at <= screen.tx.now],
            coming=[shift for shift in shifts if shift.start_at > screen.tx.now][:5],
            watches=_watches(screen, mine or list(teams)[:8]),
            risky=slo.at_risk(screen.tx, team_ids=mine or list(teams))[:8],
            observer=slo.observer_note(screen.tx) if teams else None,
            last_resort=paging.last_resort_problem(screen.tx),
            warnings=_warnings(screen, mine, set(teams)),
            reachable=bool(methods) or screen.person is None,
            asked=_asked(screen, mine),
        )


def _shifts(screen: Screen) -> list[Shift]:
    if screen.person is None:
        return []
    now = screen.tx.now
    return oncall.my_shifts(screen.tx, person_id=screen.person.id, start_at=now, end_at=now + AHEAD)


def _asked(screen: Screen, mine: list[UUID]) -> list[tuple[oncall.Swap, identity.Person | None]]:
    """Swap requests that wait for an answer of mine, with who asks."""
    if screen.person is None or not mine:
        return []
    me = screen.person.id
    found = oncall.swaps(screen.tx, team_ids=mine, open_only=True)
    waiting = [swap for swap in found if swap.from_person != me and swap.to_person in {None, me}]
    people = screen.people({swap.from_person for swap in waiting})
    return [(swap, people.get(swap.from_person)) for swap in waiting]


def _methods(screen: Screen) -> list[identity.ContactMethod]:
    if screen.person is None:
        return []
    return identity.contact_methods(screen.tx, person_ids=[screen.person.id])[screen.person.id]


def _watches(screen: Screen, team_ids: list[UUID]) -> list[tuple[UUID, identity.Person | None, Shift | None]]:
    on_call = oncall.on_call_at(screen.tx, at=screen.tx.now, team_ids=team_ids)
    people = screen.people({shift.person_id for shift in on_call.values() if shift})
    return [
        (id, people.get(shift.person_id) if (shift := on_call.get(id)) else None, on_call.get(id)) for id in team_ids
    ]


def _warnings(screen: Screen, mine: list[UUID], known: set[UUID]) -> list[tuple[UUID, Problem]]:
    """Warnings about my teams; for an admin, about all."""
    wanted = known if screen.caller.role == "admin" else set(mine)
    found = oncall.warnings(screen.tx, team_ids=wanted) if wanted else {}
    return [(team_id, problem) for team_id, problems in found.items() for problem in problems]


@get("/{rest:path}", sync_to_thread=False)
def nowhere(rest: FromPath[str]) -> Response[Any]:
    """Any other address that a browser asks for: a page that says so."""
    raise NotFound(f"there is no page {rest}", hint="go back to your watch")


handlers = [home, nowhere]
