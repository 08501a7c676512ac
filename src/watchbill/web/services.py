"""Services: the list, and one with its owner, operations, SLOs and incidents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from watchbill.features import catalog, evidence, oncall, paging, slo
from watchbill.kernel.errors import NotFound
from watchbill.web import changes, incidents, shell, slo_charts, suspects
from watchbill.web.shell import AnyRequest, GivenWeb

SHOWN = 200


@get("/services", sync_to_thread=True)
def service_list(
    request: AnyRequest, web: GivenWeb, q: FromQuery[str] = "", team: FromQuery[str] = "", tier: FromQuery[int] = 0
) -> Response[Any]:
    """Every service with its owner and its worst SLO."""
    with shell.looking(web, request) as screen:
        teams = {t.id: t for t in catalog.teams(screen.tx)}
        words = q.lower().split()
        found = [
            service
            for service in catalog.services(screen.tx)
            if (not team or (service.team_id in teams and teams[service.team_id].name == team))
            and (not tier or service.tier == tier)
            and all(word in f"{service.name} {service.title}".lower() for word in words)
        ]
        listed = found[:SHOWN]
        worst: dict[Any, slo.SloView] = {}
        for view in slo.slos(screen.tx, limit=5000):
            worst.setdefault(view.slo.service_id, view)
        on_call = oncall.on_call_at(screen.tx, at=screen.tx.now, team_ids={s.team_id for s in listed})
        lines = paging.incident_list(screen.tx, state="open", limit=200)
        return screen.page(
            "services.html",
            title="Services",
            live="slo:* incident:* service:* team:*",
            services=listed,
            count=len(found),
            teams=teams,
            worst=worst,
            on_call=on_call,
            people=screen.people({shift.person_id for shift in on_call.values() if shift}),
            burning={id for line in lines for id in line.service_ids},
            q=q,
            team=team,
            tier=tier,
        )


@get("/services/{name:str}", sync_to_thread=True)
def one_service(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """One service, with everything that hangs off its owner."""
    with shell.looking(web, request) as screen:
        service = catalog.service_by_name(screen.tx, name=name)
        if service is None:
            raise NotFound(f"there is no service '{name}'", hint="see the list of services, or apply its manifest")
        owner = catalog.team(screen.tx, id=service.team_id)
        edges = catalog.dependencies(screen.tx, service_id=service.id)
        neighbours = {s.id: s for s in catalog.services(screen.tx, ids=edges.depends_on | edges.dependents)}
        shift = oncall.who_is_on_call(screen.tx, team_id=owner.id, at=screen.tx.now)
        views = slo.slos(screen.tx, service_id=service.id)
        preview = paging.preview(screen.tx, service=service)
        asked = {person for line in preview.lines for person in line.people}
        return screen.page(
            "service.html",
            title=service.title,
            live=f"slo:* incident:* change:{service.name} service:{service.name} team:{owner.name} oncall:{owner.name}",
            service=service,
            owner=owner,
            shift=shift,
            preview=preview,
            people=screen.people(asked | ({shift.person_id} if shift else set())),
            operations=catalog.operations(screen.tx, service_ids=[service.id]),
            views=views,
            charts={view.slo.id: slo_charts.charts(screen, view, timedelta(days=1)) for view in views[:8]},
            depends_on=[neighbours[id] for id in edges.depends_on if id in neighbours],
            dependents=[neighbours[id] for id in edges.dependents if id in neighbours],
            rows=incidents.rows(screen, paging.incident_list(screen.tx, state="open", service_id=service.id, limit=50)),
            past=incidents.rows(
                screen, paging.incident_list(screen.tx, state="resolved", service_id=service.id, limit=5)
            ),
            observer=slo.observer_note(screen.tx),
            delivery=changes.of_service(screen, service),
            verdicts=suspects.of_service(screen, service),
            evidence=evidence.evidence_of(screen.tx, service=service),
        )


handlers = [service_list, one_service]
