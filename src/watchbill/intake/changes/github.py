"""GitHub webhooks: ``deployment``, ``deployment_status``, ``deployment_review``, ``release``, ``workflow_run``.

Payloads: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qs

from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import (
    Headers,
    Parsed,
    Told,
    environment_of,
    instant,
    json_object,
    link,
    objects_in,
    part,
    text,
)

State = Literal["started", "finished", "failed", "cancelled"]
_STATUS: dict[str, State] = {
    "pending": "started",
    "queued": "started",
    "in_progress": "started",
    "waiting": "started",
    "success": "finished",
    "failure": "failed",
    "error": "failed",
}
_CONCLUSION: dict[str, State] = {
    "success": "finished",
    "cancelled": "cancelled",
    "skipped": "cancelled",
    "stale": "cancelled",
}


def parse(body: bytes, headers: Headers) -> Parsed:
    """The change that an event speaks of.

    A ``deployment`` names its service by ``payload.service``; else its repository does. A workflow counts when its
    name says deploy; a release counts in the environment ``release``.
    """
    data = json_object(_payload(body, headers))
    event = headers.get("x-github-event", "")
    if event == "deployment":
        return _deployment(data, "started", part(data, "deployment").get("created_at"))
    if event == "deployment_status":
        status = part(data, "deployment_status")
        state = _STATUS.get(str(status.get("state")))
        if state is None:
            return Parsed(ignored=f"a deployment status '{status.get('state')}' ends nothing")
        return _deployment(data, state, status.get("updated_at") or status.get("created_at"), status)
    if event == "deployment_review":
        return _review(data)
    if event == "workflow_run":
        return _workflow(data)
    return _release(data) if event == "release" else _nothing(event)


def _payload(body: bytes, headers: Headers) -> bytes:
    """The JSON; webhooks of content type form, which is GitHub's default, have it in a field."""
    if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return body
    return parse_qs(body.decode("utf-8", "replace")).get("payload", [""])[0].encode()


def _nothing(event: str) -> Parsed:
    return Parsed(ignored="pong" if event == "ping" else f"the event '{event[:60]}' is not one of a change")


def _deployment(data: dict[str, Any], state: State, at: Any, status: dict[str, Any] | None = None) -> Parsed:
    deployment = part(data, "deployment")
    payload = part(deployment, "payload")
    id = text(deployment, "id")
    if id is None:
        return Parsed(ignored="the deployment has no id")
    service = text(payload, "service")
    task = text(deployment, "task") or "deploy"
    report = ChangeReport(
        service=service or _repository(data),
        state=state,
        kind="rollback" if "rollback" in task.lower() else "deploy",
        environment=environment_of(text(deployment, "environment")),
        external_id=f"deployment/{id}",
        title=text(deployment, "description"),
        version=text(payload, "version") or _short(text(deployment, "ref"), text(deployment, "sha")),
        commits=[sha] if (sha := text(deployment, "sha")) else [],
        author=text(part(deployment, "creator"), "login"),
        is_fix=True if payload.get("fix") is True else None,
        waited=(status or {}).get("state") == "in_progress",
        occurred_at=instant(at),
        links=link("GitHub", text(status or {}, "log_url", "target_url", "environment_url")),
    )
    return Parsed(told=(Told(report=report, named=service is not None, repository=_url(data)),))


def _review(data: dict[str, Any]) -> Parsed:
    """Who approved it. The deployment waits meanwhile, and its own events are where it is told."""
    run = part(data, "workflow_run")
    approver, sha = text(part(data, "approver"), "login"), text(run, "head_sha")
    environments = {name for each in objects_in(data, "workflow_job_runs") if (name := text(each, "environment"))}
    if data.get("action") != "approved" or approver is None or sha is None or not environments:
        return Parsed(ignored=f"a review that was {str(data.get('action'))[:20]} approves no deployment")
    told = [
        Told(
            report=ChangeReport(
                service=_repository(data),
                state="started",
                environment=environment_of(name),
                external_id=f"deployment_review/{text(run, 'id')}/{text(run, 'run_attempt') or 1}/{name}"[:500],
                version=_short(None, sha),
                commits=[sha],
                approver=approver,
                occurred_at=instant(data.get("since")),
            ),
            repository=_url(data),
            only_known=True,
        )
        for name in sorted(environments)
    ]
    return Parsed(told=tuple(told))


def _workflow(data: dict[str, Any]) -> Parsed:
    run = part(data, "workflow_run")
    name, id = text(run, "name") or "", text(run, "id")
    if "deploy" not in name.lower() or id is None:
        return Parsed(ignored=f"the workflow '{name[:60]}' does not say deploy")
    completed = data.get("action") == "completed"
    state: State = _CONCLUSION.get(str(run.get("conclusion")), "failed") if completed else "started"
    sha = text(run, "head_sha")
    report = ChangeReport(
        service=_repository(data),
        state=state,
        external_id=f"workflow_run/{id}/{text(run, 'run_attempt') or 1}",
        title=text(run, "display_title") or name,
        version=_short(None, sha),
        commits=[sha] if sha else [],
        author=text(part(run, "actor"), "login"),
        occurred_at=instant(run.get("updated_at") if completed else run.get("run_started_at")),
        committed_at=instant(part(run, "head_commit").get("timestamp")),
        links=link("GitHub run", text(run, "html_url")),
    )
    return Parsed(told=(Told(report=report, repository=_url(data)),))


def _release(data: dict[str, Any]) -> Parsed:
    release = part(data, "release")
    if data.get("action") != "published":
        return _nothing("release")
    report = ChangeReport(
        service=_repository(data),
        state="finished",
        environment="release",
        external_id=f"release/{text(release, 'id')}",
        title=text(release, "name"),
        version=text(release, "tag_name"),
        author=text(part(release, "author"), "login"),
        occurred_at=instant(release.get("published_at")),
        links=link("Release", text(release, "html_url")),
    )
    return Parsed(told=(Told(report=report, repository=_url(data)),))


def _repository(data: dict[str, Any]) -> str:
    return (text(part(data, "repository"), "name") or "unknown").lower()


def _url(data: dict[str, Any]) -> str | None:
    return text(part(data, "repository"), "html_url")


def _short(ref: str | None, sha: str | None) -> str | None:
    """A tag is a version; a branch or a hash is told by the hash's first twelve signs."""
    if ref and (ref[:1].isdigit() or (ref[:1] == "v" and ref[1:2].isdigit())):
        return ref[:200]
    return sha[:12] if sha else ref
