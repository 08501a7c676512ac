"""Whether the watches over Kubernetes clusters are well. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from watchbill.features.changes.deployment_store import Watched
from watchbill.kernel.errors import Problem

BEHIND_AFTER = timedelta(minutes=2)
"""A watch is heard of at least twice a minute."""


def behind(one: Watched, *, now: datetime) -> timedelta:
    """How long ago everything that had happened in the cluster was known."""
    return max(now - (one.heard_at or one.began_at), timedelta(0))


def problem_of(one: Watched, *, now: datetime) -> Problem | None:
    """What is wrong with a watch, since when, and how to mend it."""
    where = f"{one.cluster}/{one.namespace}" if one.namespace else one.cluster
    late = behind(one, now=now)
    if one.trouble is not None:
        since = f"since {one.trouble_since_at:%Y-%m-%d %H:%M:%S} UTC" if one.trouble_since_at else "now"
        refused = one.trouble_code == "cluster_refuses"
        return Problem(
            code="kubernetes_refused" if refused else "kubernetes_away",
            message=f"Deployments of {where} are not watched {since}: {one.trouble}",
            hint="give the worker's account list and watch on deployments.apps (docs/guides/watch-kubernetes.md)"
            if refused
            else "see the worker's log; what happens meanwhile is told once the cluster answers",
            severity="warning",
        )
    if late > BEHIND_AFTER:
        return Problem(
            code="kubernetes_behind",
            message=f"the watch over Deployments of {where} was last heard of {_ago(late)} ago",
            hint="start a worker with WATCHBILL_KUBERNETES; is the cluster no longer to be watched, "
            f"`watchbill deploy watches --forget {one.cluster}`",
            severity="warning",
        )
    return None


def problems_of(found: Iterable[Watched], *, now: datetime) -> list[Problem]:
    """Of every watch that is not well."""
    return [problem for one in found if (problem := problem_of(one, now=now)) is not None]


def _ago(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
