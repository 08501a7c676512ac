"""Suspects of an incident, the button that undoes one, rollbacks as a list, and the switch of all automation."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from watchbill.features import catalog, identity, incidents, paging, rollback, suspects
from watchbill.features.incidents import Incident
from watchbill.features.rollback import Decision, Rehearsal, Run
from watchbill.features.suspects import Ranking, Suspect, Verdict
from watchbill.kernel.errors import Conflict, Forbidden, NotFound, Problem
from watchbill.runtime.db import Tx
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

SHOWN = 5


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A suspect with what may be done about it, when its rollback was last exercised, and its chart."""

    suspect: Suspect
    title: str
    decision: Decision | None
    rehearsal: Rehearsal | None
    verdict: Verdict | None
    chart: str | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an incident's screen about its cause."""

    ranking: Ranking | None
    suspects: list[Shown]
    runs: list[Run]
    services: dict[UUID, str]


def part(screen: Screen, incident: Incident) -> Part:
    """Everything the incident's screen shows of suspects and rollbacks."""
    tx = screen.tx
    known = suspects.read_ranking(tx, incident_id=incident.id)
    runs = rollback.runs(tx, incident_id=incident.id)
    services = {service.id: service.name for service in catalog.services(tx, ids={run.service_id for run in runs})}
    if known is None:
        return Part(ranking=None, suspects=[], runs=runs, services=services)
    ranking, _, verdicts = known
    worth = [suspect for suspect in ranking.suspects[:SHOWN] if suspect.rank == 1 or suspect.confidence >= 0.02]
    shown = [_shown(tx, each, incident, ranking, verdicts.get(each.change_id)) for each in worth]
    return Part(ranking=ranking, suspects=shown, runs=runs, services=services)


def _shown(tx: Tx, suspect: Suspect, incident: Incident, ranking: Ranking, verdict: Verdict | None) -> Shown:
    undoable = rollback.undoable(tx, change_id=suspect.change_id)
    decision = rehearsal = None
    if undoable is not None:
        decision = rollback.decide(tx, undoable=undoable, incident=incident, ranking=ranking)
        rehearsal = rollback.last_exercise(tx, service_id=undoable.service.id)
    return Shown(
        suspect=suspect,
        title=suspects.title_of(suspect),
        decision=decision,
        rehearsal=rehearsal,
        verdict=verdict,
        chart=chart(verdict, suspect) if verdict is not None else None,
    )


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on a version of a service, with its chart."""

    stored: suspects.StoredVerdict
    chart: str | None


def of_service(screen: Screen, service: catalog.Service) -> list[Judged]:
    """The newest verdicts on a service's versions; only the first is drawn."""
    found = suspects.verdicts_of(screen.tx, service_id=service.id, limit=3)
    return [Judged(stored=one, chart=chart(one.verdict) if at == 0 else None) for at, one in enumerate(found)]


def chart(verdict: Verdict, suspect: Suspect | None = None) -> str | None:
    """The bad share of each version over time, as uPlot wants it; None without points."""
    times = sorted({point.at for point in verdict.points})
    if len(times) < 2:
        return None
    totals: dict[str, float] = {}
    for point in verdict.points:
        totals[point.version] = totals.get(point.version, 0) + point.total
    versions = sorted(totals, key=lambda v: -totals[v])[:3]
    shares = {(p.version, p.at): round(100 * p.bad / p.total, 3) for p in verdict.points if p.total}
    series = [
        {
            "label": f"{version or 'no version'} failed",
            "tone": "red" if version == verdict.canary else "accent",
            "y": [shares.get((version, at)) for at in times],
        }
        for version in versions
    ]
    marks = []
    if suspect is not None:
        label = f"{suspect.service} {suspect.version or suspect.kind}"
        marks = [{"at": suspect.started_at.timestamp(), "label": label, "tone": "red"}]
    drawn = {"x": [at.timestamp() for at in times], "unit": "%", "low": 0, "series": series, "marks": marks}
    return msgspec.json.encode(drawn).decode()


@get("/incidents/{number:int}/rollback/{change_id:uuid}", sync_to_thread=True)
def confirm(request: AnyRequest, web: GivenWeb, number: FromPath[int], change_id: FromPath[UUID]) -> Response[Any]:
    """What undoing will do, before it is done."""
    with shell.looking(web, request) as screen:
        incident = incidents.incident_by_number(screen.tx, number=number)
        return screen.page(
            "rollback_confirm.html", title="Roll back", incident=incident, **_facts(screen.tx, incident, change_id)
        )


def _facts(tx: Tx, incident: Incident, change_id: UUID) -> dict[str, Any]:
    undoable = rollback.undoable(tx, change_id=change_id)
    if undoable is None or undoable.change is None:
        raise NotFound("there is no such change, or nobody owns its service")
    ranking = rollback.ranking_of(tx, incident=incident)
    return {
        "change": undoable.change,
        "service": undoable.service,
        "previous_version": undoable.previous_version,
        "rules": undoable.rules,
        "decision": rollback.decide(tx, undoable=undoable, incident=incident, ranking=ranking),
        "rehearsal": rollback.last_exercise(tx, service_id=undoable.service.id),
    }


