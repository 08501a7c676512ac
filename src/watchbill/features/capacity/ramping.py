"""Starting, watching and stopping a ramp. The load itself is made elsewhere: this only looks on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from watchbill.features import alerts, catalog
from watchbill.features.capacity import actions, ramps, reads, store, usl
from watchbill.features.capacity.ramps import Ramp
from watchbill.features.telemetry import GetLoad, LoadStep, Observer
from watchbill.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.broadcast import CHANNEL
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.ledger import Actor

RAMP = "capacity.ramp"
LONGEST = timedelta(hours=4)
_LATE = timedelta(seconds=5)
"""So long after its end a step is looked at: spans are sent in batches."""


def start_ramp(
    tx: Tx,
    *,
    service: catalog.Service,
    operation: str,
    environment: str,
    replicas: int | None,
    step_seconds: int,
    lasts: timedelta,
    latency_ms: float | None,
    save: bool,
    actor: Actor,
) -> Ramp:
    """Watch a ramp from now on; ``latency_ms`` None: the strictest latency that the service promises.

    Raises:
        Invalid: too short for six steps, or longer than four hours. Conflict: one is being watched already.
    """
    if lasts < step_seconds * usl.FEWEST * timedelta(seconds=1) or lasts > LONGEST:
        raise Invalid(
            f"{lasts} does not hold six steps of {step_seconds} s, or is longer than four hours",
            field="minutes",
            hint="six loads are the least: give it more time, or shorter steps",
        )
    limit = latency_ms if latency_ms is not None else reads.latency_of(tx, service_id=service.id)
    row = {
        "id": new_id(), "service_id": service.id, "operation": operation, "environment": environment,
        "replicas": replicas, "step_seconds": step_seconds, "latency_ms": limit, "save": save, "started_at": tx.now,
        "ends_at": tx.now + lasts, "state": "watching", "reason": "nothing was seen yet", "steps": [], "fit": None,
        "capacity": None,
    }  # fmt: skip
    try:
        with tx.savepoint():
            tx.execute(sa.insert(store.capacity_ramp).values(**row))
    except IntegrityError as error:
        raise Conflict(
            f"a ramp of {service.name} is being watched already", hint="wait for it, or stop it"
        ) from error
    ledger.append(
        tx,
        name="capacity.ramp_started",
        actor=actor,
        subject=("service", service.id),
        team_id=service.team_id,
        data={"ramp": str(row["id"]), "minutes": lasts.total_seconds() / 60},
    )
    due.schedule(tx, kind=RAMP, subject=str(row["id"]), due_at=tx.now + timedelta(seconds=step_seconds) + _LATE)
    return ramp(tx, id=UUID(str(row["id"])))


def ramp(tx: Tx, *, id: UUID) -> Ramp:
    """One ramp.

    Raises:
        NotFound: there is none.
    """
    found = tx.execute(sa.select(store.capacity_ramp).where(store.capacity_ramp.c.id == id)).first()
    if found is None:
        raise NotFound("there is no such ramp", hint="see the service's page of capacity")
    return msgspec.convert(found, Ramp, from_attributes=True)


def ramps_of(tx: Tx, *, service_id: UUID, limit: int = 5) -> list[Ramp]:
    """The last ramps of a service, the newest first."""
    table = store.capacity_ramp
    rows = tx.execute(
        sa.select(table).where(table.c.service_id == service_id).order_by(table.c.started_at.desc()).limit(limit)
    )
    return [msgspec.convert(row, Ramp, from_attributes=True) for row in rows]


def stop_ramp(tx: Tx, *, service: catalog.Service, actor: Actor) -> Ramp:
    """Stop looking; what was seen is kept, and nothing is fitted.

    Raises:
        NotFound: none is being watched.
    """
    one = next((each for each in ramps_of(tx, service_id=service.id) if each.state == "watching"), None)
    if one is None:
        raise NotFound(f"no ramp of {service.name} is being watched", hint="start one with `watchbill capacity ramp`")
    _write(tx, one, {"state": "stopped", "reason": "stopped by hand", "ends_at": tx.now})
    due.cancel(tx, kind=RAMP, subject=str(one.id))
    ledger.append(
        tx, name="capacity.ramp_ended", actor=actor, subject=("service", service.id), team_id=service.team_id,
        why="stopped by hand", data={"ramp": str(one.id), "state": "stopped"},
    )  # fmt: skip
    return ramp(tx, id=one.id)


def finish_ramp(tx: Tx, *, service: catalog.Service, actor: Actor) -> Ramp:
    """The load has ended: judge what was seen, as soon as its last spans are there.

    Raises:
        NotFound: none is being watched.
    """
    one = next((each for each in ramps_of(tx, service_id=service.id) if each.state == "watching"), None)
    if one is None:
        raise NotFound(f"no ramp of {service.name} is being watched", hint="start one with `watchbill capacity ramp`")
    if one.ends_at <= tx.now:
        return one
    _write(tx, one, {"ends_at": tx.now})
    due.schedule(tx, kind=RAMP, subject=str(one.id), due_at=tx.now + _LATE)
    ledger.append(
        tx, name="capacity.ramp_shortened", actor=actor, subject=("service", service.id), team_id=service.team_id,
        why="its load has ended", data={"ramp": str(one.id)},
    )  # fmt: skip
    return ramp(tx, id=one.id)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask now; ``over`` is whether it is the last look."""

    ramp: Ramp
    question: GetLoad
    over: bool


