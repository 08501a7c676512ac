"""Ranking as due work: with the page, and again as evidence grows: claim, ask the observer, settle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from watchbill.features import catalog, incidents
from watchbill.features.incidents import EvidenceAction, EvidenceLine, Incident
from watchbill.features.suspects import logic, measuring, reads, store
from watchbill.features.suspects.model import Candidate, Ranking, Verdict
from watchbill.features.suspects.verdict import short
from watchbill.features.telemetry import GetVersions, Versions
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.ledger import system

RANK = "incident.suspects"
"""Due row: an incident's changes are to be ranked (again)."""
SOURCE = "suspects"
ROLL_BACK = "rollback"
"""The name of the action on a line of evidence."""
MEASURED = 6
"""Changes of one incident that telemetry is asked about."""
_MOST_BELOW = 30
_STOP_AFTER = timedelta(hours=2)

log = structlog.get_logger("watchbill.suspects")

Ranked = Callable[[Tx, Incident, Ranking], object]
"""Told in the same transaction that a ranking was written."""


class Asks(Protocol):
    """Where telemetry can be asked for (`telemetry.Observer`)."""

    def ask(self, question: GetVersions) -> Versions: ...


def advise(tx: Tx, incident: Incident) -> None:
    """With the page, in its transaction: rank by what PostgreSQL knows, and have telemetry looked at right after."""
    onset_at = reads.onset_of(tx, incident=incident)
    candidates = reads.candidates_of(tx, incident=incident, onset_at=onset_at)
    known = store.read_ranking(tx, incident_id=incident.id)
    if known is None:
        found = logic.rank(candidates, incident_id=incident.id, onset_at=onset_at, now=tx.now, comparisons={})
        write(tx, incident=incident, found=found, looks=0, verdicts={})
    due.schedule(tx, kind=RANK, subject=incident.id, due_at=tx.now)


def write(tx: Tx, *, incident: Incident, found: Ranking, looks: int, verdicts: dict[UUID, Verdict]) -> None:
    """Keep a ranking and its line of evidence; a new top suspect is an entry in the timeline."""
    known = store.read_ranking(tx, incident_id=incident.id)
    before = known[0].suspects[0].change_id if known and known[0].suspects else None
    store.write_ranking(tx, found=found, looks=looks, verdicts=verdicts)
    line = logic.line_of(found)
    said = []
    if line is not None:
        top = found.suspects[0]
        action = None
        if top.service_id is not None and top.reversible is not False:
            label = f"Roll back {top.service} {top.version or ''}".strip()
            action = EvidenceAction(name=ROLL_BACK, subject=top.change_id, label=label)
        said = [EvidenceLine(text=line, action=action)]
    incidents.put_evidence(tx, incident=incident, source=SOURCE, lines=said)
    if line is not None and found.suspects[0].change_id != before:
        incidents.explain(
            tx,
            incident,
            "incident.suspected",
            actor=system("suspects"),
            why=line,
            data={
                "change_id": str(found.suspects[0].change_id),
                "title": logic.title_of(found.suspects[0]),
                "confidence": found.suspects[0].confidence,
                "considered": found.considered,
            },
        )
    elif line is None and before is not None:
        why = "no change explains it any more"
        incidents.explain(tx, incident, "incident.suspicion_dropped", actor=system("suspects"), why=why)


