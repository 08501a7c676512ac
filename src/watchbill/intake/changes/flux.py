"""Flux's notification-controller, provider ``generic-hmac``: https://fluxcd.io/flux/components/notification/providers/"""

from __future__ import annotations

from typing import Literal

from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import Headers, Parsed, Told, environment_of, instant, json_object, part, text


def parse(body: bytes, headers: Headers) -> Parsed:  # noqa: ARG001  the shape of every format
    """The reconciliation that an event speaks of; one per object and revision, so repeats are no news."""
    data = json_object(body)
    involved, metadata = part(data, "involvedObject"), part(data, "metadata")
    sent_at = instant(data.get("timestamp"))
    kind, name, reason = text(involved, "kind"), text(involved, "name"), text(data, "reason") or ""
    state = _state(reason, text(data, "severity") or "info")
    if kind not in ("Kustomization", "HelmRelease") or name is None or state is None:
        return Parsed(ignored=f"'{reason[:60]}' of a {str(kind)[:60]} is no change", sent_at=sent_at)
    revision = next((str(value) for key, value in metadata.items() if key.rpartition("/")[2] == "revision"), None)
    service = text(metadata, "service")
    namespace = text(involved, "namespace") or "default"
    report = ChangeReport(
        service=service or name,
        state=state,
        kind="rollback" if "Rollback" in reason else "deploy",
        environment=environment_of(text(metadata, "environment", "env", "cluster")),
        external_id=f"{kind}/{namespace}/{name}/{revision or text(data, 'timestamp')}"[:500],
        version=revision[:200] if revision else None,
        note=text(data, "message"),
        occurred_at=sent_at,
    )
    return Parsed(told=(Told(report=report, named=service is not None),), sent_at=sent_at)


def _state(reason: str, severity: str) -> Literal["started", "finished", "failed"] | None:
    if severity == "error":
        return "failed"
    if reason.endswith("Succeeded"):
        return "finished"
    return "started" if reason == "Progressing" else None
