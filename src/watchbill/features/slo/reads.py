"""What screens, the API and the command line read: from PostgreSQL only, so also while the observer is away."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.slo import store
from watchbill.features.slo.calendar import most_length, period_at
from watchbill.features.slo.model import DroppedWindow, Point, Revision, Slo, StateRow
from watchbill.features.slo.objectives import plan_of
from watchbill.kernel.durations import rough_duration
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

MAX_POINTS = 500
AWAY_AFTER = timedelta(minutes=3)
Filter = Literal["ok", "firing", "recovering", "unmeasured"]


class SloView(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO with its names and its state; ``state`` is None until the first evaluation."""

    slo: Slo
    service: str
    operation: str
    team: str
    team_id: UUID
    state: StateRow | None


class SloDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO in full. ``observer_note`` says when the figures are old because nobody evaluates."""

    view: SloView
    revisions: list[Revision]
    dropped: list[DroppedWindow]
    observer_note: str | None


_ORDER = {"firing": 0, "recovering": 1, "unmeasured": 3, "ok": 2}


def slos(
    tx: Tx,
    *,
    service_id: UUID | None = None,
    team_id: UUID | None = None,
    state: Filter | None = None,
    limit: int = 1000,
) -> list[SloView]:
    """SLOs, the worst first: firing, recovering, then by what remains of the budget."""
    services = catalog.services(tx, team_id=team_id) if service_id is None else [catalog.service(tx, id=service_id)]
    found = _views(tx, store.slos_of_services(tx, service_ids=[service.id for service in services]), services)
    if state is not None:
        found = [view for view in found if (view.state.state if view.state else "unmeasured") == state]
    return sorted(found, key=_worst_first)[:limit]


def _worst_first(view: SloView) -> tuple[int, int, float, str, str, str]:
    state = view.state
    remaining = state.budget_remaining if state else None
    return (
        _ORDER[state.state] if state else 4,
        0 if state and state.tier == "page" else 1,
        float(remaining) if remaining is not None else 2.0,
        view.service,
        view.operation,
        view.slo.name,
    )


def at_risk(tx: Tx, *, team_ids: Collection[UUID], below: float = 0.25) -> list[SloView]:
    """The SLOs of these teams that fire, recover, or have less than a quarter of their budget left."""
    found = [view for team_id in sorted(team_ids) for view in slos(tx, team_id=team_id)]
    return [view for view in found if view.state is not None and _is_at_risk(view.state, below)]


def _is_at_risk(state: StateRow, below: float) -> bool:
    if state.state in ("firing", "recovering"):
        return True
    return state.budget_remaining is not None and float(state.budget_remaining) < below


def slo_detail(tx: Tx, *, id: UUID) -> SloDetail:
    """One SLO, retired ones too.

    Raises:
        NotFound: no such SLO.
    """
    slo = store.slo_by_id(tx, slo_id=id)
    if slo is None:
        raise NotFound(f"there is no SLO {id}", hint="see `watchbill slo list`")
    view = _views(tx, [slo], [catalog.service(tx, id=slo.service_id)])[0]
    last = store.last_evaluation(tx)
    plan = plan_of(slo, slice_seconds=last[1] if last else 60)
    return SloDetail(
        view=view,
        revisions=store.revisions(tx, slo_id=id),
        dropped=list(plan.dropped),
        observer_note=observer_note(tx),
    )


def observer_note(tx: Tx) -> str | None:
    """None while SLOs are being evaluated; else a sentence that says since when they are not."""
    last = store.last_evaluation(tx)
    if last is None:
        return "No SLO was evaluated yet: the observer has not started."
    if tx.now - last[0] <= AWAY_AFTER:
        return None
    return f"The observer is away: these figures are {rough_duration(tx.now - last[0])} old."


def prometheus_rules(
    tx: Tx, *, team_id: UUID | None = None, service_id: UUID | None = None, selector: str | None = None
) -> str:
    """A rules file of these SLOs (`rules.prometheus_rules`)."""
    from watchbill.features.slo import rules

    views = slos(tx, team_id=team_id, service_id=service_id, limit=10_000)
    services = {service.id: service for service in catalog.services(tx)}
    matches = {one.id: one.match for one in catalog.operations(tx, service_ids={v.slo.service_id for v in views})}
    return rules.prometheus_rules(
        [
            (
                view.slo,
                {
                    "service": view.service,
                    "telemetry": services[view.slo.service_id].telemetry_name,
                    "operation": view.operation,
                    "team": view.team,
                },
                matches.get(view.slo.operation_id, {}),
            )
            for view in sorted(views, key=lambda view: (view.service, view.operation, view.slo.name))
        ],
        selector=selector or rules.SELECTOR,
    )


def slice_seconds(tx: Tx) -> int:
    """How long the slices are in which the observer counts; a minute before the first evaluation."""
    last = store.last_evaluation(tx)
    return last[1] if last else 60


def states(tx: Tx, *, slo_ids: Collection[UUID] | None = None) -> dict[UUID, StateRow]:
    """The states as last written."""
    return store.states_of(tx, slo_ids=slo_ids)


def series(tx: Tx, *, slo: Slo, start: datetime, end: datetime, max_points: int = MAX_POINTS) -> list[Point]:
    """Burn per bucket and budget remaining at its end, downsampled to ``max_points`` by adding buckets up.

    The budget of each point is that of the window that ends there (of the calendar's period up to there), under the
    target of today.
    """
    window = timedelta(seconds=slo.window_seconds) if slo.calendar is None else most_length(slo.calendar)
    buckets = _buckets(store.read_series(tx, slo_id=slo.id, start=start - window - timedelta(hours=1), end=end))
    share = float(slo.budget_share)
    points: list[Point] = []
    oldest = bad_in_window = total_in_window = 0
    for at, width, bad, total in buckets:
        bad_in_window += bad
        total_in_window += total
        until = at + timedelta(seconds=width)
        edge = until - window if slo.calendar is None else period_at(slo.calendar, at).begin
        while buckets[oldest][0] + timedelta(seconds=buckets[oldest][1]) <= edge:
            bad_in_window -= buckets[oldest][2]
            total_in_window -= buckets[oldest][3]
            oldest += 1
        if start <= at < end:
            points.append(
                Point(
                    at=at,
                    burn=bad / total / share if total else None,
                    budget_remaining=1 - bad_in_window / (share * total_in_window) if total_in_window else None,
                    bad=bad,
                    total=total,
                )
            )
    return _downsampled(points, share, max_points)


def buckets(tx: Tx, *, slo_id: UUID, start: datetime, end: datetime) -> list[tuple[datetime, int, int, int]]:
    """(start, width in seconds, bad, total) of each bucket of the hours that touch [start, end), oldest first."""
    hour = start.replace(minute=0, second=0, microsecond=0)
    return _buckets(store.read_series(tx, slo_id=slo_id, start=hour, end=end))


def _buckets(hours: Sequence[store.SeriesHour]) -> list[tuple[datetime, int, int, int]]:
    return [
        (hour_at + timedelta(seconds=place * width), width, bad[place], total[place])
        for hour_at, width, bad, total in hours
        for place in range(len(total))
    ]


def _downsampled(points: Sequence[Point], share: float, most: int) -> list[Point]:
    step = -(-len(points) // most)
    if step <= 1:
        return list(points)
    merged = []
    for start in range(0, len(points), step):
        part = points[start : start + step]
        bad, total = sum(point.bad for point in part), sum(point.total for point in part)
        merged.append(
            Point(
                at=part[0].at,
                burn=bad / total / share if total else None,
                budget_remaining=part[-1].budget_remaining,
                bad=bad,
                total=total,
            )
        )
    return merged


def _views(tx: Tx, found: Sequence[Slo], services: Sequence[catalog.Service]) -> list[SloView]:
    by_id = {service.id: service for service in services}
    operations = {o.id: o.name for o in catalog.operations(tx, service_ids=list(by_id))} if by_id else {}
    teams = {team.id: team.name for team in catalog.teams(tx, ids={service.team_id for service in services})}
    states = store.states_of(tx, slo_ids=[slo.id for slo in found]) if found else {}
    return [
        SloView(
            slo=slo,
            service=by_id[slo.service_id].name,
            operation=operations.get(slo.operation_id, "(removed)"),
            team=teams[by_id[slo.service_id].team_id],
            team_id=by_id[slo.service_id].team_id,
            state=states.get(slo.id),
        )
        for slo in found
    ]
