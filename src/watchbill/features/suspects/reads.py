"""What is known about an incident's changes: candidates on its path, and when the trouble began."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from watchbill.features import alerts, catalog, changes, incidents
from watchbill.features.changes import Change
from watchbill.features.incidents import Incident
from watchbill.features.suspects import paths
from watchbill.features.suspects.logic import WINDOW
from watchbill.features.suspects.measuring import Measurement
from watchbill.features.suspects.model import Candidate, TracedPath
from watchbill.runtime.db import Tx

ELSEWHERE = 200
"""Changes off the path that are looked at, the newest: without a declared path one of them may still be it."""


NEAR = 1000
"""Changes on the path that are looked at, the newest: half of what older ones weigh is gone after two hours."""


def onset_of(tx: Tx, *, incident: Incident) -> datetime:
    """When the trouble began: the first start that an alert of it tells, else the incident's opening."""
    started = [alert.started_at for alert in alerts.alerts_of_incident(tx, incident_id=incident.id)]
    return min([*started, incident.opened_at])


def symptoms_of(tx: Tx, *, incident: Incident) -> list[str]:
    """What telemetry calls the services that hurt, in the order they joined."""
    services = incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, [])
    names = {one.id: one.telemetry_name for one in catalog.services(tx, ids=services)} if services else {}
    return [names[id] for id in services if id in names]


def candidates_of(tx: Tx, *, incident: Incident, onset_at: datetime, path: TracedPath | None = None) -> list[Candidate]:
    """The changes of the day before the onset: all on the incident's path, which know how far away, and the newest.

    The path is what manifests declare, and what traces through the symptom showed (``path``).
    """
    services = incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, [])
    distances = catalog.distances(tx, service_ids=services) if services else {}
    called = _called(tx, path)
    start_at, end_at = onset_at - WINDOW, onset_at + timedelta(minutes=1)
    on_path = {*distances, *called}
    near = (
        changes.changes_between(tx, start_at=start_at, end_at=end_at, service_ids=on_path, limit=NEAR)
        if on_path
        else []
    )
    known = {change.id for change in near}
    newest = changes.changes_between(tx, start_at=start_at, end_at=end_at, limit=ELSEWHERE)
    far = [change for change in newest if change.id not in known]
    found = [
        _candidate(change, distances, incident.environment) for change in [*near, *far] if change.state != "cancelled"
    ]
    return paths.place(found, names=called, path=path)


def _called(tx: Tx, path: TracedPath | None) -> dict[UUID, str]:
    """The services on the traced path, with what telemetry calls each."""
    if path is None or not path.steps:
        return {}
    return catalog.services_in_telemetry(tx, names=path.steps)


def _candidate(change: Change, distances: dict[UUID, int], environment: str) -> Candidate:
    return Candidate(
        change_id=change.id,
        service_id=change.service_id,
        service=change.service_name,
        kind=change.kind,
        version=change.version,
        previous_version=change.previous_version,
        started_at=change.started_at,
        finished_at=change.finished_at,
        reversible={"yes": True, "no": False, "unknown": None}[change.reversible],
        distance=distances.get(change.service_id) if change.service_id else None,
        declared=distances.get(change.service_id) if change.service_id else None,
        path_source="declared" if change.service_id in distances else None,
        same_environment=change.environment == environment,
        is_rollback=change.kind == "rollback",
        undone_at=change.updated_at if change.state == "rolled_back" else None,
    )


def measurement_of(
    tx: Tx,
    *,
    service: str,
    telemetry_name: str,
    environment: str,
    canary: str,
    control: str | None,
    since: datetime | None,
) -> Measurement:
    """What to compare for a version that a person asks about; the ledger of changes fills in what they leave out."""
    if since is None or control is None:
        known = [
            change
            for change in changes.newest_changes(tx, service_name=service, environment=environment, limit=50)
            if change.version == canary
        ]
        if known and since is None:
            since = known[0].started_at
        if known and control is None:
            control = known[0].previous_version
    return Measurement(
        service_name=telemetry_name,
        environment=environment,
        changed_at=since or tx.now - timedelta(minutes=30),
        version=canary,
        previous_version=control,
    )
