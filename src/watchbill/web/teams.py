"""Teams: the list, one with its rota, and overrides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from watchbill.features import catalog, identity, oncall, paging, slo, tickets
from watchbill.features.catalog import Team
from watchbill.kernel.clock import as_utc
from watchbill.kernel.errors import Invalid, NotFound, Problem
from watchbill.runtime.db import Tx
from watchbill.web import incidents, rota, shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb


def named(tx: Tx, name: str) -> Team:
    """The team of this name.

    Raises:
        NotFound: there is none.
    """
    found = catalog.team_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no team '{name}'", hint="see the list of teams, or apply its manifest")
    return found


@get("/teams", sync_to_thread=True)
def team_list(request: AnyRequest, web: GivenWeb, q: FromQuery[str] = "") -> Response[Any]:
    """Every team, mine first, with who is on call now and what is wrong with its rota."""
    with shell.looking(web, request) as screen:
        teams = [t for t in catalog.teams(screen.tx) if q.lower() in f"{t.name} {t.title}".lower()][:200]
        ids = [team.id for team in teams]
        on_call = oncall.on_call_at(screen.tx, at=screen.tx.now, team_ids=ids) if ids else {}
        lines = paging.incident_list(screen.tx, state="open", limit=200)
        return screen.page(
            "teams.html",
            title="Teams",
            live="team:* oncall:* incident:*",
            teams=sorted(teams, key=lambda team: (team.id not in screen.team_ids, team.title.lower())),
            on_call=on_call,
            people=screen.people({shift.person_id for shift in on_call.values() if shift}),
            members=catalog.members(screen.tx, team_ids=ids) if ids else {},
            warnings=oncall.warnings(screen.tx, team_ids=ids) if ids else {},
            burning=[page.team_id for line in lines for page in line.pages if page.state != "ended"],
            q=q,
        )


@get("/teams/{name:str}", sync_to_thread=True)
def one_team(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """One team: who, when, how a page walks, and for what."""
    with shell.looking(web, request) as screen:
        tx, team = screen.tx, named(screen.tx, name)
        zone = ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")
        start, end = rota.first_instant(tx.now, zone), rota.last_instant(tx.now, zone)
        shifts = oncall.shifts(tx, team_id=team.id, start_at=start, end_at=end)
        gaps = oncall.gaps(tx, team_id=team.id, start_at=tx.now, end_at=end)
        members = catalog.members(tx, team_ids=[team.id])[team.id]
        current = oncall.who_is_on_call(tx, team_id=team.id, at=tx.now)
        following = oncall.next_on_call(tx, team_id=team.id, at=tx.now)
        preview = paging.preview(tx, team_id=team.id)
        everybody = {m.person_id for m in members} | {p for s in shifts for p in s.people}
        everybody |= {p for line in preview.lines for p in line.people}
        people = screen.people(everybody | {p for s in (current, following) if s for p in s.people})
        methods = identity.contact_methods(tx, person_ids=[m.person_id for m in members])
        worst: dict[UUID, slo.SloView] = {}
        for view in slo.slos(tx, team_id=team.id):
            worst.setdefault(view.slo.service_id, view)
        return screen.page(
            "team.html",
            title=team.title,
            live=f"team:{team.name} oncall:{team.name} oncall:* incident:*",
            team=team,
            members=members,
            methods=methods,
            people=people,
            current=current,
            following=following,
            weeks=rota.strip(shifts, gaps, people, now=tx.now, zone=zone),
            gaps=gaps,
            on_rota={person_id for shift in shifts for person_id in shift.people},
            overrides=[
                o for o in oncall.overrides(tx, team_id=team.id, start_at=tx.now, end_at=end) if o.until > tx.now
            ],
            policy=paging.policy_of_team(team.spec),
            preview=preview,
            services=catalog.services(tx, team_id=team.id),
            worst=worst,
            rows=incidents.rows(screen, paging.incident_list(tx, state="open", team_id=team.id, limit=20)),
            warnings=[
                *oncall.warnings(tx, team_ids=[team.id]).get(team.id, []),
                *_unanswered(tx, [member.person_id for member in members if member.role != "shadow"]),
            ],
            may_override=identity.may(screen.caller, "manage_team", team.id),
            fallback=catalog.fallback_team(tx),
            ticket_rules=tickets.rules_of(team.spec),
            tickets=tickets.tickets_of_team(tx, team_id=team.id, limit=10),
        )


def _unanswered(tx: Tx, person_ids: list[UUID]) -> list[Problem]:
    return [
        Problem(
            code="reach.unanswered",
            message=f"{person.name or person.login} did not answer the last monthly test page",
            hint="ask them to test their ways under My account",
            severity="warning",
        )
        for person in identity.unanswered(tx, person_ids=person_ids)
    ]


@post("/teams/{name:str}/overrides", sync_to_thread=True, status_code=204, opt=ACT)
def add_override(request: AnyRequest, web: GivenWeb, name: FromPath[str], data: Form) -> Response[None]:
    """Put somebody on call, in the reader's own wall-clock time."""
    with shell.acting(web, request, data) as screen:
        team = named(screen.tx, name)
        identity.require(screen.caller, "manage_team", team.id)
        zone = ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")
        made = oncall.add_override(
            screen.tx,
            team_id=team.id,
            person_id=person_id_of(data.get("person", "")),
            start_at=local(data.get("from", ""), zone, "from"),
            end_at=local(data.get("to", ""), zone, "to"),
            reason=data.get("reason", "").strip(),
            slot=data.get("slot") or oncall.PRIMARY,
            instead_of=person_id_of(data["instead_of"]) if data.get("instead_of") else None,
            actor=screen.caller.actor,
        )
        screen.tx.hint("watchbill_live", f"oncall:{team.name}")
        who = identity.person_by_id(screen.tx, person_id=made.person_id)
        length = made.end_at - made.start_at
    hours = max(1, round(length / timedelta(hours=1)))
    return shell.done(
        request,
        f"{who.name} is on call for {hours} h.",
        back=f"/teams/{team.name}",
        undo=("Undo", f"/teams/{team.name}/overrides/{made.id}/cancel"),
    )


@post("/teams/{name:str}/overrides/{id:uuid}/cancel", sync_to_thread=True, status_code=204, opt=ACT)
def cancel_override(
    request: AnyRequest, web: GivenWeb, name: FromPath[str], id: FromPath[UUID], data: Form
) -> Response[None]:
    """Back to the rotation."""
    with shell.acting(web, request, data) as screen:
        found = oncall.override_by_id(screen.tx, override_id=id)
        identity.require(screen.caller, "manage_team", found.team_id)
        oncall.cancel_override(screen.tx, override_id=id, actor=screen.caller.actor)
        screen.tx.hint("watchbill_live", f"oncall:{name}")
    return shell.done(request, "The override is cancelled; the rotation counts again.", back=f"/teams/{name}")


def person_id_of(text: str) -> UUID:
    """A person chosen in a form.

    Raises:
        Invalid: nobody was.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid("nobody was chosen", field="person", hint="choose a member of the team") from error


def local(text: str, zone: ZoneInfo, field: str) -> datetime:
    """A ``datetime-local`` field on the reader's wall clock."""
    try:
        return as_utc(datetime.fromisoformat(text).replace(tzinfo=zone))
    except ValueError as error:
        raise Invalid(f"'{text}' is not a date and time", field=field, hint="choose both a day and a time") from error


handlers = [team_list, one_team, add_override, cancel_override]
