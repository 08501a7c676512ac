"""Flux's notification-controller, provider ``generic-hmac``: https://fluxcd.io/flux/components/notification/providers/"""

from __future__ import annotations

from typing import Literal

from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import Headers, Parsed, Told, environment_of, instant, json_object, part, text


def parse(body: bytes, headers: Headers) -> Parsed:  # noqa: ARG001  the shape of every format
    """The reconciliation that an event speaks of; one per object, revision and values, so repeats are no news.

    A Helm rollback names the revision that it goes back to, which was told before: each is one of its own.
    """
    data = json_object(body)
    involved, metadata = part(data, "involvedObject"), part(data, "metadata")
    sent_at = instant(data.get("timestamp"))
    kind, name, reason = text(involved, "kind"), text(involved, "name"), text(data, "reason") or ""
    state = _state(reason, text(data, "severity") or "info")
    rolls_back = reason.startswith("Rollback")
    if kind not in ("Kustomization", "HelmRelease") or name is None or state is None:
        return Parsed(ignored=f"'{reason[:60]}' of a {str(kind)[:60]} is no change", sent_at=sent_at)
    told = {key.rpartition("/")[2]: str(value) for key, value in metadata.items() if str(value).strip()}
    revision, values = told.get("revision"), told.get("token")
    service = text(metadata, "service")
    id = [kind, text(involved, "namespace") or "default", name, revision or text(data, "timestamp") or ""]
    id += [values] if values else []
    id += ["rollback", text(data, "timestamp") or ""] if rolls_back else []
    uninstalled = reason.startswith("Uninstall")
    report = ChangeReport(
        service=service or name,
        state=state,
        kind="rollback" if rolls_back else "config" if uninstalled else "deploy",
        environment=environment_of(text(metadata, "environment", "env", "cluster")),
        external_id="/".join(id)[:500],
        title=f"{name} was uninstalled" if uninstalled else None,
        version=(told.get("app-version") or revision or "")[:200] or None,
        note=text(data, "message"),
        occurred_at=sent_at,
    )
    return Parsed(told=(Told(report=report, named=service is not None),), sent_at=sent_at)


def _state(reason: str, severity: str) -> Literal["started", "finished", "failed"] | None:
    if reason.startswith("Test"):
        return None  # a test of what is in place already
    if severity == "error":
        return "failed"
    if reason.endswith("Succeeded"):
        return "finished"
    return "started" if reason == "Progressing" else None
