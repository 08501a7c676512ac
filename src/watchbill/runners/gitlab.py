"""Trigger a GitLab pipeline that reverts, and wait for it (GitLab REST API: pipeline triggers, pipelines)."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from watchbill.features.rollback.plans import Gitlab
from watchbill.runners.base import Context, Refused, Result

_OVER = {"success": "succeeded", "failed": "failed", "canceled": "failed", "skipped": "failed"}


def run(context: Context) -> Result:
    """Succeeded when the pipeline's status is ``success``."""
    plan = context.plan(Gitlab)
    said = f"a pipeline of {plan.project} on {plan.ref}"
    if context.task.dry_run:
        context.say(f"would trigger {said} with {dict(plan.variables)}")
        return Result(outcome="succeeded", message=f"would trigger {said}")
    base = f"{plan.api.rstrip('/')}/projects/{quote(plan.project, safe='')}"
    form = {"token": context.secret(plan.trigger_token), "ref": plan.ref}
    form |= {f"variables[{name}]": value for name, value in context.resolved(plan.variables).items()}
    context.say(f"triggering {said}")
    answer = context.call(
        "POST",
        f"{base}/trigger/pipeline",
        content=urlencode(form).encode(),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    found = context.wanted(answer, "GitLab") or {}
    if "id" not in found:
        raise Refused("GitLab did not say which pipeline it began")
    context.say(f"pipeline {found['id']}: {found.get('web_url', '')}")
    headers = {"private-token": context.secret(plan.token)}
    last = ""
    while True:
        now = context.wanted(context.call("GET", f"{base}/pipelines/{found['id']}", headers=headers), "GitLab") or {}
        if now.get("status") != last:
            last = str(now.get("status"))
            context.say(f"status: {last}")
        if last in _OVER:
            message = f"pipeline {found['id']} ended: {last}"
            return Result(outcome="succeeded" if _OVER[last] == "succeeded" else "failed", message=message)
        context.wait()
