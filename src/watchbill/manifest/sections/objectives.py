"""``operations[].objectives`` of a Service: what is promised. Contributed by the feature *slo*."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from watchbill.features import slo
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Duration, Part, Percent, Text
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, ServiceItem, World


class Objective(Part, frozen=True, kw_only=True):
    """A share of good events over a window; with ``threshold``, good means answered within it."""

    name: Annotated[Text, Meta(description="Such as availability or latency; unique in the operation.")]
    target: Percent
    threshold: Annotated[Duration, Meta(description="Makes it a latency objective.")] | None = None
    window: Duration = "30d"


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Each objective can be kept and measured, and is named once in its operation."""
    for item in bundle.services:
        for index, operation in enumerate(item.operations):
            names: set[str] = set()
            for at, objective in enumerate(operation.objectives or ()):
                path = ("spec", "operations", index, "objectives", at)
                if objective.name in names:
                    yield item.problem(
                        "manifest.duplicate",
                        f"the objective '{objective.name}' is given twice for '{operation.name}'",
                        (*path, "name"),
                        "give each objective of an operation its own name",
                    )
                names.add(objective.name)
                yield from _check_one(item, path, objective)


def _check_one(item: ServiceItem, path: tuple[str | int, ...], objective: Objective) -> Iterator[Problem]:
    if objective.name == "latency" and objective.threshold is None:
        yield item.problem(
            "manifest.missing",
            "a latency objective needs a threshold",
            path,
            "add threshold: 300ms (answered within that counts as good)",
        )
        return
    for problem in _problems_of(_as_objective(objective)):
        where = (*path, problem.field) if problem.field else path
        yield item.problem(problem.code, problem.message, where, problem.hint or "", severity=problem.severity)


_seen: dict[slo.Objective, tuple[Problem, ...]] = {}


def _problems_of(objective: slo.Objective) -> tuple[Problem, ...]:
    """`slo.check_objective`, remembered: ten thousand services promise the same few things."""
    if objective not in _seen:
        if len(_seen) > 1000:
            _seen.clear()
        # the length of a slice is a setting of the server; what fails with the finest one fails with any
        _seen[objective] = tuple(slo.check_objective(objective, slice_seconds=1))
    return _seen[objective]


def apply(tx: Tx, applying: Applying) -> None:
    """Hand the objectives of every service that is written to *slo*; those of removed services are retired."""
    wanted = [
        slo.ObjectiveSpec(
            operation_id=applying.operation_ids[applying.service_ids[item.name], operation.name],
            service_id=applying.service_ids[item.name],
            environment=operation.environment,
            **{name: getattr(objective, name) for name in ("name", "target", "window", "threshold")},
        )
        for item in applying.services
        for operation in item.operations
        for objective in _objectives(operation.objectives, item.manifest.spec.tier)
    ]
    service_ids = [applying.service_ids[item.name] for item in applying.services] + applying.removed_services
    if service_ids:
        slo.sync_all(tx, service_ids=service_ids, objectives=wanted, actor=applying.actor)


def _objectives(written: list[Objective] | None, tier: int) -> list[slo.Objective]:
    """As written; by tier where nothing is written; none where the list is empty."""
    return slo.default_objectives(tier) if written is None else [_as_objective(each) for each in written]


def _as_objective(written: Objective) -> slo.Objective:
    threshold = None if written.threshold is None else parse_duration(written.threshold)
    return slo.Objective(
        **{**msgspec.structs.asdict(written), "window": parse_duration(written.window), "threshold": threshold}
    )
