"""Roll an Argo CD application back to the deployment before the last one (its REST API, ``/api/v1/applications``)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from watchbill.features.changes import same_version
from watchbill.features.rollback.plans import ArgoCd
from watchbill.runners.base import Context, Refused, Result


def run(context: Context) -> Result:
    """``POST /rollback`` with the id of the history's last entry but one, then wait until it is synced and healthy.

    An application that syncs by itself would undo the rollback: Argo CD refuses it, and so do we, with the words.
    """
    plan = context.plan(ArgoCd)
    base = f"{plan.server.rstrip('/')}/api/v1/applications/{quote(plan.application, safe='')}"
    headers = {"authorization": f"Bearer {context.secret(plan.token)}"}
    found: dict[str, Any] = context.wanted(context.call("GET", base, headers=headers), "Argo CD") or {}
    automated = ((found.get("spec") or {}).get("syncPolicy") or {}).get("automated")
    if automated is not None and automated.get("enabled") is not False:  # an empty mapping switches it on
        raise Refused(f"{plan.application} syncs by itself, which would undo a rollback; revert in Git instead")
    history = (found.get("status") or {}).get("history") or []
    if len(history) < 2:
        raise Refused(f"{plan.application} has no deployment before the last one")
    task = context.task
    named = [each for each in history[:-1] if same_version(each.get("revision"), task.previous_version)]
    target = named[-1] if named else history[-2]
    if same_version(target.get("revision"), task.version):
        raise Refused(f"the deployment before the last one is {task.version} itself: it is undone already")
    said = f"{plan.application} to {target.get('revision', '?')[:12]} (history {target['id']})"
    if context.task.dry_run:
        context.say(f"would roll back {said}")
        return Result(outcome="succeeded", message=f"would roll back {said}")
    context.say(f"rolling back {said}")
    before = ((found.get("status") or {}).get("operationState") or {}).get("startedAt")
    body = {"id": target["id"], "prune": False, "dryRun": False}
    context.wanted(context.call("POST", f"{base}/rollback", json=body, headers=headers), "Argo CD's rollback")
    last = ""
    while True:
        context.wait()
        status = (context.wanted(context.call("GET", base, headers=headers), "Argo CD") or {}).get("status") or {}
        operation = status.get("operationState") or {}
        if operation.get("startedAt") == before:
            continue  # still the operation before ours
        phase = str(operation.get("phase", ""))
        health = str((status.get("health") or {}).get("status", ""))
        if f"{phase} {health}" != last:
            last = f"{phase} {health}"
            context.say(f"operation {phase or 'unknown'}, health {health or 'unknown'}")
        if phase in ("Failed", "Error"):
            why = operation.get("message", "")
            return Result(outcome="failed", message=f"Argo CD: {phase} {why}".strip())
        if phase == "Succeeded" and health in ("Healthy", ""):
            return Result(outcome="succeeded", message=f"rolled back {said}")
