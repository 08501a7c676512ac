"""Argo CD notifications, sent with the template of docs/guides/record-your-deploys.md (they have no fixed body).

The keys of the body are those of an Application's ``status.operationState``:
https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
"""

from __future__ import annotations

from typing import Literal

from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import Headers, Parsed, Told, environment_of, instant, json_object, link, text

_PHASE: dict[str, Literal["started", "finished", "failed", "cancelled"]] = {
    "running": "started",
    "succeeded": "finished",
    "failed": "failed",
    "error": "failed",
    "terminating": "cancelled",
}

_MISSING = "<no value>"
"""What Go's templates write for what is not there: nobody's name when Argo CD syncs by itself."""


def parse(body: bytes, headers: Headers) -> Parsed:  # noqa: ARG001  the shape of every format
    """The sync that a notification speaks of. One sync is an application and the time it began."""
    data = {key: value for key, value in json_object(body).items() if value != _MISSING}
    app, phase = text(data, "app"), (text(data, "phase") or "").lower()
    state = _PHASE.get(phase)
    if app is None or state is None:
        return Parsed(ignored=f"no sync of an application: app '{app}', phase '{phase[:40]}'")
    service, started, revision = text(data, "service"), text(data, "startedAt"), text(data, "revision")
    report = ChangeReport(
        service=service or app,
        state=state,
        kind="rollback" if str(data.get("rollback")).lower() == "true" else "deploy",
        environment=environment_of(text(data, "environment")),
        external_id=f"{app}/{started or revision}"[:500],
        version=text(data, "version") or (revision[:40] if revision else None),
        commits=[revision] if revision else [],
        author=text(data, "author", "initiatedBy"),
        occurred_at=instant(data.get("startedAt") if state == "started" else data.get("finishedAt")),
        links=link("Argo CD", text(data, "url")),
    )
    return Parsed(told=(Told(report=report, named=service is not None, repository=text(data, "repository")),))
