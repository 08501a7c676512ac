"""SLOs: objectives, their budgets, their burn, and the series that charts are drawn from."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api import slo_names
from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb, GivenObserver
from watchbill.features import catalog, identity, slo
from watchbill.features.slo import Point, SloView, State, Tier, WindowReading
from watchbill.features.telemetry import CountColumns, GetCounts, PutCounts
from watchbill.kernel.clock import as_utc, parse_instant
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.runtime.db import Tx

TeamName = Annotated[str | None, QueryParameter(name="team", description="A team's name.")]
ServiceName = Annotated[str | None, QueryParameter(name="service", description="A service's name.")]
StateName = Annotated[
    str | None, QueryParameter(name="state", description="ok, firing, recovering or unmeasured.")
]
From = Annotated[
    str | None, QueryParameter(name="from", description="RFC 3339; the length of the window before `to` when left out.")
]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; now when left out.")]


class SloSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO. ``target`` is a percent, exact; ``budget_remaining`` a share of the budget (1 untouched, <0 overspent).

    ``burn`` is a multiple of the sustainable rate. Excluded minutes count in none of them: ``budget_without`` is what
    would remain if nothing were excluded (null: nothing is). ``measure`` is what of the promise is not usual: its own
    alert windows, calendar, time slices and burn-in, without the source (null: all is usual). State and figures are
    null until the first evaluation.
    """

    id: UUID
    team: str
    service: str
    operation: str
    name: str
    environment: str
    target: str
    window_seconds: int
    threshold_ms: int | None
    state: State | None
    tier: Tier | None
    cause: str | None
    reason: str
    since_at: datetime | None
    evaluated_at: datetime | None
    budget_remaining: Decimal | None
    burn: float | None
    bad: int
    total: int
    exhausted_at: datetime | None
    excluded_seconds: int = 0
    excluded_bad: int = 0
    excluded_total: int = 0
    budget_without: Decimal | None = None
    measure: dict[str, Any] | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of windows that could never fire for this objective, or would nag, and why."""

    tier: Tier
    long_seconds: int
    factor: float
    reason: str


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised from ``at`` on, and by whose apply: a person's name, or a token, or a part of Watchbill."""

    at: datetime
    target: str
    window_seconds: int
    threshold_ms: int | None
    by: str


