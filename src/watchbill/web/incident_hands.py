"""What a person does with the page of an incident: snooze, hand over, give away, cancel, page a team, merge.

Each is asked for at its own address, where it says what will happen, and then done by the same use-case as API and CLI.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, get_args

from litestar import Response, get, post
from litestar.params import FromPath

from watchbill.features import catalog, identity, paging
from watchbill.kernel.durations import parse_duration, rough_duration
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen
from watchbill.web.view import name_of

Hand = Literal["snooze", "hand-over", "decline", "reassign", "cancel", "page", "merge", "unmerge"]
HANDS: frozenset[str] = frozenset(get_args(Hand))
SNOOZES = ("30m", "1h", "2h", "4h", "8h", "1d")


@get("/incidents/{number:int}/do/{hand:str}", sync_to_thread=True)
def confirm_hand(request: AnyRequest, web: GivenWeb, number: FromPath[int], hand: FromPath[str]) -> Response[Any]:
    """What it will do, before it is done."""
    if hand not in HANDS:
        raise NotFound(f"nothing is called '{hand}' here")
    with shell.looking(web, request) as screen:
        detail = paging.incident_detail(screen.tx, number=number)
        pages = [found.page for found in detail.pages if found.page.state != "ended"]
        teams = catalog.teams(screen.tx)
        with_page = {page.team_id for page in pages}
        chosen = next((p for p in pages if p.team_id in screen.team_ids), pages[0] if pages else None)
        others = [
            line.incident
            for line in paging.incident_list(screen.tx, state="open", limit=50)
            if line.incident.id != detail.incident.id
        ]
        return screen.page(
            "incident_hand.html",
            title=hand.replace("-", " ").capitalize(),
            hand=hand,
            incident=detail.incident,
            page=chosen,
            paged=[team for team in teams if team.id in with_page],
            free=[team for team in teams if team.id not in with_page],
            candidates=_candidates(screen, chosen),
            others=others,
            people=screen.people({p.acknowledged_by for p in pages} | {p.handover_to for p in pages}),
            choices=[(each, rough_duration(parse_duration(each))) for each in SNOOZES],
            within=rough_duration(timedelta(minutes=5)),
        )


def _candidates(screen: Screen, page: paging.Page | None) -> list[identity.Person]:
    """Who may take the page over: the team first, then everybody else."""
    members = catalog.members(screen.tx, team_ids=[page.team_id])[page.team_id] if page and page.team_id else []
    shadows = {member.person_id for member in members if member.role == "shadow"}
    own = {member.person_id for member in members} - shadows
    skip = shadows | ({page.acknowledged_by} if page and page.acknowledged_by else set())
    everybody = [p for p in identity.list_people(screen.tx) if p.active and p.id not in skip]
    return sorted(everybody, key=lambda person: (person.id not in own, name_of(person).lower()))


@post("/incidents/{number:int}/do/{hand:str}", sync_to_thread=True, status_code=204, opt=ACT)
def do_hand(
    request: AnyRequest, web: GivenWeb, number: FromPath[int], hand: FromPath[str], data: Form
) -> Response[None]:
    """Do it, and offer to undo it where that is sound."""
    if hand not in HANDS:
        raise NotFound(f"nothing is called '{hand}' here")
    with shell.acting(web, request, data) as screen:
        text, undo = _do(screen, number, hand, {key: value.strip() for key, value in data.items()})
    return shell.done(request, text, back=f"/incidents/{number}", undo=undo)


def _do(screen: Screen, number: int, hand: str, data: dict[str, str]) -> tuple[str, tuple[str, str] | None]:  # noqa: PLR0911  one way out for each thing to do
    tx, caller, here = screen.tx, screen.caller, f"/incidents/{number}/do"
    team, why = data.get("team") or None, data.get("why", "")
    if hand == "snooze":
        until = tx.now + _duration(data.get("for", ""))
        paging.snooze(tx, number=number, caller=caller, until=until, team=team, why=why, via="screen")
        return f"Snoozed for {rough_duration(until - tx.now)}.", None
    if hand == "hand-over":
        to = data.get("to", "")
        page = paging.hand_over(tx, number=number, caller=caller, to=to, team=team, why=why, via="screen")
        asked = name_of(screen.people([page.handover_to]).get(page.handover_to))
        return f"{asked} is asked to take it over.", ("Take it back", f"{here}/decline")
    if hand == "decline":
        page = paging.decline_hand_over(tx, number=number, caller=caller, team=team, why=why)
        return ("It stays where it was." if page.state == "acknowledged" else "Declined. Paging begins again."), None
    if hand == "reassign":
        kind, _, name = data.get("to", "").partition(":")
        to_team, to_person = (name, None) if kind == "team" else (None, name)
        paging.reassign(tx, number=number, caller=caller, to_team=to_team, to_person=to_person, team=team, why=why)
        return f"Given to {name}, who is paged now.", None
    if hand == "cancel":
        page = paging.cancel_page(tx, number=number, caller=caller, why=why, team=team)
        own = catalog.team(tx, id=page.team_id).name if page.team_id else None
        return "Cancelled. Nobody is asked any more.", ("Page again", f"{here}/page?team={own}") if own else None
    if hand == "page":
        wanted = team or str(screen.request.query_params.get("team", ""))
        paging.page_team(tx, number=number, caller=caller, team=wanted, why=why)
        return f"Team {wanted} is paged now.", None
    if hand == "merge":
        into = _number(data.get("into", ""))
        paging.merge_incident(tx, number=number, into=into, caller=caller, why=why)
        return f"Merged into incident {into}.", ("Take apart", f"{here}/unmerge")
    paging.unmerge_incident(tx, number=number, caller=caller, why=why)
    return f"Incident {number} is on its own again.", None


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Invalid(str(error), field="for", hint="choose how long") from error


def _number(text: str) -> int:
    cleaned = text.removeprefix("#")
    if not cleaned.isdigit():
        raise Invalid("which incident?", field="into", hint="write its number")
    return int(cleaned)


handlers = [confirm_hand, do_hand]
