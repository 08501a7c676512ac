"""GitLab's deployment events: https://docs.gitlab.com/user/project/integrations/webhook_events/#deployment-events"""

from __future__ import annotations

from typing import Literal

from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import Headers, Parsed, Told, environment_of, instant, json_object, link, part, text

_STATUS: dict[str, Literal["started", "finished", "failed", "cancelled"]] = {
    "running": "started",
    "success": "finished",
    "failed": "failed",
    "canceled": "cancelled",
    "skipped": "cancelled",
}


def parse(body: bytes, headers: Headers) -> Parsed:  # noqa: ARG001  the shape of every format
    """The deployment that an event speaks of; other events are passed over."""
    data = json_object(body)
    if data.get("object_kind") != "deployment":
        return Parsed(ignored=f"the event '{str(data.get('object_kind'))[:60]}' is not one of a deployment")
    state, id = _STATUS.get(str(data.get("status"))), text(data, "deployment_id")
    if state is None or id is None:
        return Parsed(ignored=f"a deployment that is '{str(data.get('status'))[:60]}' has not begun")
    project = part(data, "project")
    commit = (text(data, "commit_url") or "").rpartition("/")[2] or text(data, "short_sha")
    tier = text(data, "environment_tier")
    ref = text(data, "ref")
    tagged = ref is not None and (ref[:1].isdigit() or (ref[:1] == "v" and ref[1:2].isdigit()))
    report = ChangeReport(
        service=(text(project, "name") or "unknown").lower().replace(" ", "-"),
        state=state,
        environment=environment_of(tier if tier == "production" else text(data, "environment")),
        external_id=f"deployment/{text(project, 'id')}/{id}",
        title=text(data, "commit_title"),
        version=ref[:200] if ref is not None and tagged else text(data, "short_sha"),
        commits=[commit] if commit else [],
        author=text(part(data, "user"), "username"),
        occurred_at=instant(data.get("status_changed_at")),
        links=link("GitLab", text(data, "deployable_url")),
    )
    return Parsed(told=(Told(report=report, repository=text(project, "web_url")),))
