"""After a rollback: ask for the counts of what must recover, and name the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, overload
from uuid import UUID

import msgspec
import structlog

from watchbill.features import alerts, catalog, changes, incidents, slo
from watchbill.features.rollback import facts as gathering
from watchbill.features.rollback import logic, recovery, running, store
from watchbill.features.rollback.counting import counted_between
from watchbill.features.rollback.model import Finding, Run, RunState, Verification, Witness
from watchbill.features.slo import StateRow
from watchbill.features.telemetry import CountColumns, GetCounts, GetVersions, Versions
from watchbill.kernel.durations import rough_duration
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow

log = structlog.get_logger("watchbill.rollback")


class Asks(Protocol):
    """Where counts and versions can be asked for (`telemetry.Observer`)."""

    @overload
    def ask(self, question: GetCounts) -> CountColumns: ...
    @overload
    def ask(self, question: GetVersions) -> Versions: ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one run. ``states`` are of the witnesses that lost their traffic; ``serving`` asks which versions
    answer now."""

    run: Run
    now: datetime
    slice_seconds: int
    witnesses: Sequence[Witness] = ()
    states: dict[UUID, StateRow] = {}
    serving: GetVersions | None = None


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen: a finding of each witness, none while the window is not full; ``note`` says why.

    ``still`` is the share of requests that the version which was to go away answers; None when nobody can tell.
    """

    findings: list[Finding] = []
    note: str = ""
    still: float | None = None


class VerifyRun:
    """``rollback.verify``: whether what hurt is over."""

    kind = running.VERIFY
    lease_for = timedelta(seconds=60)

    def __init__(self, *, observer: Asks) -> None:
        self._observer = observer

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """None when the run has its end."""
        run = store.run_by_id(tx, id=UUID(row.subject))
        if run is None or run.state != "verifying" or run.verify_until is None or run.incident_id is None:
            return None
        chosen = run.verification.witnesses if run.verification is not None else []
        return Job(
            run=run,
            now=tx.now,
            slice_seconds=slo.slice_seconds(tx),
            witnesses=chosen,
            states=slo.states(tx, slo_ids=[each.slo_id for each in chosen]) if chosen else {},
            serving=_serving(tx, run),
        )

    def perform(self, job: Job) -> Looked:
        """Ask for the counts before and since; an observer that is away is a note, and proves nothing."""
        findings: list[Finding] = []
        still = self._still(job)
        for witness in job.witnesses:
            try:
                found = self._look(job, witness)
            except WatchbillError as error:
                log.info("recovery cannot be measured now", run=job.run.number, why=error.problem.message)
                words = f"{witness.name}: not measured, {error.problem.message}"
                findings.append(Finding(witness=witness, answer="unknown", words=words))
                continue
            if found is None:
                return Looked(note=f"no whole window of {_length(witness)} was there to look at", still=still)
            findings.append(found)
        return Looked(findings=findings, still=still)

    def _still(self, job: Job) -> float | None:
        if job.serving is None:
            return None
        try:
            found = self._observer.ask(job.serving)
        except WatchbillError:
            return None  # the burn decides alone
        return recovery.share_of(job.run.version, [(each.version, each.total) for each in found.slices])

    def _look(self, job: Job, witness: Witness) -> Finding | None:
        run = job.run
        if run.started_at is None or run.finished_at is None:
            return None
        if witness.cause == "traffic":
            return _by_state(witness, job.states.get(witness.slo_id), run.finished_at)
        window = timedelta(seconds=witness.window_seconds)
        at = recovery.stretch(
            now=job.now,
            finished_at=run.finished_at,
            window=window,
            slice_seconds=job.slice_seconds,
            unit_seconds=witness.unit_seconds,
        )
        if at is None:
            return None
        first, start, end = at
        unit = max(job.slice_seconds, witness.unit_seconds)
        began = int(run.started_at.timestamp()) // unit * unit
        until = run.started_at + timedelta(seconds=began - run.started_at.timestamp())
        columns = self._observer.ask(
            GetCounts(
                operation_id=witness.operation_id,
                objective=witness.objective,
                start_at=until - window,
                end_at=end,
                slice_seconds=job.slice_seconds,
                given=witness.given,
            )
        )
        before, latest, since = (
            counted_between(columns, witness, start_at=a, end_at=b)
            for a, b in ((until - window, until), (start, end), (first, end))
        )
        return recovery.judge(witness, before=before, latest=latest, since=since)

    def settle(self, tx: Tx, row: DueRow, job: Job, outcome: Looked, /) -> None:
        """Recovered, not recovered (then the suspects are ranked anew), unverified, or look again."""
        run = store.run_by_id(tx, id=UUID(row.subject), lock=True)
        if run is None or run.state != "verifying" or run.verify_until is None or run.incident_id is None:
            return
        verify_until = run.verify_until
        verification = run.verification or Verification(rule="alerts", chosen="")
        if verification.rule == "alerts":
            state, words = _by_alerts(tx, run, incident_id=run.incident_id, verify_until=run.verify_until)
        else:
            state = recovery.conclude(outcome.findings, now=tx.now, verify_until=verify_until)
            words = recovery.reason(state, outcome.findings, note=outcome.note) if state is not None else ""
            verification = msgspec.structs.replace(
                verification, findings=outcome.findings, note=outcome.note, looked_at=job.now
            )
            run = store.change_run(tx, run, verification=verification)
        if state is None:
            again = min(tx.now + _wait(job.witnesses), max(verify_until, tx.now + timedelta(seconds=1)))
            due.schedule(tx, kind=running.VERIFY, subject=run.id, due_at=again)
            tx.hint(incidents.LIVE, f"rollback:{run.number}")
            return
        if outcome.still is not None and outcome.still >= recovery.STILL_THERE:
            said = f"the executor said it was done, but {run.version} still answers {outcome.still:.0%} of requests"
            if run.change_id is not None:
                changes.mark_not_undone(tx, id=run.change_id, why=said, actor=running.ME)
            running.end(tx, run, "failed", f"{said}; {words}")
            return
        left = f"; {run.version} still answers {outcome.still:.0%} of requests" if outcome.still else ""
        running.end(tx, run, state, words + left + _by_others(tx, run))


def _serving(tx: Tx, run: Run) -> GetVersions | None:
    """The last minute since the executor was done; None where a version says nothing, or it is too early."""
    if run.finished_at is None or run.version is None or run.version == run.previous_version:
        return None
    settled_at = run.finished_at + recovery.GRACE
    if tx.now - settled_at < recovery.GRACE:
        return None
    service = catalog.service(tx, id=run.service_id)
    start_at = max(settled_at, tx.now - timedelta(minutes=1))
    return GetVersions(
        service_name=service.telemetry_name,
        environment=run.environment,
        start_at=start_at,
        end_at=tx.now,
        reference_end_at=start_at,
        slice_seconds=60,
    )


def _by_alerts(tx: Tx, run: Run, *, incident_id: UUID, verify_until: datetime) -> tuple[RunState | None, str]:
    """The end of a run in an incident where no SLO burned, and the words for it."""
    members = alerts.alerts_of_incident(tx, incident_id=incident_id)
    incident = incidents.incident_by_id(tx, incident_id=incident_id)
    still_open = sum(member.is_open for member in members)
    closed = incident is not None and incident.state == "resolved"
    state = logic.after_success(
        now=tx.now,
        verify_until=verify_until,
        alerts_open=still_open,
        alerts_known=len(members),
        closed_by_hand=closed,
    )
    if state is None:
        return None, ""
    minutes = run.verify_seconds / 60
    words = {
        "recovered": "every alert of the incident is resolved (no objective burned in it)",
        "not_recovered": f"{still_open} of {len(members)} alerts still fire {minutes:.0f} min later: "
        "it was not (only) this change",
        "unverified": f"a person resolved the incident while {still_open} of {len(members)} alerts still fired"
        if closed and still_open
        else "the incident has no objective and no alert that could say whether it helped",
    }
    return state, words[state]


def _by_state(witness: Witness, state: StateRow | None, finished_at: datetime) -> Finding:
    """Lost traffic is back when its SLO, evaluated since, does not fire any more."""
    if state is None or state.evaluated_at <= finished_at or state.state == "unmeasured":
        return Finding(witness=witness, answer="unknown", words=f"{witness.name}: nobody has looked for its traffic")
    if state.state == "firing":
        return Finding(witness=witness, answer="over", words=f"{witness.name}: {state.reason}")
    return Finding(witness=witness, answer="under", words=f"{witness.name}: its traffic is back")


def _by_others(tx: Tx, run: Run) -> str:
    """Who else was at work since: what got better may be theirs."""
    undoable = gathering.undoable(tx, change_id=run.change_id) if run.change_id else None
    if undoable is None or run.finished_at is None:
        return ""
    newer = [
        change
        for change in gathering.newer_changes(tx, since=run.finished_at, undoable=undoable)
        if change.version != run.previous_version
    ]
    return f"; {newer[0].title} came meanwhile, so it is not this rollback's alone" if newer else ""


def _wait(witnesses: Sequence[Witness]) -> timedelta:
    """Until the next look: a fifth of the shortest window, 2 to 15 s."""
    shortest = min((each.window_seconds for each in witnesses), default=75)
    return min(logic.VERIFY_EVERY, timedelta(seconds=max(2.0, shortest / 5)))


def _length(witness: Witness) -> str:
    return rough_duration(timedelta(seconds=witness.window_seconds))
