"""Ranking as due work: with the page, and again as evidence grows: claim, ask the observer, settle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from watchbill.features import catalog, incidents
from watchbill.features.incidents import EvidenceAction, EvidenceLine, Incident
from watchbill.features.suspects import logic, looking, reads, store
from watchbill.features.suspects.looking import Asks, Job, Seen
from watchbill.features.suspects.model import Ranking, TracedPath, Verdict
from watchbill.features.suspects.verdict import short
from watchbill.features.telemetry import GetEdges
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow
from watchbill.runtime.ledger import system

RANK = "incident.suspects"
"""Due row: an incident's changes are to be ranked (again)."""
SOURCE = "suspects"
ROLL_BACK = "rollback"
"""The name of the action on a line of evidence."""
REPLY = "undo"
"""The word that does the same by a reply."""
_STOP_AFTER = timedelta(hours=2)
_PATH_KEPT = timedelta(minutes=2)
"""What traces show of the path is asked for again after this."""
_PATH_AROUND = timedelta(seconds=30)
_MOST_SYMPTOMS = 20

Ranked = Callable[[Tx, Incident, Ranking], object]
"""Told in the same transaction that a ranking was written."""


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
            action = EvidenceAction(name=ROLL_BACK, subject=top.change_id, label=label, reply=REPLY)
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
        known = store.read_ranking(tx, incident_id=incident.id)
        path = known[0].path if known else None
        candidates = reads.candidates_of(tx, incident=incident, onset_at=onset_at, path=path)
        ids = {c.service_id for c in candidates if c.service_id is not None}
        depends_on = catalog.dependencies_of(tx, service_ids=ids) if ids else {}
        ids |= {below for each in depends_on.values() for below in each}
        services = catalog.services(tx, ids=ids) if ids else []
        return Job(
            incident_id=incident.id,
            environment=incident.environment,
            onset_at=onset_at,
            looks=known[1] if known else 0,
            now=tx.now,
            candidates=candidates,
            names={service.id: service.telemetry_name for service in services},
            titles={service.id: service.name for service in services},
            depends_on=depends_on,
            path=path,
            ask_path=_path_question(tx, incident, onset_at, path),
            cut=len(candidates) >= reads.NEAR,
        )

    def perform(self, job: Job) -> Seen:
        """Ask for the path, then about each change (`looking.look`)."""
        return looking.look(self._observer, job)

    def settle(self, tx: Tx, row: DueRow, job: Job, outcome: Seen, /) -> None:
        """Rank with what was seen, and look again later."""
        incident = incidents.lock_incident(tx, incident_id=job.incident_id)
        if incident is None or incident.state != "open":
            return
        found = logic.rank(
            outcome.candidates,
            incident_id=incident.id,
            onset_at=job.onset_at,
            now=tx.now,
            comparisons={change_id: short(verdict) for change_id, verdict in outcome.verdicts.items()},
            undone=self._undone(tx, incident.id),
            below=outcome.below,
            note=outcome.note,
            path=outcome.path,
        )
        write(tx, incident=incident, found=found, looks=job.looks + 1, verdicts=outcome.verdicts)
        if self._on_ranked is not None:
            self._on_ranked(tx, incident, found)
        due.schedule(tx, kind=RANK, subject=row.subject, due_at=tx.now + wait_after(job.looks + 1))


def wait_after(looks: int) -> timedelta:
    """5 s six times, then 15 s eight times, then a minute."""
    return timedelta(seconds=5 if looks <= 6 else 15 if looks <= 14 else 60)


def _path_question(tx: Tx, incident: Incident, onset_at: datetime, path: TracedPath | None) -> GetEdges | None:
    """None while what traces showed is young."""
    if path is not None and tx.now - path.looked_at < _PATH_KEPT:
        return None
    symptoms = reads.symptoms_of(tx, incident=incident)[:_MOST_SYMPTOMS]
    if not symptoms:
        return None
    return GetEdges(
        service_names=symptoms,
        environment=incident.environment,
        start_at=onset_at - _PATH_AROUND,
        end_at=max(min(tx.now, onset_at + _PATH_AROUND), onset_at + timedelta(seconds=1)),
    )
