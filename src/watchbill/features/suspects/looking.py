"""What telemetry is asked about an incident: its path in traces, its changes, and what lies below each. No database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol, overload
from uuid import UUID

import msgspec
import structlog

from watchbill.features.suspects import logic, measuring, paths
from watchbill.features.suspects.model import Candidate, TracedPath, Verdict
from watchbill.features.suspects.reads import NEAR
from watchbill.features.telemetry import Edges, GetEdges, GetVersions, Versions
from watchbill.kernel.errors import WatchbillError

log = structlog.get_logger("watchbill.suspects")

MEASURED = 6
"""Changes of one incident that telemetry is asked about."""
PATH_BEFORE = (timedelta(minutes=5), timedelta(minutes=30))
"""So much further back is looked for traces while they are few."""
MOST_BELOW = 30
"""Dependencies that are asked about for each change that looks worse."""


class Asks(Protocol):
    """Where telemetry can be asked for (`telemetry.Observer`)."""

    @overload
    def ask(self, question: GetVersions) -> Versions: ...
    @overload
    def ask(self, question: GetEdges) -> Edges: ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What telemetry is asked about one incident.

    ``names`` are what telemetry calls services, ``titles`` what the catalog calls them; ``depends_on`` is as declared.
    ``path`` is what traces showed before; ``ask_path`` asks for it (again). ``cut``: there are more changes on the path
    than were read.
    """

    incident_id: UUID
    environment: str
    onset_at: datetime
    looks: int
    now: datetime
    candidates: list[Candidate]
    names: dict[UUID, str]
    titles: dict[UUID, str]
    depends_on: dict[UUID, list[UUID]]
    path: TracedPath | None
    ask_path: GetEdges | None
    cut: bool = False


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What telemetry said, and the candidates where it places them; ``note`` when it could not be asked."""

    candidates: list[Candidate]
    path: TracedPath | None
    verdicts: dict[UUID, Verdict] = {}
    below: dict[UUID, str] = {}
    note: str = ""


def look(observer: Asks, job: Job) -> Seen:
    """Ask; an observer that is away is a note, and the ranking goes on without it.

    1. Where traces place the candidates.
    2. How the likeliest did, beside another version or before and after.
    3. Whether what lies below a worse one got worse too: until that is known it is not called worse.
    """
    path, note = job.path, f"only the newest {NEAR} changes of its path are ranked" if job.cut else ""
    if job.ask_path is not None:
        try:
            path = _traced(job.ask_path, _edges(observer, job.ask_path), looked_at=job.now)
        except WatchbillError as error:
            note = f"the path in traces is not known: {error.problem.message}"
    candidates = paths.place(job.candidates, names=job.names, path=path)
    verdicts: dict[UUID, Verdict] = {}
    below: dict[UUID, str] = {}
    unsure: set[UUID] = set()
    try:
        measured = _measured(job, candidates)
        for change_id, (_, measurement) in measured.items():
            unsure.add(change_id)
            found = observer.ask(measuring.question(measurement, now=job.now))
            verdicts[change_id] = measuring.judge(measurement, found)
        for change_id, (one, measurement) in measured.items():
            if verdicts[change_id].answer == "worse":
                culprit = _worse_below(observer, job, measurement, _below(one, job, path))
                if culprit is not None:
                    below[change_id] = culprit
            unsure.discard(change_id)
    except WatchbillError as error:
        log.info("changes are ranked without all of telemetry", why=error.problem.message)
        note = f"not {'all ' if verdicts else ''}measured: {error.problem.message}"
    for change_id in unsure & set(verdicts):
        verdicts[change_id] = _undecided(verdicts[change_id])
    return Seen(candidates=candidates, path=path, verdicts=verdicts, below=below, note=note)


def _measured(job: Job, candidates: list[Candidate]) -> Mapping[UUID, tuple[Candidate, measuring.Measurement]]:
    """The likeliest by time, path and kind, of those on the path."""
    first = logic.rank(candidates, incident_id=job.incident_id, onset_at=job.onset_at, now=job.now, comparisons={})
    likely = {suspect.change_id for suspect in first.suspects[:MEASURED]}
    return {
        c.change_id: (c, _measurement(c, job.names[c.service_id], job.environment))
        for c in candidates
        if c.change_id in likely and c.service_id in job.names and c.distance is not None and c.same_environment
    }


def _worse_below(
    observer: Asks, job: Job, measurement: measuring.Measurement, names: list[tuple[str, str]]
) -> str | None:
    """The first dependency that got worse at the same time."""
    for name, title in names[:MOST_BELOW]:
        other = msgspec.structs.replace(measurement, service_name=name, version=None, previous_version=None)
        if measuring.judge(other, observer.ask(measuring.question(other, now=job.now))).answer == "worse":
            return title
    return None


def _undecided(verdict: Verdict) -> Verdict:
    if verdict.answer != "worse":
        return verdict
    return msgspec.structs.replace(verdict, answer="undecided", confidence=0.0)


def _edges(observer: Asks, question: GetEdges) -> Edges:
    """The minute around the onset tells enough where there is much traffic; where there is little, what was before.

    Raises:
        WatchbillError: not even that minute was told.
    """
    found = observer.ask(question)
    for before in PATH_BEFORE:
        if found.traces >= paths.ENOUGH_TRACES:
            break
        try:
            found = observer.ask(msgspec.structs.replace(question, start_at=question.start_at - before))
        except WatchbillError:
            break  # what is known is better than nothing
    return found


def _traced(question: GetEdges, found: Edges, *, looked_at: datetime) -> TracedPath:
    return paths.traced(
        [(edge.caller, edge.callee) for edge in found.edges],
        symptoms=question.service_names,
        traces=found.traces,
        looked_at=looked_at,
    )


def _measurement(c: Candidate, name: str, environment: str) -> measuring.Measurement:
    return measuring.Measurement(
        service_name=name,
        environment=environment,
        changed_at=c.started_at,
        version=c.version if c.kind in ("deploy", "rollback") else None,
        previous_version=c.previous_version,
        until=c.undone_at,
    )


def _below(c: Candidate, job: Job, path: TracedPath | None) -> list[tuple[str, str]]:
    """What a service depends on directly, as declared and as traces show: when that got worse too, it may well be the
    cause. (Name in telemetry, name for people)."""
    if c.service_id is None:
        return []
    declared = {job.names[id]: job.titles[id] for id in job.depends_on.get(c.service_id, ()) if id in job.names}
    called = path.calls.get(job.names.get(c.service_id, ""), []) if path is not None else []
    known = {name: job.titles[id] for id, name in job.names.items()}
    return list({**{name: known.get(name, name) for name in called}, **declared}.items())
