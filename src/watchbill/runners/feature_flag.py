"""Set a feature flag to its safe variant, and see by OFREP that clients will get it.

OFREP: OpenFeature Remote Evaluation Protocol, ``POST /ofrep/v1/evaluate/flags/{key}``.
"""

from __future__ import annotations

from urllib.parse import quote

from watchbill.features.rollback.plans import FeatureFlag
from watchbill.runners.base import Context, Result


def run(context: Context) -> Result:
    """PUT the variant; with ``ofrepUrl`` it succeeded only when an evaluation gives that variant."""
    plan = context.plan(FeatureFlag)
    said = f"{plan.flag} to {plan.variant}"
    if context.task.dry_run:
        context.say(f"would set {said} at {plan.url}")
        return Result(outcome="succeeded", message=f"would set {said}")
    headers = context.resolved(plan.headers)
    body = {"key": plan.flag, "defaultVariant": plan.variant, "state": "ENABLED"}
    context.say(f"setting {said}")
    context.wanted(context.call("PUT", plan.url, json=body, headers=headers), "the flag's provider")
    if plan.ofrep_url is None:
        return Result(outcome="succeeded", message=f"set {said}; nothing was asked to confirm it")
    evaluate = f"{plan.ofrep_url.rstrip('/')}/ofrep/v1/evaluate/flags/{quote(plan.flag, safe='')}"
    seen = None
    while True:
        asked = {"context": {"targetingKey": "watchbill"}}
        found = context.wanted(context.call("POST", evaluate, json=asked, headers=headers), "OFREP") or {}
        if found.get("variant") != seen:
            seen = found.get("variant")
            context.say(f"clients get {seen}")
        if seen == plan.variant:
            return Result(outcome="succeeded", message=f"set {said}, and clients get it")
        context.wait()
