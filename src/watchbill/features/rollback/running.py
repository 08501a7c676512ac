"""What happens to a run once it is queued: a runner takes it, tells what it does, and it ends in a named state.

A run is taken under a lease that its runner renews while it works. When the lease ends the run is *lost*: whether the
command took effect is not known, so it is never started again by itself, and a person is told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import structlog

from watchbill.features import alerts, catalog, changes, incidents, suspects
from watchbill.features.changes import ChangeReport
from watchbill.features.incidents import Incident
from watchbill.features.rollback import facts as gathering
from watchbill.features.rollback import logic, store, witnesses
from watchbill.features.rollback.facts import OWN_SOURCE
from watchbill.features.rollback.model import Run, Runner, RunState, Task
from watchbill.features.rollback.plans import fill
from watchbill.kernel.errors import Conflict, NotFound, WatchbillError
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow, InsideDuty
from watchbill.runtime.ledger import Actor, system

log = structlog.get_logger("watchbill.rollback")

WATCH = "rollback.watch"
"""Due row: a run was not taken in time, or its lease has ended."""
VERIFY = "rollback.verify"
"""Due row: look whether the incident recovers."""
QUEUED = "rollback_queued"
"""The NOTIFY channel that wakes whoever hands runs to runners; polling is the truth."""

Outcome = Literal["succeeded", "failed", "timed_out", "cancelled", "refused"]
ME = system("rollback")


def claim(tx: Tx, *, runner: Runner) -> Task | None:
    """Hand the oldest run that this runner may take; the rules are asked once more, now that it would really begin."""
    for run in store.lock_queued(tx, team_id=runner.team_id, runner_name=runner.name, executors=runner.executors):
        against = _still_against(tx, run)
        if against is not None:
            state, why = against
            end(tx, run, state, why)
            continue
        lease = uuid4()
        service = catalog.service(tx, id=run.service_id)
        words = {
            "service": service.name,
            "environment": run.environment,
            "version": run.version or "",
            "previous_version": run.previous_version or "",
        }
        taken = store.change_run(
            tx,
            run,
            state="running",
            claimed_by=runner.id,
            lease=lease,
            lease_until=tx.now + logic.LEASE,
            started_at=tx.now,
        )
        due.schedule(tx, kind=WATCH, subject=run.id, due_at=tx.now + logic.LEASE)
        explain(tx, taken, "rollback.started", why=f"runner {runner.name} took it", data={"runner": runner.name})
        return Task(
            run_id=run.id,
            number=run.number,
            lease=lease,
            service=service.name,
            environment=run.environment,
            executor=run.executor,
            plan=fill(run.plan, words),
            version=run.version,
            previous_version=run.previous_version,
            timeout_seconds=run.timeout_seconds,
            dry_run=run.mode == "dry_run",
            lease_seconds=int(logic.LEASE.total_seconds()),
        )
    return None


def _still_against(tx: Tx, run: Run) -> tuple[RunState, str] | None:
    """Why a queued run must not begin any more: meanwhile somebody deployed, resolved, or switched automation off."""
    incident = gathering.incident_of(tx, run.incident_id)
    if incident is None:
        return None
    if incident.state == "resolved":
        return "cancelled", "the incident was resolved before it began"
    undoable = gathering.undoable(tx, change_id=run.change_id) if run.change_id else None
    if undoable is not None:
        newer = gathering.newer_changes(tx, since=run.created_at, undoable=undoable)
        if newer:
            return "cancelled", f"{newer[0].title} came first: somebody is at work, and automation does not fight them"
        if run.mode == "automatic":
            acts = gathering.human_acts(tx, incident=incident, undoable=undoable)
            if not store.read_switch(tx).automation:
                acts = ["automation is switched off"]
            return ("refused", acts[0]) if acts else None
    return None


def breathe(tx: Tx, *, runner: Runner, run_id: UUID, lease: UUID, output: str) -> str | None:
    """The runner is alive and tells what the executor wrote; returns why it must stop, or None.

    Raises:
        Conflict: the lease is lost; the runner must stop, and what it did is not known.
    """
    run = _held(tx, runner=runner, run_id=run_id, lease=lease)
    values: dict[str, object] = {"lease_until": tx.now + logic.LEASE}
    if output:
        clean = output.replace("\0", "\ufffd")
        values["output"] = logic.tail(run.output, clean)
        values["output_bytes"] = run.output_bytes + len(clean.encode())
    run = store.change_run(tx, run, **values)
    due.schedule(tx, kind=WATCH, subject=run.id, due_at=tx.now + logic.LEASE)
    tx.hint(incidents.LIVE, f"rollback:{run.number}")
    incident = gathering.incident_of(tx, run.incident_id) if output else None
    if incident is not None:
        tx.hint(incidents.LIVE, f"incident:{incident.number}")
    if run.cancel_requested is None:
        against = _still_against_while_running(tx, run)
        if against is not None:
            run = store.change_run(tx, run, cancel_requested=against)
            explain(tx, run, "rollback.cancelling", why=against)
    return run.cancel_requested


def _still_against_while_running(tx: Tx, run: Run) -> str | None:
    undoable = gathering.undoable(tx, change_id=run.change_id) if run.change_id else None
    if run.incident_id is None or undoable is None:
        return None
    # What telemetry shows while we put the old version back is our own doing, not a person's.
    newer = [
        change
        for change in gathering.newer_changes(tx, since=run.created_at, undoable=undoable)
        if not change.inferred and change.version != run.previous_version
    ]
    return f"{newer[0].title} came meanwhile: somebody is at work" if newer else None


def finish(
    tx: Tx, *, runner: Runner, run_id: UUID, lease: UUID, outcome: Outcome, message: str, exit_code: int | None
) -> Run:
    """The executor is done. Success in an incident is not the end: recovery is looked for until ``verify_until``.

    A runner that comes back to a run which was called lost is heard: its word is in the timeline, the name stays.

    Raises:
        Conflict: the lease is lost; the run has been given a name already.
    """
    late = store.run_by_id(tx, id=run_id, lock=True)
    if late is not None and late.state == "lost" and late.claimed_by == runner.id:
        return _told_late(tx, late, outcome=outcome, message=message, exit_code=exit_code)
    run = _held(tx, runner=runner, run_id=run_id, lease=lease)
    run = store.change_run(
        tx,
        run,
        lease=None,
        lease_until=None,
        finished_at=tx.now,
        exit_code=exit_code,
        end_reason=message[:1000] or None,
    )
    due.cancel(tx, kind=WATCH, subject=run.id)
    if outcome != "succeeded":
        return end(tx, run, outcome, message[:1000] or outcome.replace("_", " "))
    if run.mode == "dry_run":
        return end(tx, run, "succeeded", message[:1000] or "it would have worked like this")
    _record_change(tx, run)
    incident = gathering.incident_of(tx, run.incident_id)
    if incident is None or incident.state == "resolved":
        return end(tx, run, "succeeded", message[:1000] or "done")
    verify_for = timedelta(seconds=run.verify_seconds)
    service = catalog.service(tx, id=run.service_id)
    chosen = witnesses.choose(tx, incident=incident, rules=logic.rules_of(service.spec), verify_for=verify_for)
    run = store.change_run(tx, run, state="verifying", verify_until=tx.now + verify_for, verification=chosen)
    due.schedule(tx, kind=VERIFY, subject=run.id, due_at=tx.now)
    explain(tx, run, "rollback.done", why=f"{message[:1000] or 'the executor is done'}; {chosen.chosen}")
    return run


def _told_late(tx: Tx, run: Run, *, outcome: Outcome, message: str, exit_code: int | None) -> Run:
    if run.exit_code is not None or run.finished_at is not None:
        return run
    said = f"its runner came back and says: {outcome.replace('_', ' ')}{f', {message[:500]}' if message else ''}"
    run = store.change_run(
        tx, run, finished_at=tx.now, exit_code=exit_code, end_reason=f"{run.end_reason or ''}; {said}"[:1500]
    )
    explain(tx, run, "rollback.told_late", why=said, data={"outcome": outcome})
    if outcome == "succeeded" and run.mode != "dry_run":
        _record_change(tx, run)
    return run


def stop(tx: Tx, run: Run, *, why: str, actor: Actor) -> Run:
    """Cancel a locked run: at once when it waits, else when its runner next asks."""
    if run.state == "queued":
        due.cancel(tx, kind=WATCH, subject=run.id)
        return end(tx, run, "cancelled", why, actor=actor)
    if run.cancel_requested is None:
        run = store.change_run(tx, run, cancel_requested=why)
        explain(tx, run, "rollback.cancelling", actor=actor, why=why)
    return run


def _held(tx: Tx, *, runner: Runner, run_id: UUID, lease: UUID) -> Run:
    run = store.run_by_id(tx, id=run_id, lock=True)
    if run is None:
        raise NotFound("there is no such run")
    if run.state != "running" or run.lease != lease or run.claimed_by != runner.id:
        raise Conflict(
            f"rollback {run.number} is no longer this runner's: it is {run.state.replace('_', ' ')}",
            code="lease_lost",
            hint="stop; what was done so far must be looked at by a person",
        )
    return run


def end(tx: Tx, run: Run, state: RunState, why: str, *, actor: Actor = ME) -> Run:
    """Name the end of a locked run; one that did not help has the incident's suspects ranked anew."""
    ended = store.change_run(tx, run, state=state, ended_at=tx.now, end_reason=why, lease=None, lease_until=None)
    explain(tx, ended, f"rollback.{state}", actor=actor, why=why)
    if state not in ("succeeded", "recovered") and run.incident_id is not None:
        due.schedule(tx, kind=suspects.RANK, subject=run.incident_id, due_at=tx.now)
    return ended


