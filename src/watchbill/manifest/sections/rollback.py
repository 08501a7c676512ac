"""``spec.rollback`` of a Service: how it is put back, and whether that may happen alone. Contributed by *rollback*.

Rollback reads it from the service's stored spec (`rollback.rules_of`), so applying it needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from watchbill.features.rollback import plans
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Duration, Name, Part
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, ServiceItem, World

_SECRET_NAMES = ("authorization", "token", "secret", "password", "api-key", "apikey", "private-key")


class Rollback(Part, frozen=True, kw_only=True):
    """Exactly one executor, and the rules. Secrets are references that the runner resolves, never values.

    Texts may hold ``{service}``, ``{environment}``, ``{version}`` and ``{previous_version}``.
    """

    shell: plans.Shell | None = None
    webhook: plans.Webhook | None = None
    kubernetes: plans.Kubernetes | None = None
    argo_cd: plans.ArgoCd | None = None
    argo_rollouts: plans.ArgoRollouts | None = None
    feature_flag: plans.FeatureFlag | None = None
    github: plans.Github | None = None
    gitlab: plans.Gitlab | None = None
    automatic: Annotated[bool, Meta(description="It may act alone when every rule agrees; else a button.")] = False
    confidence: Annotated[
        float, Meta(ge=0.5, le=1, description="Least confidence to act alone.", extra={"expected": "0.5 to 1"})
    ] = 0.9
    kinds: Annotated[
        list[Literal["deploy", "flag", "config"]], Meta(description="Kinds of change that it may undo alone.")
    ] = msgspec.field(default_factory=lambda: ["deploy"])
    runner: Annotated[Name, Meta(description="The one runner to use; any of the team's when left out.")] | None = None
    timeout: Annotated[Duration, Meta(description="The executor is stopped after this.")] = "5m"
    verify_for: Annotated[Duration, Meta(description="How long recovery is looked for afterwards.")] = "10m"
    verify_window: (
        Annotated[
            Duration,
            Meta(description="How long the burn must stay under; the alert's own short window when left out."),
        ]
        | None
    ) = None


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """One executor, sensible times, and no secret written out."""
    for item in bundle.services:
        rollback = item.manifest.spec.rollback
        if rollback is None:
            continue
        path = ("spec", "rollback")
        named = [key for key in plans.EXECUTORS if getattr(rollback, _field(key)) is not None]
        if len(named) != 1:
            said = f"names {' and '.join(named)}" if named else "does not say how"
            hint = f"write exactly one of: {', '.join(plans.EXECUTORS)}"
            yield item.problem("manifest.rollback", f"the rollback of {item.name} {said}", path, hint)
            continue
        for field, least, most in (("timeout", "1s", "1h"), ("verify_for", "10s", "2h"), ("verify_window", "5s", "2h")):
            given = getattr(rollback, field)
            if given is None:
                continue
            if not parse_duration(least) <= parse_duration(given) <= parse_duration(most):
                key = {"verify_for": "verifyFor", "verify_window": "verifyWindow"}.get(field, field)
                yield item.problem(
                    "manifest.value", f"{key} is not between {least} and {most}", (*path, key), "5m is usual"
                )
        if rollback.verify_window is not None and parse_duration(rollback.verify_window) > parse_duration(
            rollback.verify_for
        ):
            yield item.problem(
                "manifest.value",
                "verifyWindow is longer than verifyFor, so nothing could ever be verified",
                (*path, "verifyWindow"),
                "make verifyFor at least twice as long",
            )
        if rollback.automatic and parse_duration(rollback.timeout) > timedelta(minutes=15):
            yield item.problem(
                "manifest.value",
                "a rollback that acts alone and takes more than 15m helps too late",
                (*path, "timeout"),
                "shorten it, or let a person decide",
                severity="warning",
            )
        yield from _check_secrets(item, named[0], getattr(rollback, _field(named[0])))


def _check_secrets(item: ServiceItem, key: str, plan: plans.Plan) -> Iterator[Problem]:
    """A header or variable whose name sounds secret must be a reference."""
    import re

    raw: dict[str, Any] = msgspec.to_builtins(plan)
    for field in ("headers", "environment", "variables", "inputs"):
        for name, value in (raw.get(field) or {}).items():
            secret = any(word in name.lower().replace("_", "-") for word in _SECRET_NAMES)
            if secret and not re.match(plans.SECRET_PATTERN, value):
                yield item.problem(
                    "manifest.secret",
                    f"{name} looks like a secret that is written out",
                    ("spec", "rollback", key, field, name),
                    "write env:NAME or file:/path; the runner reads it on its own machine",
                )


def _field(key: str) -> str:
    return {"argoCd": "argo_cd", "argoRollouts": "argo_rollouts", "featureFlag": "feature_flag"}.get(key, key)


def apply(_tx: Tx, _applying: Applying) -> None:
    """Nothing to do: the stored spec of the service is the rule."""