class Below(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency of a candidate's service, before and after that change."""

    change_id: UUID
    service: str
    measurement: measuring.Measurement


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What telemetry is asked about one incident."""

    incident_id: UUID
    onset_at: datetime
    looks: int
    now: datetime
    candidates: list[Candidate]
    measurements: dict[UUID, measuring.Measurement]
    below: list[Below]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What telemetry said; ``note`` when it could not be asked."""

    verdicts: dict[UUID, Verdict]
    below: dict[UUID, str] = {}
    note: str = ""


class RankSuspects:
    """``incident.suspects``: measure the likeliest changes, rank again, tell whoever acts on it.

    The waits between looks grow; every look may be read, because the test behind it allows for any number.
    """

    kind = RANK
    lease_for = timedelta(seconds=60)

    def __init__(self, *, observer: Asks, on_ranked: Ranked | None = None, undone: Callable[[Tx, UUID], set[UUID]]):
        self._observer = observer
        self._on_ranked = on_ranked
        self._undone = undone

    def prepare(self, tx: Tx, row: DueRow) -> Job | None:
        """The candidates of an incident that is open; None ends the looking."""
        incident = incidents.incident_by_id(tx, incident_id=UUID(row.subject))
        if incident is None or incident.state != "open" or tx.now - incident.opened_at > _STOP_AFTER:
            return None
        onset_at = reads.onset_of(tx, incident=incident)
        candidates = reads.candidates_of(tx, incident=incident, onset_at=onset_at)
        known = store.read_ranking(tx, incident_id=incident.id)
        first = logic.rank(candidates, incident_id=incident.id, onset_at=onset_at, now=tx.now, comparisons={})
        likely = {suspect.change_id for suspect in first.suspects[:MEASURED]}
        measured = [c for c in candidates if c.change_id in likely]
        return Job(
            incident_id=incident.id,
            onset_at=onset_at,
            looks=known[1] if known else 0,
            now=tx.now,
            candidates=candidates,
            measurements=_measurements(tx, measured, incident.environment),
            below=_below(tx, measured, incident.environment),
        )

    def perform(self, job: Job) -> Seen:
        """Ask about each change; an observer that is away is a note, and the ranking goes on without it."""
        verdicts: dict[UUID, Verdict] = {}
        for change_id, measurement in job.measurements.items():
            try:
                found = self._observer.ask(measuring.question(measurement, now=job.now))
            except WatchbillError as error:
                log.info("changes are ranked without telemetry", why=error.problem.message)
                return Seen(verdicts=verdicts, note=f"not measured: {error.problem.message}")
            verdicts[change_id] = measuring.judge(measurement, found)
        below: dict[UUID, str] = {}
        for each in job.below:
            verdict = verdicts.get(each.change_id)
            if verdict is None or verdict.answer != "worse" or each.change_id in below:
                continue
            try:
                found = self._observer.ask(measuring.question(each.measurement, now=job.now))
            except WatchbillError as error:
                # What lies below may be the cause: a change that cannot be told from it is not called worse.
                verdicts[each.change_id] = msgspec.structs.replace(verdict, answer="undecided", confidence=0.0)
                return Seen(verdicts=verdicts, below=below, note=f"not all measured: {error.problem.message}")
            if measuring.judge(each.measurement, found).answer == "worse":
                below[each.change_id] = each.service
        return Seen(verdicts=verdicts, below=below)

    def settle(self, tx: Tx, row: DueRow, job: Job, outcome: Seen, /) -> None:
        """Rank with what was seen, and look again later."""
        incident = incidents.lock_incident(tx, incident_id=job.incident_id)
        if incident is None or incident.state != "open":
            return
        found = logic.rank(
            job.candidates,
            incident_id=incident.id,
            onset_at=job.onset_at,
            now=tx.now,
            comparisons={change_id: short(verdict) for change_id, verdict in outcome.verdicts.items()},
            undone=self._undone(tx, incident.id),
            below=outcome.below,
            note=outcome.note,
        )
        write(tx, incident=incident, found=found, looks=job.looks + 1, verdicts=outcome.verdicts)
        if self._on_ranked is not None:
            self._on_ranked(tx, incident, found)
        due.schedule(tx, kind=RANK, subject=row.subject, due_at=tx.now + wait_after(job.looks + 1))


def wait_after(looks: int) -> timedelta:
    """5 s six times, then 15 s eight times, then a minute."""
    return timedelta(seconds=5 if looks <= 6 else 15 if looks <= 14 else 60)


def _measurements(tx: Tx, candidates: list[Candidate], environment: str) -> dict[UUID, measuring.Measurement]:
    services = {c.service_id for c in candidates if c.service_id is not None and c.distance is not None}
    names = {service.id: service.telemetry_name for service in catalog.services(tx, ids=services)} if services else {}
    return {
        c.change_id: measuring.Measurement(
            service_name=names[c.service_id],
            environment=environment,
            changed_at=c.started_at,
            version=c.version if c.kind in ("deploy", "rollback") else None,
            previous_version=c.previous_version,
            until=c.undone_at,
        )
        for c in candidates
        if c.service_id in names and c.same_environment
    }


def _below(tx: Tx, candidates: list[Candidate], environment: str) -> list[Below]:
    """What the measured services depend on directly: when that got worse too, it may well be the cause."""
    found = []
    for c in candidates:
        if c.service_id is None or c.distance is None or not c.same_environment:
            continue
        depends_on = catalog.dependencies(tx, service_id=c.service_id).depends_on
        for service in catalog.services(tx, ids=depends_on) if depends_on else []:
            measurement = measuring.Measurement(
                service_name=service.telemetry_name,
                environment=environment,
                changed_at=c.started_at,
                version=None,
                previous_version=None,
                until=c.undone_at,
            )
            found.append(Below(change_id=c.change_id, service=service.name, measurement=measurement))
    return found[:_MOST_BELOW]
