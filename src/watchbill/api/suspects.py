"""Suspects of an incident, and verdicts on versions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb, GivenObserver
from watchbill.api.incidents import ACT, Number
from watchbill.api.rollback import service_named
from watchbill.features import incidents, rollback, suspects
from watchbill.features.incidents import Incident
from watchbill.features.suspects import Measurement, Ranking, Suspect, Verdict
from watchbill.features.telemetry import Observer
from watchbill.kernel.errors import Invalid
from watchbill.kernel.ids import new_id
from watchbill.runtime.db import Database, Tx

Samples = Annotated[list[float], msgspec.Meta(max_length=10_000)]


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that speaks for or against; ``weight`` in log-odds."""

    kind: str
    weight: float
    text: str


class SuspectView(msgspec.Struct, frozen=True, kw_only=True):
    """A suspect, what speaks for it, and what may be done: ``action`` is automatic, button or nothing, with reasons."""

    rank: int
    change_id: UUID
    title: str
    service: str
    kind: str
    version: str | None
    previous_version: str | None
    started_at: datetime
    reversible: bool | None
    confidence: float
    answer: str | None
    evidence: list[EvidenceView]
    action: str
    reasons: list[str]


class RankingView(msgspec.Struct, frozen=True, kw_only=True):
    """The suspects of an incident. ``latest`` is the change that came last, which is often not the cause."""

    incident: int
    ranked_at: datetime | None
    onset_at: datetime | None
    considered: int
    latest: UUID | None
    note: str
    suspects: list[SuspectView]


class PushedSamples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of your own, paired in time; ``worse`` says which direction is bad."""

    canary: Samples
    control: Samples
    worse: Literal["increase", "decrease"] = "increase"


class Verify(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to compare: versions as telemetry knows them (``service.version``), or samples that you push.

    ``since`` is when the canary began; what the changes say, else half an hour ago, when left out. ``ratio`` and
    ``points`` are the effect gate: how many times as many, and by how much of all requests, counts as worse.
    """

    canary: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    control: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    environment: Annotated[str, msgspec.Meta(max_length=63)] = "production"
    since: datetime | None = None
    samples: PushedSamples | None = None
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] = 0.05
    ratio: Annotated[float, msgspec.Meta(ge=1.01, le=100)] = 1.5
    points: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.005


class VerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that was given."""

    id: UUID
    service: str
    environment: str
    created_at: datetime
    verdict: Verdict


@get("/incidents/{number:int}/suspects", sync_to_thread=True)
def show_suspects(db: GivenDb, number: Number) -> RankingView:
    """Which changes may have caused an incident, the likeliest first, with the evidence."""
    with db.transaction() as tx:
        incident = incidents.incident_by_number(tx, number=number)
        ranking = rollback.ranking_of(tx, incident=incident)
        if ranking is None:
            return RankingView(
                incident=number, ranked_at=None, onset_at=None, considered=0, latest=None, note="", suspects=[]
            )
        return RankingView(
            incident=number,
            ranked_at=ranking.ranked_at,
            onset_at=ranking.onset_at,
            considered=ranking.considered,
            latest=ranking.latest,
            note=ranking.note,
            suspects=[_view(tx, each, incident, ranking) for each in ranking.suspects],
        )


def _view(tx: Tx, suspect: Suspect, incident: Incident, ranking: Ranking) -> SuspectView:
    undoable = rollback.undoable(tx, change_id=suspect.change_id)
    action, reasons = "nothing", ["nobody owns its service"]
    if undoable is not None:
        decision = rollback.decide(tx, undoable=undoable, incident=incident, ranking=ranking)
        action, reasons = decision.action, decision.reasons
    shared = {name: getattr(suspect, name) for name in SuspectView.__struct_fields__ if hasattr(suspect, name)}
    shared["evidence"] = [EvidenceView(kind=e.kind, weight=e.weight, text=e.text) for e in suspect.evidence]
    return SuspectView(**shared, title=suspects.title_of(suspect), action=action, reasons=reasons)


@post("/services/{name:str}/verify", sync_to_thread=True, opt=ACT, status_code=200)
def verify(
    caller: GivenCaller, db: GivenDb, observer: GivenObserver, name: FromPath[str], data: JSONBody[Verify]
) -> VerdictView:
    """Is this version worse? Ask as often as you like: false alarms stay below ``alpha`` over the whole rollout."""
    del caller
    with db.transaction() as tx:
        service = service_named(tx, name)
        measurement = _measurement(tx, service.name, service.telemetry_name, data)
        now = tx.now
    found = _judge(data, measurement, observer, now)
    return _kept(db, service.id, service.name, data.environment, found)


def _judge(data: Verify, measurement: Measurement, observer: Observer, now: datetime) -> Verdict:
    gate = suspects.Gate(alpha=data.alpha, ratio=data.ratio, points=data.points)
    if data.samples is not None:
        return suspects.judge_samples(
            data.samples.canary,
            data.samples.control,
            canary=data.canary,
            control=data.control or "control",
            direction=data.samples.worse,
            gate=gate,
        )
    return suspects.judge_measured(measurement, observer.ask(suspects.question_of(measurement, now=now)), gate=gate)


def _measurement(tx: Tx, service: str, telemetry_name: str, data: Verify) -> Measurement:
    since = data.since
    if since is not None and since.tzinfo is None:
        raise Invalid("since has no time zone", field="since", hint="write it with an offset or 'Z'")
    if since is not None and since >= tx.now:
        raise Invalid("since lies in the future", field="since", hint="say when the canary began")
    return suspects.measurement_of(
        tx,
        service=service,
        telemetry_name=telemetry_name,
        environment=data.environment,
        canary=data.canary,
        control=data.control,
        since=since,
    )


def _kept(db: Database, service_id: UUID, name: str, environment: str, found: Verdict) -> VerdictView:
    with db.transaction() as tx:
        id = new_id()
        suspects.insert_verdict(tx, id=id, service_id=service_id, environment=environment, found=found)
        return VerdictView(id=id, service=name, environment=environment, created_at=tx.now, verdict=found)


@get("/services/{name:str}/verdicts", sync_to_thread=True)
def list_verdicts(
    db: GivenDb, name: FromPath[str], limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20
) -> list[VerdictView]:
    """Verdicts that were asked for, newest first."""
    with db.transaction() as tx:
        service = service_named(tx, name)
        return [
            VerdictView(
                id=each.id,
                service=service.name,
                environment=each.environment,
                created_at=each.created_at,
                verdict=each.verdict,
            )
            for each in suspects.verdicts_of(tx, service_id=service.id, limit=limit)
        ]


handlers = [show_suspects, verify, list_verdicts]
