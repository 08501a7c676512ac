"""Start a GitHub workflow (``workflow_dispatch``) that reverts, and wait for its run.

GitHub REST API: "Create a workflow dispatch event" answers 204 and no id, so the run is found by its start time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from watchbill.features.rollback.plans import Github
from watchbill.kernel.clock import format_instant
from watchbill.runners.base import Context, Result


def run(context: Context) -> Result:
    """Succeeded when the run's conclusion is ``success``."""
    plan = context.plan(Github)
    said = f"{plan.workflow} of {plan.repository} on {plan.ref}"
    if context.task.dry_run:
        context.say(f"would dispatch {said} with {dict(plan.inputs)}")
        return Result(outcome="succeeded", message=f"would dispatch {said}")
    base = f"{plan.api.rstrip('/')}/repos/{plan.repository}/actions"
    workflow = f"{base}/workflows/{quote(plan.workflow, safe='')}"
    headers = {
        "authorization": f"Bearer {context.secret(plan.token)}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
    }
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    earlier = {each["id"] for each in _runs(context, workflow, headers, since)}
    body = {"ref": plan.ref, "inputs": dict(plan.inputs)}
    context.say(f"dispatching {said}")
    context.wanted(context.call("POST", f"{workflow}/dispatches", json=body, headers=headers), "GitHub")
    number: int | None = None
    last = ""
    while True:
        if number is None:
            begun = [each for each in _runs(context, workflow, headers, since) if each["id"] not in earlier]
            if begun:
                number = min(each["id"] for each in begun)
                context.say(f"run {number}: {begun[0].get('html_url', '')}")
        if number is not None:
            found = context.wanted(context.call("GET", f"{base}/runs/{number}", headers=headers), "GitHub") or {}
            if found.get("status") != last:
                last = str(found.get("status"))
                context.say(f"status: {last}")
            if last == "completed":
                conclusion = found.get("conclusion")
                message = f"the workflow's run {number} ended: {conclusion}"
                return Result(outcome="succeeded" if conclusion == "success" else "failed", message=message)
        context.wait()


def _runs(context: Context, workflow: str, headers: dict[str, str], since: datetime) -> list[dict[str, int]]:
    url = f"{workflow}/runs?event=workflow_dispatch&created={quote('>=' + format_instant(since))}"
    found = context.wanted(context.call("GET", url, headers=headers), "GitHub") or {}
    runs: list[dict[str, int]] = found.get("workflow_runs") or []
    return runs
