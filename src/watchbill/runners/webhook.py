"""Ask a system of the team's own to roll back, by one HTTP request; optionally until it says that it is done."""

from __future__ import annotations

from watchbill.features.rollback.plans import Webhook
from watchbill.runners.base import Context, Refused, Result

_DONE = {"succeeded": "succeeded", "success": "succeeded", "failed": "failed", "failure": "failed", "error": "failed"}


def run(context: Context) -> Result:
    """A 2xx is success; with ``statusUrl`` its JSON's ``status`` is."""
    plan = context.plan(Webhook)
    task = context.task
    if task.dry_run:
        context.say(f"would {plan.method} {plan.url}")
        return Result(outcome="succeeded", message=f"would {plan.method} {plan.url}")
    headers = {**context.resolved(plan.headers), "idempotency-key": str(task.run_id)}
    body = {
        "rollback": task.number,
        "service": task.service,
        "environment": task.environment,
        "version": task.version,
        "previous_version": task.previous_version,
        **context.resolved(plan.body),
    }
    context.say(f"{plan.method} {plan.url}")
    answer = context.call(plan.method, plan.url, json=body, headers=headers)
    context.say(f"{answer.status} {answer.text[:2000]}")
    if not answer.ok:
        return Result(outcome="failed", message=f"{plan.url} answered {answer.status}")
    if plan.status_url is None:
        return Result(outcome="succeeded", message=f"{plan.url} answered {answer.status}")
    said = ""
    while True:
        found = context.wanted(context.call("GET", plan.status_url, headers=headers), plan.status_url)
        status = str(found.get("status", "")) if isinstance(found, dict) else ""
        if not status:
            raise Refused(f'{plan.status_url} does not say a "status"')
        if status != said:
            context.say(f"status: {status}")
            said = status
        if status.lower() in _DONE:
            outcome = "succeeded" if _DONE[status.lower()] == "succeeded" else "failed"
            return Result(outcome=outcome, message=f"{plan.status_url} says {status}")  # type: ignore[arg-type]  # one of two literals
        context.wait()
