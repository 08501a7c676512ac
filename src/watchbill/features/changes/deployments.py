"""Telling of Kubernetes rollouts: under a lease, from what is remembered, each exactly once.

What was last seen of every Deployment stands in a table, written in the transaction that tells of it. So a watch that
is begun again, by this worker or another, goes on where the last one stopped; what is shown to it twice is no news.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from watchbill.features import alerts, catalog
from watchbill.features.changes import actions, deployment_store, finding, rollouts, sameness, store
from watchbill.features.changes.model import ROLLS, Change, ChangeKind, ChangeReport
from watchbill.features.changes.rollouts import KnownDeployment, MissedRollout, SeenDeployment, Step
from watchbill.kernel.errors import Conflict, NotFound, WatchbillError
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

INTEGRATION = "kubernetes"
LEFT_OPEN_FOR = timedelta(hours=1)
"""A change that was said to begin and never to end is ended this long after its rollout was complete."""
_LOOK_BACK = timedelta(hours=6)
_OLDEST = timedelta(days=300)
"""A rollout that has been stuck for longer is told as this old."""
_ME = ledger.system("kubernetes")
_GAVE_UP = "ProgressDeadlineExceeded"
_NOUNS: dict[ChangeKind, str] = {"rollback": "Back to", "deploy": "Deploy"}

log = structlog.get_logger("watchbill.deployments")


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """The right to tell of one namespace (``""``: all) of a cluster; ``environment`` where a Deployment names none."""

    cluster: str
    namespace: str
    lease: UUID
    environment: str = "production"

    @property
    def key(self) -> dict[str, object]:
        """As the store wants it."""
        return {"cluster": self.cluster, "namespace": self.namespace, "lease": self.lease}


def see_deployment(
    tx: Tx, *, hold: Hold, seen: SeenDeployment, first_look: bool = False, missed: Sequence[MissedRollout] = ()
) -> KnownDeployment:
    """Take in one sight of a Deployment; returns what is remembered of it from now on.

    Raises:
        Conflict: the lease is lost; somebody else tells of this cluster now, and nothing was changed.
    """
    _require(tx, hold)
    known = deployment_store.known(tx, cluster=hold.cluster, uid=seen.uid)
    judged = rollouts.judge(known, seen, cluster=hold.cluster, first_look=first_look, now=tx.now)
    steps = list(judged.steps)
    if known is not None and missed:
        since = known.started_at or tx.now - timedelta(days=30)
        unseen = rollouts.missed_steps(known, missed, since=since)
        last = unseen[-1].version if unseen else None
        steps = [
            *unseen,
            *(msgspec.structs.replace(s, previous=last) if last and s.told == "started" else s for s in steps),
        ]
    if known is not None and judged.known == known and not steps:
        return known
    service = _service_of(tx, seen.names, named=seen.named)
    environment = seen.environment or hold.environment
    after = msgspec.structs.replace(judged.known, service=service, environment=environment)
    if steps:
        finding.take_turns(tx, service=service)  # before any change is held, as reporters do
    change_id = known.change_id if known is not None else None
    for step in steps:
        change_id = _tell(tx, hold, seen, after, step, change_id=change_id)
    after = msgspec.structs.replace(after, change_id=change_id)
    deployment_store.write_known(tx, after, scope=hold.namespace)
    if any(step.told in ("finished", "failed") for step in steps) and change_id is not None:
        _end_shared(tx, hold, change_id)
    return after


def lose_deployment(tx: Tx, *, hold: Hold, uid: str) -> int:
    """A Deployment was deleted: what went on is cancelled, and the deletion is a change.

    Raises:
        Conflict: the lease is lost.
    """
    _require(tx, hold)
    known = deployment_store.known(tx, cluster=hold.cluster, uid=uid)
    if known is None:
        return 0
    where = f"{known.namespace}/{known.name}"
    running = store.change_by_id(tx, id=known.change_id) if known.change_id else None
    deployment_store.delete_known(tx, cluster=hold.cluster, uid=uid)
    if running is not None and known.state == "rolling" and running.source == INTEGRATION:
        _report_again(tx, running, state="cancelled", at=tx.now, note=f"the Deployment {where} was deleted")
    _record(
        tx,
        ChangeReport(
            service=known.service,
            state="finished",
            kind="config",
            environment=known.environment,
            external_id=f"{hold.cluster}/{uid}/deleted",
            title=f"Deployment {where} was deleted",
            version=rollouts.version_of(known),
            note=f"seen in the cluster {hold.cluster}",
        ),
    )
    return 1


def known_deployments(tx: Tx, *, hold: Hold) -> dict[str, KnownDeployment]:
    """What is remembered of this namespace, by uid."""
    return {one.uid: one for one in deployment_store.known_in(tx, cluster=hold.cluster, scope=hold.namespace)}


def forget_cluster(tx: Tx, *, cluster: str, actor: ledger.Actor) -> None:
    """Forget what is known of a cluster that is no longer watched; its changes stay.

    Raises:
        NotFound: there is no such watch.
    """
    if not deployment_store.forget(tx, cluster=cluster):
        raise NotFound(f"no cluster '{cluster}' is watched", hint="see `watchbill deploy watches`")
    ledger.append(tx, name="cluster.forgotten", actor=actor, subject=("cluster", cluster))


def end_left_open(tx: Tx, *, hold: Hold) -> int:
    """End changes that a pipeline began and forgot, an hour after Kubernetes had them complete; returns how many.

    Raises:
        Conflict: the lease is lost.
    """
    _require(tx, hold)
    found = deployment_store.left_open(tx, cluster=hold.cluster, scope=hold.namespace, before_at=tx.now - LEFT_OPEN_FOR)
    for change_id in found:
        one = store.change_by_id(tx, id=change_id)
        ends = [each.ended_at for each in deployment_store.of_change(tx, change_id=change_id) if each.ended_at]
        if one is not None and ends:
            note = "nobody said how it ended; Kubernetes had it complete"
            _report_again(tx, one, state="finished", at=max(ends), note=note)
    return len(found)


def _require(tx: Tx, hold: Hold) -> None:
    if not deployment_store.write_held(tx, cluster=hold.cluster, namespace=hold.namespace, lease=hold.lease):
        raise Conflict("another worker watches this cluster now", code="lease_lost")


def _tell(
    tx: Tx, hold: Hold, seen: SeenDeployment, known: KnownDeployment, step: Step, *, change_id: UUID | None
) -> UUID | None:
    """Tell one step; returns the change that the rollout is from now on."""
    if step.told == "started":
        return _start(tx, hold, seen, known, step)
    if step.told == "missed":
        id = f"{hold.cluster}/{seen.uid}/revision/{step.revision}"
        _record(tx, _report(tx, hold, seen, known, step, external_id=id))
        return change_id
    running = store.change_by_id(tx, id=change_id) if change_id is not None else None
    if running is not None and step.told == "cancelled" and running.source == INTEGRATION:
        _report_again(tx, running, state="cancelled", at=step.at, note=step.why)
    return change_id


def _end_shared(tx: Tx, hold: Hold, change_id: UUID) -> None:
    """End a change when the last of the Deployments that go out with it has ended: failed if any of them failed."""
    running = store.change_by_id(tx, id=change_id)
    parts = deployment_store.of_change(tx, change_id=change_id)
    if running is None or any(one.state == "rolling" for one in parts):
        return
    failed = [one for one in parts if one.state == "failed"]
    ends = [one.ended_at for one in parts if one.ended_at is not None]
    at = max(ends, default=tx.now)
    if failed:
        where = ", ".join(f"{one.namespace}/{one.name}" for one in failed)
        note = f"Kubernetes ({hold.cluster}): {_GAVE_UP} of {where}"
        # Who said that it is finished may have meant that it was handed over. The first end stands, with this beside.
        _report_again(tx, running, state="failed" if running.state == "started" else None, at=at, note=note)
    elif running.source == INTEGRATION or (running.state == "failed" and _GAVE_UP in running.note):
        _report_again(tx, running, state="finished", at=at, note=None)


def _start(tx: Tx, hold: Hold, seen: SeenDeployment, known: KnownDeployment, step: Step) -> UUID:
    report = _report(tx, hold, seen, known, step, external_id=f"{hold.cluster}/{seen.uid}/{seen.generation}")
    finding.take_turns(tx, service=report.service)
    told = _told_before(tx, report, step, uid=seen.uid, cluster=hold.cluster)
    if told is not None:
        if report.version and told.version and not sameness.names_version(told, report.version):
            _report_again(tx, told, state=None, at=step.at, note=f"Kubernetes calls it {report.version}")
        return told.id
    return _record(tx, report)


def _report(
    tx: Tx, hold: Hold, seen: SeenDeployment, known: KnownDeployment, step: Step, *, external_id: str
) -> ChangeReport:
    service, environment = known.service, known.environment
    version = _as_spelled_before(tx, service, environment, step.version)
    where = f"{seen.namespace}/{seen.name}"
    noun = f"{_NOUNS[step.kind]} {version or service}" if step.kind in _NOUNS else f"Configuration of {service}"
    return ChangeReport(
        service=service,
        state="finished" if step.told == "missed" else step.told,
        kind=step.kind,
        environment=environment,
        external_id=external_id,
        title=seen.cause or noun,
        version=version,
        previous_version=_as_spelled_before(tx, service, environment, step.previous)
        if step.kind in ROLLS and step.previous != step.version
        else None,
        commits=list(seen.commits),
        author=seen.author,
        occurred_at=max(step.at, tx.now - _OLDEST),
        note=f"Deployment {where} in the cluster {hold.cluster}: {step.why}",
    )


def _record(tx: Tx, report: ChangeReport) -> UUID:
    source = alerts.builtin_integration(tx, name=INTEGRATION)
    done = actions.record_change(tx, report=report, integration_id=source.id, source=INTEGRATION, actor=_ME)
    return done.change.id


def _report_again(tx: Tx, one: Change, *, state: str | None, at: object, note: str | None) -> None:
    """Say more of a change that there is, whoever told it first; without a state it stays as it is."""
    said = note if not one.note or note is None or note in one.note else f"{one.note}; {note}"
    held = "finished" if one.state == "rolled_back" else one.state
    report = msgspec.convert(
        {
            "service": one.service_name,
            "state": state or held,
            "kind": one.kind,
            "environment": one.environment,
            "external_id": one.external_id,
            "occurred_at": at,
            "note": said,
        },
        ChangeReport,
    )
    try:
        with tx.savepoint():
            actions.record_change(tx, report=report, integration_id=one.integration_id, source=one.source, actor=_ME)
    except WatchbillError as error:
        log.warning("the end of a rollout could not be told", change=str(one.id), why=error.problem.message)


def _told_before(tx: Tx, report: ChangeReport, step: Step, *, uid: str, cluster: str) -> Change | None:
    """The change that this rollout is, as a pipeline, a webhook or another Deployment of the service told it."""
    near = store.of_place(
        tx,
        service_name=report.service,
        environment=report.environment,
        since_at=step.at - _LOOK_BACK,
        kinds=[*ROLLS, "config"],
    )
    own = f"{cluster}/{uid}/"
    for one in near:
        if one.source == INTEGRATION:
            if one.external_id.startswith(own) or abs(one.started_at - step.at) > sameness.UNVERSIONED_WITHIN:
                continue
        elif any(part.uid == uid for part in deployment_store.of_change(tx, change_id=one.id)):
            continue  # it was an earlier rollout of this very Deployment
        later = [other for other in near if other.id != one.id]
        if sameness.same_deploy(
            one, version=report.version, kind=report.kind, commits=report.commits, at=step.at, later=later
        ):
            return one
    return None


def _as_spelled_before(tx: Tx, service: str, environment: str, version: str | None) -> str | None:
    """The version as the ledger has it already, where an image's tag and a pipeline's word mean the same."""
    if version is None:
        return None
    before = store.placed(tx, service_name=service, environment=environment, before_at=tx.now, limit=20)
    return next((one.version for one in before if sameness.same_version(one.version, version)), version)


def _service_of(tx: Tx, names: Sequence[str], *, named: bool) -> str:
    """The catalog's name of the service: the first of the names that it knows, by its own name or by telemetry's.

    A name that was written for us is taken as it is, known or not.
    """
    for name in names[:1] if named else names:
        service = catalog.service_by_name(tx, name=name)
        if service is not None:
            return service.name
    if named:
        return names[0]
    by_telemetry = {service.telemetry_name: service.name for service in catalog.services(tx)}
    return next((by_telemetry[name] for name in names if name in by_telemetry), names[0])
