"""Ways to act: one module for each executor. They run on a team's own runner, never inside Watchbill's control."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import msgspec

from watchbill.runners.base import Context, Refused, Result, Stopped

_EXECUTORS: Mapping[str, str] = {
    "shell": "shell:run",
    "webhook": "webhook:run",
    "kubernetes": "kubernetes:run",
    "argoCd": "argo_cd:run",
    "argoRollouts": "kubernetes:run_rollout",
    "featureFlag": "feature_flag:run",
    "github": "github:run",
    "gitlab": "gitlab:run",
}


def execute(context: Context) -> Result:
    """Run the task's executor; whatever goes wrong is a result that says so. No secret leaves with its words."""
    result = _executed(context)
    context.flush()
    return msgspec.structs.replace(result, message=context.blotted(result.message))


def _executed(context: Context) -> Result:
    where = _EXECUTORS.get(context.task.executor)
    if where is None:
        return Result(outcome="failed", message=f"this runner knows no executor '{context.task.executor}'")
    module, _, function = where.partition(":")
    try:
        run = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        result: Result = run(context)
    except Stopped as stopped:
        what = f"took longer than {context.task.timeout_seconds} s" if stopped.outcome == "timed_out" else "was stopped"
        return Result(outcome=stopped.outcome, message=f"it {what}")
    except Refused as refused:
        return Result(outcome="failed", message=str(refused))
    except Exception as error:  # noqa: BLE001  an executor that lies or breaks is an end with a name, not a lost run
        return Result(outcome="failed", message=f"the executor broke: {type(error).__name__}: {error}")
    return result


__all__ = ["Context", "Refused", "Result", "Stopped", "execute"]