@post("/incidents/{number:int}/rollback/{change_id:uuid}", sync_to_thread=True, status_code=204, opt=ACT)
def press(
    request: AnyRequest, web: GivenWeb, number: FromPath[int], change_id: FromPath[UUID], data: Form
) -> Response[None]:
    """Undo it."""
    with shell.acting(web, request, data) as screen:
        incident = incidents.incident_by_number(screen.tx, number=number)
        run = rollback.press(screen.tx, change_id=change_id, incident=incident, caller=screen.caller, via="screen")
    return shell.done(
        request,
        f"Rollback {run.number} is on its way.",
        back=f"/incidents/{number}",
        undo=("Cancel", f"/rollbacks/{run.number}/cancel"),
    )


@post("/rollbacks/{number:int}/cancel", sync_to_thread=True, status_code=204, opt=ACT)
def cancel(request: AnyRequest, web: GivenWeb, number: FromPath[int], data: Form) -> Response[None]:
    """Stop a rollback."""
    with shell.acting(web, request, data) as screen:
        run = rollback.cancel(screen.tx, number=number, caller=screen.caller)
    return shell.done(request, f"Rollback {run.number} is being stopped.", back="/rollbacks")


@get("/rollbacks", sync_to_thread=True)
def rollbacks(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """What was rolled back, the runners that do it, and the switch."""
    with shell.looking(web, request) as screen:
        tx = screen.tx
        runs = rollback.runs(tx, limit=100)
        found = {run.incident_id: incidents.incident_by_id(tx, incident_id=run.incident_id)
                 for run in runs if run.incident_id is not None}  # fmt: skip
        return screen.page(
            "rollbacks.html",
            title="Rollbacks",
            live="rollback:*",
            runs=runs,
            services={s.id: s.name for s in catalog.services(tx, ids={run.service_id for run in runs})},
            incidents={id: one.number for id, one in found.items() if one is not None},
            runners=rollback.runners(tx),
            alive_for=rollback.ALIVE_FOR,
            switch=rollback.read_switch(tx),
        )


@post("/automation", sync_to_thread=True, status_code=204, opt=ACT)
def automation(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """Switch all automation off or on."""
    turn = data.get("turn") == "on"
    with shell.acting(web, request, data) as screen:
        rollback.set_switch(screen.tx, automation=turn, why=data.get("why", ""), caller=screen.caller)
    return shell.done(request, f"Automation is {'on' if turn else 'off'}.", back="/rollbacks")


@get("/do/{signed:str}", sync_to_thread=True)
def show_link(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """What the link of a page would do, and one large button. Changes nothing: scanners open links."""
    with web.act.transaction() as tx:
        person_id, change_id, incident = _opened(tx, web, signed)
        return _link_page(request, tx, person_id, change_id, incident)


@post("/do/{signed:str}", sync_to_thread=True, status_code=200, opt=ACT)
def act_on_link(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """Undo the change as the person the link was sent to. The link is the proof; no sign-in is needed."""
    with web.act.transaction() as tx:
        person_id, change_id, incident = _opened(tx, web, signed)
        caller = paging.person_caller(tx, person_id=person_id)
        run: Run | None = None
        refused: Problem | None = None
        try:
            with tx.savepoint():
                run = rollback.press(tx, change_id=change_id, incident=incident, caller=caller, via="link")
        except (Forbidden, Conflict) as error:
            refused = error.problem
        return _link_page(request, tx, person_id, change_id, incident, run=run, refused=refused)


def _opened(tx: Tx, web: shell.Web, signed: str) -> tuple[UUID, UUID, Incident]:
    act = paging.open_action(web.signer, signed, now=tx.now)
    incident = incidents.incident_by_id(tx, incident_id=act.incident_id)
    if incident is None or act.action != suspects.ROLL_BACK:
        raise NotFound("what this link was made for is gone")
    return act.person_id, act.subject, incident


def _link_page(
    request: AnyRequest,
    tx: Tx,
    person_id: UUID,
    change_id: UUID,
    incident: Incident,
    *,
    run: Run | None = None,
    refused: Problem | None = None,
) -> Response[str]:
    person = identity.person_by_id(tx, person_id=person_id)
    return shell.page(
        request,
        "rollback_link.html",
        status=409 if refused else 200,
        now=tx.now,
        zone=ZoneInfo(person.time_zone),
        title=f"Roll back for incident {incident.number}",
        reader=person,
        incident=incident,
        run=run,
        refused=refused,
        **_facts(tx, incident, change_id),
    )


handlers = [confirm, press, cancel, rollbacks, automation, show_link, act_on_link]