class SloPage(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO in full: its burn windows, those that cannot work and why, its history, and at most 500 points.

    ``excluded`` says what of the time shown is left out: "12 minutes excluded by Alice: database upgrade".
    """

    slo: SloSummary
    windows: list[WindowReading]
    dropped: list[LeftOut]
    history: list[Promise]
    series: list[Point]
    observer_note: str | None
    excluded: list[str]


class SloList(msgspec.Struct, frozen=True, kw_only=True):
    """The worst first. ``observer_note`` says when the figures are old."""

    slos: list[SloSummary]
    observer_note: str | None


def _unusual(one: slo.Slo) -> dict[str, Any] | None:
    if one.measure is None:
        return None
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(one.measure, source=None))
    return plain or None


def summary_of(view: SloView) -> SloSummary:
    """An SLO as the API shows it."""
    state = view.state
    return SloSummary(
        id=view.slo.id,
        team=view.team,
        service=view.service,
        operation=view.operation,
        name=view.slo.name,
        environment=view.slo.environment,
        target=f"{view.slo.target:f}",
        window_seconds=view.slo.window_seconds,
        threshold_ms=view.slo.threshold_ms,
        measure=_unusual(view.slo),
        state=state.state if state else None,
        tier=state.tier if state else None,
        cause=state.cause if state else None,
        reason=state.reason if state else "Not evaluated yet.",
        since_at=state.since_at if state else None,
        evaluated_at=state.evaluated_at if state else None,
        budget_remaining=state.budget_remaining if state else None,
        burn=state.burn if state else None,
        bad=view.slo.told(state.bad) if state else 0,
        total=view.slo.told(state.total) if state else 0,
        exhausted_at=state.exhausted_at if state else None,
        excluded_seconds=state.excluded_seconds if state else 0,
        excluded_bad=state.excluded_bad if state else 0,
        excluded_total=state.excluded_total if state else 0,
        budget_without=state.budget_without if state else None,
    )


@get("/slos", sync_to_thread=True)
def list_slos(
    caller: GivenCaller, db: GivenDb, team: TeamName = None, service: ServiceName = None, in_state: StateName = None
) -> SloList:
    """All SLOs, the worst first; of one team, one service, or in one state."""
    identity.require(caller, "read")
    wanted = next((known for known in slo.STATES if known == in_state), None)
    if in_state is not None and wanted is None:
        raise Invalid(f"'{in_state}' is no state of an SLO", field="state", hint=f"one of: {', '.join(slo.STATES)}")
    with db.transaction() as tx:
        found = slo.slos(tx, team_id=team_id_of(tx, team), service_id=service_id_of(tx, service), state=wanted)
        return SloList(slos=[summary_of(view) for view in found], observer_note=slo.observer_note(tx))


@get("/slos/{slo_id:uuid}", sync_to_thread=True)
def show_slo(caller: GivenCaller, db: GivenDb, slo_id: FromPath[UUID], start: From = None, end: To = None) -> SloPage:
    """One SLO with its windows, budget, history and series."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        detail = slo.slo_detail(tx, id=slo_id)
        view = detail.view
        until = _instant(end, "to") or tx.now
        since = _instant(start, "from") or until - timedelta(seconds=view.slo.window_seconds)
        if since >= until:
            raise Invalid("`from` is not before `to`", field="from", hint="swap them")
        promised_by = slo_names.actors(tx, {(one.actor_kind, one.actor_id) for one in detail.revisions})
        return SloPage(
            slo=summary_of(view),
            windows=view.state.windows if view.state else [],
            dropped=[
                LeftOut(tier=gone.tier, long_seconds=gone.long_seconds, factor=float(gone.factor), reason=gone.reason)
                for gone in detail.dropped
            ],
            history=[
                Promise(
                    at=revision.at,
                    target=f"{revision.target:f}",
                    window_seconds=revision.window_seconds,
                    threshold_ms=revision.threshold_ms,
                    by=promised_by[revision.actor_kind, revision.actor_id],
                )
                for revision in detail.revisions
            ],
            series=slo.series(tx, slo=view.slo, start=since, end=until),
            observer_note=detail.observer_note,
            excluded=slo_names.excluded(tx, view.slo, since, until),
        )


@get("/slos/{slo_id:uuid}/counts", sync_to_thread=True)
def slo_counts(
    *,
    caller: GivenCaller,
    db: GivenDb,
    observer: GivenObserver,
    slo_id: FromPath[UUID],
    start: From = None,
    end: To = None,
) -> CountColumns:
    """The counts behind an SLO, slice by slice, of at most 31 days; 503 while the observer is away."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        one = slo.slo_detail(tx, id=slo_id).view.slo
        width = slo.slice_seconds(tx)
        until = _instant(end, "to") or tx.now
    since = _instant(start, "from") or until - timedelta(days=1)
    counted: CountColumns = observer.ask(
        GetCounts(
            operation_id=one.operation_id,
            objective=one.name,
            start_at=since,
            end_at=until,
            slice_seconds=width,
            given=one.source is not None,
        )
    )
    return counted


_MOST_EVENTS = 400_000_000
"""More in one slice are no count of events (and the sums keep no more)."""
_OLDEST = timedelta(days=400)
"""So long counts are kept."""


class PushedSlice(msgspec.Struct, frozen=True, kw_only=True):
    """The events of the slice that ``at`` falls into; give ``good`` or ``bad``."""

    at: datetime
    total: Annotated[float, msgspec.Meta(ge=0, le=_MOST_EVENTS)]
    good: Annotated[float, msgspec.Meta(ge=0)] | None = None
    bad: Annotated[float, msgspec.Meta(ge=0)] | None = None


class PushedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """At most 1,000 slices; one that was given before is given anew."""

    slices: Annotated[list[PushedSlice], msgspec.Meta(max_length=1000)]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """How many slices were stored."""

    stored: int


@post("/slos/{slo_id:uuid}/counts", sync_to_thread=True, status_code=200)
def push_counts(
    caller: GivenCaller, db: GivenDb, observer: GivenObserver, slo_id: FromPath[UUID], data: JSONBody[PushedCounts]
) -> Stored:
    """Send counts of an objective that says ``pushed: true``; 503 while the observer is away (send them again)."""
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=slo_id).view
        identity.require(with_teams(tx, caller), "respond", view.team_id)
        width, now = slo.slice_seconds(tx), tx.now
    if not isinstance(view.slo.source, slo.PushedSource):
        raise Conflict(
            f"'{view.slo.name}' is not measured by what is sent",
            code="not_pushed",
            hint="write pushed: true for this objective in the manifest, and apply it",
        )
    counts = [_pushed(one, index, now) for index, one in enumerate(data.slices)]
    stored: int = observer.ask(
        PutCounts(operation_id=view.slo.operation_id, objective=view.slo.name, slice_seconds=width, counts=counts)
    )
    return Stored(stored=stored)


def _pushed(one: PushedSlice, index: int, now: datetime) -> tuple[datetime, float, float]:
    place = f"slices[{index}]"
    if (one.good is None) == (one.bad is None):
        raise Invalid(f"{place}: give good or bad, not both", field=place, hint='{"at": …, "total": 10, "bad": 1}')
    part = one.good if one.good is not None else one.total - (one.bad or 0.0)
    if not 0 <= part <= one.total:
        raise Invalid(f"{place}: more {'good' if one.bad is None else 'bad'} than total", field=place)
    if one.at.tzinfo is None or one.at > now + timedelta(minutes=5):
        raise Invalid(f"{place}: `at` has no offset, or is in the future", field=place, hint="2026-03-02T09:00:00Z")
    if one.at < now - _OLDEST:
        raise Invalid(
            f"{place}: `at` is before {now - _OLDEST:%Y-%m-%d}: counts are kept for {_OLDEST.days} days",
            field=place,
            hint="leave out what is older",
        )
    return one.at, part, one.total


def team_id_of(tx: Tx, name: str | None) -> UUID | None:
    """The id of the team of that name; None for no name.

    Raises:
        NotFound: there is no such team.
    """
    if name is None:
        return None
    team = catalog.team_by_name(tx, name=name)
    if team is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return team.id


def service_id_of(tx: Tx, name: str | None) -> UUID | None:
    """The id of the service of that name; None for no name.

    Raises:
        NotFound: there is no such service.
    """
    if name is None:
        return None
    service = catalog.service_by_name(tx, name=name)
    if service is None:
        raise NotFound(f"there is no service '{name}'", field="service", hint="see `watchbill service list`")
    return service.id


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        return as_utc(parse_instant(text))
    except ValueError as error:
        raise Invalid(f"{field}: {error}", field=field, hint="write 2026-03-02T09:00:00Z") from error


handlers = [list_slos, show_slo, slo_counts, push_counts]
