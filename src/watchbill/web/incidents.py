"""Incidents: the list, one incident, and what a person does about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from watchbill.features import catalog, paging, tickets
from watchbill.features.alerts import HOLD_FOR
from watchbill.features.paging import IncidentDetail, IncidentLine, Page
from watchbill.kernel.durations import rough_duration
from watchbill.web import shell, suspects, timeline
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen, Web

SHOWN = 100


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An incident in a list: its state in one word, and whose it is."""

    line: IncidentLine
    word: str
    tone: str
    team: str
    services: list[str]
    mine: bool


def rows(screen: Screen, found: list[IncidentLine]) -> list[Row]:
    """Lines with the names they need."""
    teams = {
        team.id: team.title
        for team in catalog.teams(screen.tx, ids={line.incident.team_id for line in found if line.incident.team_id})
    }
    service_ids = {id for line in found for id in line.service_ids}
    services = {s.id: s.title for s in catalog.services(screen.tx, ids=service_ids)} if service_ids else {}
    made = []
    for line in found:
        word, tone = standing(line.incident.state, line.pages)
        made.append(
            Row(
                line=line,
                word=word,
                tone=tone,
                team=teams.get(line.incident.team_id, "") if line.incident.team_id else "",
                services=[services[id] for id in line.service_ids if id in services],
                mine=is_mine(screen, line),
            )
        )
    return made


def is_mine(screen: Screen, line: IncidentLine) -> bool:
    """The caller's team owns it or is paged for it, or the caller acknowledged it."""
    teams = {line.incident.team_id, *(page.team_id for page in line.pages)}
    return bool(teams & screen.team_ids) or any(
        screen.caller.person_id and page.acknowledged_by == screen.caller.person_id for page in line.pages
    )


def standing(state: str, pages: list[Page]) -> tuple[str, str]:
    """One word for where it stands, and its colour."""
    if state == "resolved":
        return "Resolved", "green"
    states = {page.state for page in pages}
    if "escalating" in states:
        return "Paging", "red"
    if "acknowledged" in states:
        return "Acknowledged", "amber"
    return ("Held", "grey") if "held" in states else ("Open", "red")


@get("/incidents", sync_to_thread=True)
def incident_list(
    request: AnyRequest,
    web: GivenWeb,
    show: FromQuery[str] = "open",
    q: FromQuery[str] = "",
    team: FromQuery[str] = "",
) -> Response[Any]:
    """Open, resolved, mine, of a team, by words in the title or the number."""
    with shell.looking(web, request) as screen:
        teams = catalog.teams(screen.tx)
        chosen = next((t for t in teams if t.name == team), None)
        state = {"resolved": "resolved", "all": None}.get(show, "open")
        found = paging.incident_list(
            screen.tx, state=state, team_ids=[chosen.id] if chosen else None, limit=SHOWN if not q else 1000
        )
        listed = [row for row in rows(screen, found) if _matches(row, q) and (show != "mine" or row.mine)]
        return screen.page(
            "incidents.html",
            title="Incidents",
            live="incident:*",
            rows=listed[:SHOWN],
            show=show if show in {"open", "mine", "resolved", "all"} else "open",
            q=q,
            team=team,
            teams=teams,
        )


def _matches(row: Row, q: str) -> bool:
    words = q.lower().lstrip("#").split()
    text = f"{row.line.incident.number} {row.line.incident.title} {row.team} {' '.join(row.services)}".lower()
    return all(word in text for word in words)


@get("/incidents/{number:int}", sync_to_thread=True)
def incident(request: AnyRequest, web: GivenWeb, number: FromPath[int]) -> Response[Any]:
    """Everything about one incident, live."""
    with shell.looking(web, request) as screen:
        detail = paging.incident_detail(screen.tx, number=number)
        people = screen.people(_people(detail))
        team_ids = {p.page.team_id for p in detail.pages if p.page.team_id} | ({detail.incident.team_id} - {None})
        pages = [p.page for p in detail.pages]
        word, tone = standing(detail.incident.state, pages)
        return screen.page(
            "incident.html",
            title=f"#{number} {detail.incident.title}",
            live=f"incident:{number}",
            detail=detail,
            tickets=tickets.tickets_of_alerts(screen.tx, alert_ids=[alert.id for alert in detail.alerts]),
            incident=detail.incident,
            people=people,
            teams={t.id: t for t in catalog.teams(screen.tx, ids={id for id in team_ids if id})},
            services=catalog.services(screen.tx, ids=detail.service_ids) if detail.service_ids else [],
            word=word,
            tone=tone,
            open_pages=[page for page in pages if page.state != "ended"],
            unanswered=[page for page in pages if page.state == "escalating"],
            acknowledged=[page for page in pages if page.state == "acknowledged"],
            held=[page for page in pages if page.state == "held"],
            cause=suspects.part(screen, detail.incident),
            lines=timeline.lines(detail.timeline, people, {str(a.id): a.title for a in detail.alerts}),
        )


