"""The night's work: yesterday's demand, a forecast of every service, its headroom, and findings as tickets.

Nothing is computed here: `making` does that, in as many processes as there are cores (`crew`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import alerts, catalog
from watchbill.features.capacity import assessing, components, heavier, measuring, store
from watchbill.features.capacity.actions import FORECAST
from watchbill.features.capacity.crew import Batch, Crew, crew_for
from watchbill.features.capacity.making import Day, Key, Loaded, forecast_batch
from watchbill.features.capacity.model import WHOLE, Kind, Outlook, State, Stored
from watchbill.features.telemetry import Observer
from watchbill.kernel.errors import Invalid
from watchbill.runtime.broadcast import CHANNEL
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due import DueRow

log = structlog.get_logger("watchbill.capacity")

HISTORY = timedelta(days=91)
KEPT = timedelta(days=400)
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
    with db.transaction() as tx:
        count = len(catalog.services(tx))
    trials = heavier.Trials(count, today.toordinal())
    done = 0
    with crew_for(count) as crew:
        # A batch more than there are hands is loaded, so that nobody waits while another is written.
        waiting: deque[Batch] = deque()
        for batch in _batches(db, crew, trials):
            waiting.append(batch)
            if len(waiting) > crew.hands:
                done += _finish(db, waiting.popleft(), trials)
        while waiting:
            done += _finish(db, waiting.popleft(), trials)
    with db.transaction() as tx:
        tx.execute(sa.update(store.capacity_night).values(done_for=today, leased_until=tx.now))
    log.info("capacity was forecast", services=done)
    return done


def _batches(db: Database, crew: Crew, trials: heavier.Trials) -> Iterator[Batch]:
    after = ""
    while True:
        with db.transaction() as tx:
            services = catalog.services(tx, after_name=after, limit=BATCH)
            loaded = _load(tx, services)
        if not services:
            return
        after = services[-1].name
        yield crew.begin(services, loaded, _tried(services, loaded, trials))


def _finish(db: Database, batch: Batch, trials: heavier.Trials) -> int:
    made = batch.wait()
    trials.spent(made.trial_seconds, made.tried)
    with db.transaction() as tx:
        _judge(tx, batch.services, made.stored)
    return len(batch.services)


def _tried(services: Sequence[catalog.Service], loaded: Loaded, trials: heavier.Trials) -> frozenset[Key]:
    """The series that the heavier model is tried on."""
    keys = (key for one in services for key in loaded.keys(one.id))
    return frozenset(key for key in keys if trials.take(key[0], loaded.before.get(key)))


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


def forecast_services(tx: Tx, *, services: Sequence[catalog.Service]) -> list[State]:
    """Forecast a few services in this transaction and judge them; findings become tickets of their owners."""
    if not services:
        return []
    loaded = _load(tx, services)
    tried = _tried(services, loaded, heavier.Trials(1, 0, most=_TRIALS_AT_ONCE))
    states = _judge(tx, services, forecast_batch(services, loaded, tried).stored)
    for service in services:
        tx.hint(CHANNEL, f"service:{service.name}")
    return states


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


def _judge(tx: Tx, services: Sequence[catalog.Service], stored: list[Stored]) -> list[State]:
    stored = [*stored, *components.derive(tx, services=services, stored=stored)]
    world = assessing.gather(tx, services=services, stored=stored)
    judged = [made for service in services if (made := _assessed(world, service)) is not None]
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


def _assessed(
    world: assessing.World, service: catalog.Service
) -> tuple[State, dict[Kind, Outlook]] | None:
    """None for a service whose ``spec.capacity`` cannot be read: that ends nobody else's night."""
    try:
        return assessing.assess(world, service)
    except Invalid as error:
        log.warning("a service was not judged", service=service.name, why=error.problem.message)
        return None


def _days(tx: Tx, ids: Collection[UUID], *, since: datetime) -> dict[UUID, dict[tuple[str, str], list[Day]]]:
    table = store.capacity_day
    rows = tx.execute(
        sa.select(table)
        .where(table.c.service_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))), table.c.day_at >= since)
        .order_by(table.c.day_at)
    )
    found: dict[UUID, dict[tuple[str, str], list[Day]]] = {}
    for row in rows:
        day = Day(day_at=row.day_at, mean=row.mean, peak=row.peak)
        found.setdefault(row.service_id, {}).setdefault((row.operation, row.kind), []).append(day)
    return found


def _models(tx: Tx, ids: Collection[UUID]) -> dict[tuple[UUID, str, str], str | None]:
    """Which model each series was forecast with last."""
    table = store.capacity_forecast
    rows = tx.execute(
        sa.select(table.c.service_id, table.c.operation, table.c.kind, table.c.data["model"].astext.label("model"))
        .where(table.c.service_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))))
    )  # fmt: skip
    return {(row.service_id, row.operation, row.kind): row.model for row in rows}


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
