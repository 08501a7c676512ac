"""Rollbacks: begin, look at, cancel; and the one switch of all automation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.incidents import ACT, Names, Number
from watchbill.features import catalog, incidents, rollback
from watchbill.features.catalog import Service
from watchbill.features.rollback import Run, Verification
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.runtime.db import Tx

Why = Annotated[str, msgspec.Meta(max_length=500)]


class RollbackView(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``state`` is queued, running, verifying, or one of its named ends; durations in seconds.

    ``verification`` says how recovery is judged, and what each objective showed at the last look.
    """

    number: int
    id: UUID
    service: str
    environment: str
    incident: int | None
    change_id: UUID | None
    mode: str
    state: str
    over: bool
    executor: str
    version: str | None
    previous_version: str | None
    confidence: float | None
    by: str
    reason: str
    end_reason: str | None
    runner: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    verify_until: datetime | None
    ended_at: datetime | None
    took_seconds: float | None
    exit_code: int | None
    output: str
    output_bytes: int
    cancel_requested: str | None
    verification: Verification | None


class NewRollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a service back to what was before, or ``to`` a version.

    ``dry_run`` says what would be done; ``rehearse`` does it for real where nothing is wrong, to know that it works.
    """

    service: Annotated[str, msgspec.Meta(max_length=200)]
    environment: Annotated[str, msgspec.Meta(max_length=63)] = "production"
    to: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    dry_run: bool = False
    rehearse: bool = False


class UndoChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The change to undo; the incident's top suspect when left out."""

    change_id: UUID | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    why: Why = ""


class AutomationView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether anything may act alone."""

    automation: bool
    why: str
    changed_at: datetime | None


class SetAutomation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Switch all automation on or off, and why."""

    automation: bool
    why: Why


RunNumber = Annotated[int, PathParameter(ge=1, le=2**53)]


@get("/rollbacks", sync_to_thread=True)
def list_rollbacks(
    db: GivenDb,
    service: FromQuery[str | None] = None,
    incident: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
) -> list[RollbackView]:
    """Rollbacks, newest first."""
    with db.transaction() as tx:
        service_id = None if service is None else service_named(tx, service).id
        incident_id = None if incident is None else incidents.incident_by_number(tx, number=incident).id
        found = rollback.runs(tx, service_id=service_id, incident_id=incident_id, limit=limit)
        return [view(tx, run) for run in found]


@get("/rollbacks/{number:int}", sync_to_thread=True)
def show_rollback(db: GivenDb, number: RunNumber) -> RollbackView:
    """One rollback, with the end of its output."""
    with db.transaction() as tx:
        return view(tx, rollback.run_by_number(tx, number=number))


@post("/rollbacks", sync_to_thread=True, opt=ACT, status_code=201)
def start_rollback(caller: GivenCaller, db: GivenDb, data: JSONBody[NewRollback]) -> RollbackView:
    """Roll a service back, rehearse it, or run it dry."""
    if data.dry_run and data.rehearse:
        raise Invalid("dry_run and rehearse exclude each other", field="rehearse", hint="choose one")
    with db.transaction() as tx:
        mode: rollback.Mode = "dry_run" if data.dry_run else "rehearsal" if data.rehearse else "button"
        run = rollback.start(
            tx,
            service=service_named(tx, data.service),
            environment=data.environment,
            mode=mode,
            caller=caller,
            version=data.to,
        )
        return view(tx, run)


@post("/incidents/{number:int}/rollback", sync_to_thread=True, opt=ACT, status_code=201)
def undo_suspect(caller: GivenCaller, db: GivenDb, number: Number, data: JSONBody[UndoChange]) -> RollbackView:
    """Undo a suspect of an incident: what the button does."""
    with db.transaction() as tx:
        incident = incidents.incident_by_number(tx, number=number)
        change_id = data.change_id
        if change_id is None:
            ranking = rollback.ranking_of(tx, incident=incident)
            if ranking is None or not ranking.suspects:
                raise NotFound(
                    f"incident {number} has no suspect", hint="name a change_id; see `watchbill deploy list`"
                )
            change_id = ranking.suspects[0].change_id
        run = rollback.press(tx, change_id=change_id, incident=incident, caller=caller, via="api")
        return view(tx, run)


@post("/rollbacks/{number:int}/cancel", sync_to_thread=True, opt=ACT, status_code=200)
def cancel_rollback(caller: GivenCaller, db: GivenDb, number: RunNumber, data: JSONBody[Cancel]) -> RollbackView:
    """Stop a rollback."""
    with db.transaction() as tx:
        return view(tx, rollback.cancel(tx, number=number, caller=caller, why=data.why))


@get("/automation", sync_to_thread=True)
def show_automation(db: GivenDb) -> AutomationView:
    """The switch of all automation."""
    with db.transaction() as tx:
        found = rollback.read_switch(tx)
        return AutomationView(automation=found.automation, why=found.why, changed_at=found.changed_at)


@put("/automation", sync_to_thread=True, opt=ACT)
def set_automation(caller: GivenCaller, db: GivenDb, data: JSONBody[SetAutomation]) -> AutomationView:
    """Switch all automation off (any responder) or on (administrators)."""
    with db.transaction() as tx:
        found = rollback.set_switch(tx, automation=data.automation, why=data.why, caller=caller)
        return AutomationView(automation=found.automation, why=found.why, changed_at=found.changed_at)


def service_named(tx: Tx, name: str) -> Service:
    """The service.

    Raises:
        NotFound: there is none of this name.
    """
    found = catalog.service_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no service '{name}'", field="service", hint="see `watchbill service list`")
    return found


def view(tx: Tx, run: Run) -> RollbackView:
    """A run as the API shows it."""
    incident = incidents.incident_by_id(tx, incident_id=run.incident_id) if run.incident_id else None
    shared = {name: getattr(run, name) for name in RollbackView.__struct_fields__ if hasattr(run, name)}
    return RollbackView(
        **shared,
        service=Names(tx).service(run.service_id),
        incident=incident.number if incident else None,
        over=run.state in rollback.ENDED,
        by=Names(tx).actor(run.requested_by_kind, run.requested_by_id),
        runner=next((r.name for r in rollback.runners(tx) if r.id == run.claimed_by), None),
    )


handlers = [
    list_rollbacks,
    show_rollback,
    start_rollback,
    undo_suspect,
    cancel_rollback,
    show_automation,
    set_automation,
]