def _people(detail: IncidentDetail) -> set[UUID | None]:
    found = timeline.people_in(detail.timeline) | {detail.incident.resolved_by}
    for page in detail.pages:
        found |= {page.page.acknowledged_by, page.page.handover_to}
        found |= {notification.person_id for notification in page.notifications}
    return found


@get("/incidents/{number:int}/resolve", sync_to_thread=True)
def confirm_resolve(request: AnyRequest, web: GivenWeb, number: FromPath[int]) -> Response[Any]:
    """What resolving will do, before it is done."""
    return _confirm(request, web, number, "resolve")


@get("/incidents/{number:int}/declare", sync_to_thread=True)
def confirm_declare(request: AnyRequest, web: GivenWeb, number: FromPath[int]) -> Response[Any]:
    """What declaring will do, before it is done."""
    return _confirm(request, web, number, "declare")


def _confirm(request: AnyRequest, web: Web, number: int, step: str) -> Response[Any]:
    with shell.looking(web, request) as screen:
        detail = paging.incident_detail(screen.tx, number=number)
        firing = [alert for alert in detail.alerts if alert.state in ("firing", "stale")]
        open_pages = [p for p in detail.pages if p.page.state != "ended"]
        return screen.page(
            "incident_confirm.html",
            title=step.capitalize(),
            step=step,
            incident=detail.incident,
            firing=firing,
            open_pages=open_pages,
            hold=rough_duration(HOLD_FOR),
        )


@post("/incidents/{number:int}/acknowledge", sync_to_thread=True, status_code=204, opt=ACT)
def acknowledge(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """One tap; the whole of an answer at night."""
    with shell.acting(web, request, data) as screen:
        pages = paging.acknowledge_incident(screen.tx, number=number, caller=screen.caller, via="screen")
        until = min((page.acknowledged_until for page in pages if page.acknowledged_until), default=None)
        again = f" Asked again in {rough_duration(until - screen.tx.now)} unless resolved." if until else ""
        return shell.done(request, f"Acknowledged. It is yours now.{again}", back=f"/incidents/{number}")


@post("/incidents/{number:int}/resolve", sync_to_thread=True, status_code=204, opt=ACT)
def resolve(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """It is over."""
    with shell.acting(web, request, data) as screen:
        paging.resolve_incident(
            screen.tx, number=number, caller=screen.caller, resolution=data.get("resolution", ""), via="screen"
        )
    return shell.done(
        request,
        f"Incident {number} is resolved.",
        back=f"/incidents/{number}",
        undo=("Reopen", f"/incidents/{number}/reopen"),
    )


@post("/incidents/{number:int}/reopen", sync_to_thread=True, status_code=204, opt=ACT)
def reopen(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """It was not over."""
    with shell.acting(web, request, data) as screen:
        paging.reopen_incident(screen.tx, number=number, caller=screen.caller)
    return shell.done(request, f"Incident {number} is open again.", back=f"/incidents/{number}")


@post("/incidents/{number:int}/declare", sync_to_thread=True, status_code=204, opt=ACT)
def declare(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """Users are hurt."""
    with shell.acting(web, request, data) as screen:
        paging.declare(screen.tx, number=number, caller=screen.caller, why=data.get("why", ""))
    return shell.done(request, f"Incident {number} is declared.", back=f"/incidents/{number}")


@post("/incidents/{number:int}/notes", sync_to_thread=True, status_code=204, opt=ACT)
def note(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """A line in the timeline."""
    with shell.acting(web, request, data) as screen:
        paging.add_note(screen.tx, number=number, caller=screen.caller, text=data.get("text", ""))
    return shell.done(request, "Noted.", back=f"/incidents/{number}")


handlers = [incident_list, incident, confirm_resolve, confirm_declare, acknowledge, resolve, reopen, declare, note]