class WatchRamp:
    """The due rows ``capacity.ramp``: ask the observer for every whole step so far, and judge them."""

    kind = RAMP
    lease_for = timedelta(seconds=30)

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def prepare(self, tx: Tx, row: DueRow) -> Look | None:
        """The question, or None when it was stopped or its service is gone."""
        one = ramp(tx, id=UUID(row.subject))
        service = next(iter(catalog.services(tx, ids=[one.service_id])), None)
        if one.state != "watching" or service is None:
            return None
        end = min(tx.now - _LATE, one.ends_at)
        whole = int((end - one.started_at).total_seconds() // one.step_seconds)
        whole = max(whole, 1)
        return Look(
            ramp=one,
            question=GetLoad(
                service_name=service.telemetry_name,
                environment=one.environment,
                start_at=one.started_at,
                end_at=one.started_at + timedelta(seconds=whole * one.step_seconds),
                step_seconds=one.step_seconds,
                name=_name_of(tx, one),
            ),
            over=tx.now >= one.ends_at + _LATE,
        )

    def perform(self, job: Look) -> list[LoadStep] | str:
        """The steps, or why there are none."""
        try:
            answer: list[LoadStep] = self._observer.ask(job.question)
        except Unavailable as error:
            return str(error)
        return answer

    def settle(self, tx: Tx, row: DueRow, job: Look, outcome: list[LoadStep] | str, /) -> None:
        """Write what was seen and what follows; look again a step later."""
        one = job.ramp
        again = tx.now + timedelta(seconds=one.step_seconds)
        if isinstance(outcome, str):
            # Telemetry that is away is no end of a ramp: the steps are all asked for again, for ten minutes.
            if tx.now < one.ends_at + timedelta(minutes=10):
                _write(tx, one, {"reason": outcome})
                due.schedule(tx, kind=RAMP, subject=row.subject, due_at=again)
            else:
                self._end(tx, one, {"state": "refused", "reason": f"it could not be watched: {outcome}"})
            return
        steps = ramps.steps_of(outcome, step_seconds=one.step_seconds, replicas=one.replicas)
        verdict = ramps.judge(steps, latency_ms=one.latency_ms, over=job.over, alarm=_alarm_of(tx, one))
        written = {
            "state": verdict.state,
            "reason": verdict.reason,
            "steps": msgspec.to_builtins(steps),
            "fit": None if verdict.fit is None else msgspec.to_builtins(verdict.fit),
            "capacity": verdict.capacity,
        }
        if verdict.state == "watching":
            _write(tx, one, written)
            due.schedule(tx, kind=RAMP, subject=row.subject, due_at=again)
            return
        self._end(tx, one, written)
        if verdict.state == "fitted" and one.save and verdict.fit is not None:
            (service,) = catalog.services(tx, ids=[one.service_id])
            actions.save_curve(
                tx, service=service, fit=verdict.fit, points=verdict.points, latency_ms=one.latency_ms,
                actor=ledger.system("capacity"),
            )  # fmt: skip

    def _end(self, tx: Tx, one: Ramp, written: dict[str, Any]) -> None:
        _write(tx, one, {**written, "ends_at": min(one.ends_at, tx.now)})
        (service,) = catalog.services(tx, ids=[one.service_id])
        ledger.append(
            tx, name="capacity.ramp_ended", actor=ledger.system("capacity"), subject=("service", service.id),
            team_id=service.team_id, why=written["reason"], data={"ramp": str(one.id), "state": written["state"]},
        )  # fmt: skip


def _alarm_of(tx: Tx, one: Ramp) -> str | None:
    """What somebody is paged for about this service since the ramp began, such as an objective that burns."""
    (service,) = catalog.services(tx, ids=[one.service_id])
    for alert in alerts.open_alerts(tx):
        # An alert that came this second has the name only: its service is looked up when it is routed.
        about = alert.service_id == one.service_id or alert.service_name in (service.name, service.telemetry_name)
        if about and alert.urgency == "page" and alert.started_at >= one.started_at:
            return f"an alert came: {alert.title}"
    return None


def _write(tx: Tx, one: Ramp, values: dict[str, Any]) -> None:
    tx.execute(sa.update(store.capacity_ramp).where(store.capacity_ramp.c.id == one.id).values(**values))
    for service in catalog.services(tx, ids=[one.service_id]):
        tx.hint(CHANNEL, f"service:{service.name}")


def _name_of(tx: Tx, one: Ramp) -> str | None:
    for each in catalog.operations(tx):
        if each.service_id == one.service_id and each.name == one.operation:
            return each.match.get("route") or each.match.get("spanName")
    return one.operation or None
