"""SLOs: the board of all, and one with its charts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter

from watchbill.api.slo_report import as_csv, excluded_of, period_of, report_of
from watchbill.api.slos import team_id_of
from watchbill.api.times import instant_of
from watchbill.features import catalog, paging, slo, tickets
from watchbill.features.slo import SloView
from watchbill.kernel.clock import format_instant
from watchbill.web import incidents, shell, slo_budget, slo_charts
from watchbill.web.shell import AnyRequest, GivenWeb, Screen

STATES = ("firing", "recovering", "ok", "unmeasured")
SPANS = {"6h": timedelta(hours=6), "1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}

REPORT_DAYS = (1, 7, 28, 90)



_SORTS: dict[str, Callable[[SloView], Any]] = {
    "service": lambda view: (view.service, view.operation, view.slo.name),
    "budget": lambda view: (view.state is None or view.state.budget_remaining is None, _remaining(view)),
    "burn": lambda view: -(view.state.burn or 0.0) if view.state else 1.0,
    "target": lambda view: -view.slo.target,
    "team": lambda view: (view.team, view.service, view.operation),
}


def _remaining(view: SloView) -> float:
    return float(view.state.budget_remaining) if view.state and view.state.budget_remaining is not None else 0.0


@get("/slos", sync_to_thread=True)
def board(  # noqa: PLR0917  (Litestar passes query parameters by name)
    request: AnyRequest,
    web: GivenWeb,
    sort: FromQuery[str] = "",
    in_state: Annotated[str, QueryParameter(name="state")] = "",
    team: FromQuery[str] = "",
    q: FromQuery[str] = "",
) -> Response[Any]:
    """Every SLO, the worst first unless asked otherwise."""
    with shell.looking(web, request) as screen:
        teams = catalog.teams(screen.tx)
        chosen = next((t for t in teams if t.name == team), None)
        views = slo.slos(screen.tx, team_id=chosen.id if chosen else None)
        counts = {name: sum(1 for view in views if state_of(view) == name) for name in STATES}
        words = q.lower().split()
        shown = [
            view
            for view in views
            if (not in_state or state_of(view) == in_state)
            and all(word in f"{view.service} {view.operation} {view.slo.name} {view.team}".lower() for word in words)
        ]
        if sort in _SORTS:
            shown.sort(key=_SORTS[sort])
        return screen.page(
            "slos.html",
            title="SLOs",
            live="slo:* incident:*",
            views=shown[:500],
            counts=counts,
            all=len(views),
            sort=sort,
            state=in_state,
            team=team,
            teams=teams,
            q=q,
            observer=slo.observer_note(screen.tx),
        )


def state_of(view: SloView) -> str:
    """An SLO that was never evaluated is unmeasured."""
    return view.state.state if view.state else "unmeasured"


@get("/slos/report", sync_to_thread=True)
def report(
    request: AnyRequest, web: GivenWeb, team: FromQuery[str] = "", back: FromQuery[int] = 0, days: FromQuery[int] = 7
) -> Response[Any]:
    """What was promised and what was kept, for the week that ended now or ``back`` periods ago."""
    length = timedelta(days=days if days in REPORT_DAYS else 7)
    with shell.looking(web, request) as screen:
        teams = catalog.teams(screen.tx)
        chosen = next((t for t in teams if t.name == team), None)
        until = screen.tx.now.replace(minute=0, second=0, microsecond=0) - max(0, min(back, 52)) * length
        lines = slo.kept(screen.tx, start=until - length, end=until, team_id=chosen.id if chosen else None)
        kept, broken, without = slo.report_totals(lines)
        query = {"from": format_instant(until - length), "to": format_instant(until), "format": "csv"}
        return screen.page(
            "slo_report.html",
            title="What was kept",
            lines=lines[:500],
            excluded=excluded_of(screen.tx, lines[:500], until - length, until),
            all=len(lines),
            kept=kept,
            broken=broken,
            without=without,
            start=until - length,
            end=until,
            back=max(0, min(back, 52)),
            days=length.days,
            periods=REPORT_DAYS,
            team=team,
            teams=teams,
            csv="/slos/report.csv?" + urlencode({**query, **({"team": team} if team else {})}),
        )


@get("/slos/report.csv", sync_to_thread=True)
def report_csv(
    request: AnyRequest,
    web: GivenWeb,
    start: Annotated[str, QueryParameter(name="from")] = "",
    end: Annotated[str, QueryParameter(name="to")] = "",
    team: FromQuery[str] = "",
) -> Response[str]:
    """The same as a file for a spreadsheet."""
    with shell.looking(web, request) as screen:
        since, until = period_of(instant_of(start, field="from"), instant_of(end, field="to"), now=screen.tx.now)
        team_id = team_id_of(screen.tx, team or None)
        lines = slo.kept(screen.tx, start=since, end=until, team_id=team_id)
        excluded = excluded_of(screen.tx, lines, since, until)
    return Response(
        as_csv(report_of(since, until, lines, excluded)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="slos-{since:%Y-%m-%d}-{until:%Y-%m-%d}.csv"'},
    )


def traces_url(screen: Screen, view: SloView) -> str:
    """Where the bad traces of an SLO's operation are found; a charted moment adds its range."""
    known = {one.id: one for one in catalog.operations(screen.tx, service_ids=[view.slo.service_id])}
    if view.slo.operation_id not in known:
        return ""
    match = known[view.slo.operation_id].match
    name = match.get("route") or match.get("spanName") or ""
    outcome = "" if view.slo.threshold_ms else "bad"
    query = {"service": view.service, "name": name, "outcome": outcome}
    if view.slo.threshold_ms:
        query["at_least"] = str(view.slo.threshold_ms)
    return "/traces?" + urlencode({key: value for key, value in query.items() if value})


@get("/slos/{id:uuid}", sync_to_thread=True)
def one_slo(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], span: FromQuery[str] = "1d") -> Response[Any]:
    """One SLO: what it promises, how fast it burns, what is left."""
    with shell.looking(web, request) as screen:
        detail = slo.slo_detail(screen.tx, id=id)
        service = catalog.service(screen.tx, id=detail.view.slo.service_id)
        found = paging.incident_list(screen.tx, state="open", service_id=service.id, limit=20)
        chosen = span if span in SPANS else "1d"
        return screen.page(
            "slo.html",
            title=f"{detail.view.operation}: {detail.view.slo.name}",
            live="slo:* incident:*",
            detail=detail,
            view=detail.view,
            service=service,
            rows=incidents.rows(screen, found),
            span=chosen,
            spans=list(SPANS),
            traces_url=traces_url(screen, detail.view),
            charts=slo_charts.charts(screen, detail.view, SPANS[chosen]),
            kept=slo_budget.of_slo(screen, detail.view),
            tickets=tickets.tickets_of_identity(screen.tx, integration="slo", identity=f"slo:{id}"),
            source_down=slo.source_down(screen.tx, slo=detail.view.slo),
        )


handlers = [board, report, report_csv, one_slo]
