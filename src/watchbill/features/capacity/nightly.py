"""The night's work: yesterday's demand, a forecast of every service, its headroom, and findings as tickets.

numpy is imported here: only the worker and the command line come this way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import numpy as np
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import alerts, catalog
from watchbill.features.capacity import assessing, components, forecast, heavier, measuring, reads, store
from watchbill.features.capacity.actions import FORECAST
from watchbill.features.capacity.calendar import holidays
from watchbill.features.capacity.model import WHOLE, State, Stored
from watchbill.features.telemetry import Observer
from watchbill.kernel.errors import Invalid
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due import DueRow

log = structlog.get_logger("watchbill.capacity")

HISTORY = timedelta(days=91)
KEPT = timedelta(days=400)
HORIZON_HOURS = 14 * 24
HORIZON_DAYS = 120
BATCH = 200
_TRIALS_AT_ONCE = 3
"""Inside a transaction the heavier model is tried on so many series: each takes about a second."""
_LEASE = timedelta(hours=2)
_SAY_AGAIN = timedelta(days=3)


class ForecastService:
    """The due rows ``capacity.forecast``: one service now, after something of it was pushed or measured."""

    kind = FORECAST

    def run(self, tx: Tx, row: DueRow) -> None:
        """Forecast it; a service that is gone is passed over."""
        found = [one for one in catalog.services(tx, ids=[UUID(row.subject)]) if one.removed_at is None]
        forecast_services(tx, services=found)


def work_night(db: Database, observer: Observer | None) -> int:
    """Do the night if nobody did; returns how many services were forecast (0 when there is nothing to do)."""
    with db.transaction() as tx:
        today = tx.now.replace(hour=0, minute=0, second=0, microsecond=0)
        if not _take_lease(tx, today):
            return 0
    with db.transaction() as tx:
        roll_up(tx, until=today)
    if observer is not None:
        measuring.measure_journeys(db, observer)
    done, after = 0, ""
    with db.transaction() as tx:
        trials = heavier.Trials(len(catalog.services(tx)), today.toordinal())
    while True:
        with db.transaction() as tx:
            batch = catalog.services(tx, after_name=after, limit=BATCH)
            loaded = _load(tx, batch)
        if not batch:
            break
        stored = _forecast(batch, loaded, trials)
        with db.transaction() as tx:
            _judge(tx, batch, stored)
        done, after = done + len(batch), batch[-1].name
    with db.transaction() as tx:
        tx.execute(sa.update(store.capacity_night).values(done_for=today, leased_until=tx.now))
    log.info("capacity was forecast", services=done)
    return done


def _take_lease(tx: Tx, today: datetime) -> bool:
    table = store.capacity_night
    statement = insert(table).values(one=True, leased_until=tx.now + _LEASE)
    return tx.execute(
        statement.on_conflict_do_update(
            index_elements=["one"],
            set_={"leased_until": tx.now + _LEASE},
            where=sa.and_(
                table.c.leased_until <= tx.now, sa.or_(table.c.done_for.is_(None), table.c.done_for < today)
            ),
        ).returning(table.c.one)
    ).scalar() is not None


def roll_up(tx: Tx, *, until: datetime) -> None:
    """Carry the observer's counts of whole days over: those since the last that is there, and the one before it."""
    last = tx.execute(sa.select(sa.func.max(store.capacity_day.c.day_at)).where(store.capacity_day.c.kind == "rate"))
    latest = last.scalar()
    since = until - HISTORY if latest is None else max(until - HISTORY, min(latest, until) - timedelta(days=1))
    tx.execute(store.ROLL_UP, {"since": since, "until": until})
    tx.execute(sa.delete(store.capacity_day).where(store.capacity_day.c.day_at < until - KEPT))


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What forecasts of a batch of services need, read in one short transaction."""

    now: datetime
    days: dict[UUID, dict[tuple[str, str], list[Any]]]
    zones: dict[UUID, str]
    before: dict[tuple[UUID, str, str], str | None]

    @property
    def today(self) -> datetime:
        """The UTC day that has begun."""
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)


def forecast_services(tx: Tx, *, services: Sequence[catalog.Service]) -> list[State]:
    """Forecast a few services in this transaction and judge them; findings become tickets of their owners."""
    if not services:
        return []
    stored = _forecast(services, _load(tx, services), heavier.Trials(1, 0, most=_TRIALS_AT_ONCE))
    return _judge(tx, services, stored)


def _load(tx: Tx, services: Sequence[catalog.Service]) -> Loaded:
    teams = {team.id: team for team in catalog.teams(tx)}
    ids = [one.id for one in services]
    since = tx.now.replace(hour=0, minute=0, second=0, microsecond=0) - HISTORY
    return Loaded(
        now=tx.now,
        days=_days(tx, ids, since=since),
        zones={
            one.id: teams[one.team_id].spec.get("timeZone") or "UTC" if one.team_id in teams else "UTC"
            for one in services
        },
        before=_models(tx, ids) if heavier.installed() else {},
    )


def _forecast(services: Sequence[catalog.Service], loaded: Loaded, trials: heavier.Trials) -> list[Stored]:
    """The long part: no transaction is open at night."""
    stored: list[Stored] = []
    today = loaded.today
    for service in services:
        series = _series(loaded.days.get(service.id, {}), today)
        rated = [key for key in series if key[1] == "rate" and key[0] != WHOLE]
        for (operation, kind), (first_at, mean, peak) in sorted(series.items(), reverse=True, key=lambda each: each[0]):
            if (operation, kind) == (WHOLE, "rate") and len(rated) == 1 and series[rated[0]][0] == first_at:
                # The only operation is the whole, unless the whole was pushed too.
                same = next(one for one in reversed(stored) if one.operation == rated[0][0] and one.kind == "rate")
                if np.array_equal(mean, series[rated[0]][1], equal_nan=True):
                    stored.append(msgspec.structs.replace(same, operation=WHOLE))
                    continue
            stored.append(
                _one(
                    service, operation, kind, first_at=first_at, mean=mean, peak=peak, zone=loaded.zones[service.id],
                    now=loaded.now, tried=trials.take(service.id, loaded.before.get((service.id, operation, kind))),
                )
            )  # fmt: skip
    return stored


def _judge(tx: Tx, services: Sequence[catalog.Service], stored: list[Stored]) -> list[State]:
    stored = [*stored, *components.derive(tx, services=services, stored=stored)]
    world = assessing.gather(tx, services=services, stored=stored)
    judged = [assessing.assess(world, service) for service in services]
    outlooks = {state.service_id: outlook for state, outlook in judged}
    states = [state for state, _ in judged if state.demand is not None or state.carried is not None]
    rows = []
    for one in stored:
        data = msgspec.to_builtins(one)
        outlook = outlooks.get(one.service_id, {}).get(one.kind) if one.operation == WHOLE else None
        if outlook is not None:
            data["outlook"] = msgspec.to_builtins(outlook)
        rows.append(
            {"service_id": one.service_id, "operation": one.operation, "kind": one.kind, "made_at": tx.now,
             "data": data}
        )  # fmt: skip
    upsert_many(tx, store.capacity_forecast, rows, keys=("service_id", "operation", "kind"))
    _write_states(tx, states)
    _tell(tx, services, states)
    return states


def _days(tx: Tx, ids: Collection[UUID], *, since: datetime) -> dict[UUID, dict[tuple[str, str], list[Any]]]:
    table = store.capacity_day
    rows = tx.execute(
        sa.select(table)
        .where(table.c.service_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))), table.c.day_at >= since)
        .order_by(table.c.day_at)
    )
    found: dict[UUID, dict[tuple[str, str], list[Any]]] = {}
    for row in rows:
        found.setdefault(row.service_id, {}).setdefault((row.operation, row.kind), []).append(row)
    return found


def _models(tx: Tx, ids: Collection[UUID]) -> dict[tuple[UUID, str, str], str | None]:
    """Which model each series was forecast with last."""
    table = store.capacity_forecast
    rows = tx.execute(
        sa.select(table.c.service_id, table.c.operation, table.c.kind, table.c.data["model"].astext.label("model"))
        .where(table.c.service_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))))
    )  # fmt: skip
    return {(row.service_id, row.operation, row.kind): row.model for row in rows}


Series = dict[tuple[str, Any], tuple[datetime, Any, Any]]


def _series(days: dict[tuple[str, str], list[Any]], today: datetime) -> Series:
    """(first hour, means, peaks) by operation and kind; the whole service's rate is the sum of its operations'."""
    found: Series = {}
    for key, rows in days.items():
        first = rows[0].day_at
        mean = np.full(((today - first).days, 24), np.nan)
        peak = np.full_like(mean, np.nan)
        for row in rows:
            at = (row.day_at - first).days
            if at < len(mean):
                mean[at] = np.array(row.mean, dtype=float)
                peak[at] = np.array(row.peak, dtype=float)
        if len(mean):
            found[key] = (first, mean.ravel(), peak.ravel())
    rates = [value for (operation, kind), value in found.items() if kind == "rate" and operation != WHOLE]
    if rates and (WHOLE, "rate") not in found:
        first = min(each[0] for each in rates)
        hours = (today - first).days * 24
        padded = []
        for begun, mean, peak in rates:
            ahead = np.full(hours - len(mean), np.nan)
            padded.append((np.concatenate([ahead, mean]), np.concatenate([ahead, peak])))
            del begun
        means = np.array([each[0] for each in padded])
        peaks = np.array([each[1] for each in padded])
        silent = np.isnan(means).all(axis=0)
        found[WHOLE, "rate"] = (
            first,
            np.where(silent, np.nan, np.nansum(means, axis=0)),
            np.where(silent, np.nan, np.nansum(peaks, axis=0)),
        )
    return found


def _one(
    service: catalog.Service,
    operation: str,
    kind: Any,
    *,
    first_at: datetime,
    mean: Any,
    peak: Any,
    zone: str,
    now: datetime,
    tried: bool = False,
) -> Stored:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    empty = Stored(
        service_id=service.id, operation=operation, kind=kind, made_at=now, first_at=today, step_seconds=3600,
        point=[], low=[], high=[], peak=[], peak_high=[], burst=1.0, growth_per_week=0.0, days=len(mean) // 24,
        coverage=None, mae=None, naive_coverage=None, naive_mae=None, notes=[], refused=None,
    )  # fmt: skip
    notes: list[str] = []
    free: frozenset[int] = frozenset()
    country = reads.declared_of(service).holidays
    if country:
        try:
            free = holidays(country, first_at.year, today.year + 1)
        except (NotImplementedError, KeyError):
            notes.append(f"the holidays of '{country}' are not known")
    try:
        made = forecast.forecast(
            mean, start_at=first_at, step_seconds=3600, horizon=HORIZON_DAYS * 24, zone=zone, holidays=free,
            rival=heavier.Decomposed if tried else None,
        )  # fmt: skip
    except Invalid as error:
        return msgspec.structs.replace(empty, refused=error.problem.message)
    judged = made.evaluation
    return msgspec.structs.replace(
        empty,
        point=_rounded(made.point[:HORIZON_HOURS]),
        low=_rounded(made.low[:HORIZON_HOURS]),
        high=_rounded(made.high[:HORIZON_HOURS]),
        peak=_rounded(made.peak),
        peak_high=_rounded(made.peak_high),
        burst=_burst(mean, peak),
        growth_per_week=made.growth_per_week,
        coverage=judged.coverage,
        mae=judged.mae,
        naive_coverage=judged.naive_coverage,
        naive_mae=judged.naive_mae,
        notes=[*made.notes, *notes],
        model=made.model,
        rival_mae=made.rival.mae if made.rival else None,
        ahead=list(judged.ahead),
    )


def _rounded(values: Any) -> list[float]:
    """Five digits: a forecast that says more pretends."""
    return [float(f"{value:.5g}") for value in values]


def _burst(mean: Any, peak: Any) -> float:
    """How far the busiest bucket of a busy hour lies above its mean: the median over the busiest tenth of hours."""
    known = np.isfinite(mean) & np.isfinite(peak) & (mean > 0)
    recent = known[-28 * 24 :]
    means, peaks = mean[-28 * 24 :][recent], peak[-28 * 24 :][recent]
    if len(means) < 10:
        return 1.0
    busy = means >= np.quantile(means, 0.9)
    return float(max(1.0, np.median(peaks[busy] / means[busy])))


def _write_states(tx: Tx, states: Sequence[State]) -> None:
    rows = [
        {
            "service_id": state.service_id,
            "made_at": state.made_at,
            "headroom": state.headroom,
            "finding": state.finding,
            "data": msgspec.to_builtins(state),
        }
        for state in states
    ]
    upsert_many(tx, store.capacity_state, rows, keys=("service_id",))


def _tell(tx: Tx, services: Sequence[catalog.Service], states: Sequence[State]) -> None:
    """Findings trigger a ticket at their owner; one that is over resolves it."""
    named = {service.id: service for service in services}
    events = []
    for state in states:
        service = named[state.service_id]
        by = f" Order {state.replicas_needed} replicas by {state.order_by}." if state.order_by else ""
        events.append(
            alerts.Event(
                identity=f"capacity:{service.id}",
                action="trigger" if state.finding else "resolve",
                title=f"{service.title} {state.finding}" if state.finding else f"{service.title} has capacity",
                description=f"{state.reason}{by}",
                severity="warning",
                urgency="ticket",
                service=service.name,
                expires_at=tx.now + _SAY_AGAIN,
                occurred_at=tx.now,
                delivery_id=str(uuid4()),
            )
        )
    if events:
        integration = alerts.builtin_integration(tx, name="capacity")
        alerts.accept_events(tx, integration_id=integration.id, events=events)