def _record_change(tx: Tx, run: Run) -> None:
    """Our own rollback is a change like any other: it is in the ledger of changes, and undoes the deploy there."""
    service = catalog.service(tx, id=run.service_id)
    integration = alerts.builtin_integration(tx, name=OWN_SOURCE)
    report = ChangeReport(
        service=service.name,
        state="finished",
        kind="rollback",
        environment=run.environment,
        external_id=f"rollback:{run.id}",
        title=f"Rollback of {service.name} to {run.previous_version or 'what was before'}",
        version=run.previous_version,
        previous_version=run.version,
        reversible="unknown",
        is_fix=True,
        occurred_at=tx.now,
    )
    try:
        with tx.savepoint():
            changes.record_change(tx, report=report, integration_id=integration.id, source=OWN_SOURCE, actor=ME)
    except WatchbillError as error:
        log.warning("the rollback is not in the ledger of changes", run=run.number, why=error.problem.message)


class WatchRun:
    """``rollback.watch``: nobody took it in time, or its runner went silent."""

    kind = WATCH

    def run(self, tx: Tx, row: DueRow) -> None:
        """Name the end; look again when it is not time yet."""
        run = store.run_by_id(tx, id=UUID(row.subject), lock=True)
        if run is None or run.state not in ("queued", "running"):
            return
        at = run.created_at + logic.UNCLAIMED_FOR if run.state == "queued" else run.lease_until
        if at is not None and at > tx.now:
            due.schedule(tx, kind=WATCH, subject=run.id, due_at=at)
        elif run.state == "queued":
            waited = int(logic.UNCLAIMED_FOR.total_seconds())
            who = f"runner {run.runner_name}" if run.runner_name else "a runner of the team"
            end(tx, run, "no_runner", f"{who} did not take it within {waited} s; see `watchbill runner list`")
        else:
            why = (
                "its runner went silent while it worked; whether it took effect is not known: look before trying again"
            )
            end(tx, run, "lost", why)


def duties() -> list[InsideDuty]:
    """What watches runs, inside a transaction; whether they helped is looked for by `verifying.VerifyRun`."""
    return [WatchRun()]


def explain(
    tx: Tx, run: Run, name: str, *, actor: Actor = ME, why: str = "", data: dict[str, object] | None = None
) -> None:
    """An entry for the run, in the timeline of its incident when it has one."""
    service = catalog.service(tx, id=run.service_id)
    given = {
        "run": run.number,
        "mode": run.mode,
        "service": service.name,
        "title": f"{service.name} to {run.previous_version or 'what was before'}",
        "version": run.version,
        "previous_version": run.previous_version,
        "executor": run.executor,
        **(data or {}),
    }
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("rollback", run.id),
        incident_id=run.incident_id,
        team_id=service.team_id,
        why=why,
        data=given,
    )
    incident: Incident | None = gathering.incident_of(tx, run.incident_id)
    if incident is not None:
        tx.hint(incidents.LIVE, f"incident:{incident.number}")
