"""Use-cases of SLOs: keep the definitions in step with the manifests, and read the states."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import alerts
from watchbill.features.slo import store
from watchbill.features.slo.model import ObjectiveSpec, Slo, SyncResult
from watchbill.features.slo.policy_reads import budget_identity, levels
from watchbill.kernel.errors import Invalid
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


def sync_all(
    tx: Tx, *, service_ids: Collection[UUID], objectives: Sequence[ObjectiveSpec], actor: Actor
) -> SyncResult:
    """Make the SLOs of ``service_ids`` be exactly ``objectives``; others are not touched.

    An SLO keeps its id, its counts and its revisions when its target changes, when it is retired and
    when it comes back: editing does not launder a budget.

    Raises:
        Invalid: two objectives of one operation have the same name.
    """
    wanted = _by_key(objectives)
    known = {(s.operation_id, s.name): s for s in store.slos_of_services(tx, service_ids=service_ids, removed=True)}
    added: list[Slo] = []
    changed: list[Slo] = []
    for key, spec in wanted.items():
        before = known.get(key)
        after = _as_slo(tx, spec, before)
        if before is None or before.removed_at is not None:
            added.append(after)
        elif _promise(before) != _promise(after):
            changed.append(after)
    retired = [s for key, s in known.items() if key not in wanted and s.removed_at is None]
    store.upsert_slos(tx, rows=[_columns(s) for s in [*added, *changed]])
    store.insert_revisions(tx, rows=[_revision(tx, s, actor) for s in [*added, *changed]])
    _end_alerts(tx, retired)
    store.retire_slos(tx, slo_ids=[s.id for s in retired])
    for name, group in (("slo.added", added), ("slo.changed", changed), ("slo.retired", retired)):
        _note(tx, name, group, known, actor)
    return SyncResult(added=len(added), changed=len(changed), retired=len(retired))


def sync_objectives(
    tx: Tx, *, service_id: UUID, objectives: Sequence[ObjectiveSpec], actor: Actor
) -> SyncResult:
    """`sync_all` for one service."""
    return sync_all(tx, service_ids=[service_id], objectives=objectives, actor=actor)


def _end_alerts(tx: Tx, retired: Sequence[Slo]) -> None:
    """A retired SLO cannot fire: nobody would ever resolve its alert."""
    if not retired:
        return
    ids = [slo.id for slo in retired]
    states, known = store.states_of(tx, slo_ids=ids), levels(tx, slo_ids=ids)
    over = [f"slo:{slo.id}" for slo in retired if slo.id in states and states[slo.id].state == "firing"]
    over += [
        budget_identity(slo_id, threshold) for slo_id, of in known.items() for threshold, at in of.items() if at.below
    ]
    if not over:
        return
    names = {str(slo.id): slo.name for slo in retired}
    alerts.accept_events(
        tx,
        integration_id=alerts.builtin_integration(tx, name="slo").id,
        events=[
            alerts.Event(
                identity=identity, action="resolve", title=f"{names[identity.split(':')[1]]}: the objective was removed"
            )
            for identity in over
        ],
    )


def _by_key(objectives: Sequence[ObjectiveSpec]) -> dict[tuple[UUID, str], ObjectiveSpec]:
    wanted: dict[tuple[UUID, str], ObjectiveSpec] = {}
    for spec in objectives:
        key = (spec.operation_id, spec.name)
        if key in wanted:
            raise Invalid(
                f"two objectives of one operation are named '{spec.name}'",
                field="objectives",
                hint="give each objective of an operation its own name",
            )
        wanted[key] = spec
    return wanted


def _as_slo(tx: Tx, spec: ObjectiveSpec, before: Slo | None) -> Slo:
    return Slo(
        id=before.id if before else new_id(),
        operation_id=spec.operation_id,
        service_id=spec.service_id,
        name=spec.name,
        target=spec.target,
        window_seconds=int(spec.window.total_seconds()),
        threshold_ms=round(spec.threshold.total_seconds() * 1000) if spec.threshold is not None else None,
        environment=spec.environment,
        created_at=before.created_at if before else tx.now,
        changed_at=tx.now,
        removed_at=None,
        measure=spec.measure,
    )


def _columns(slo: Slo) -> dict[str, Any]:
    return {**msgspec.structs.asdict(slo), "measure": msgspec.to_builtins(slo.measure)}


def _promise(slo: Slo) -> tuple[Any, ...]:
    return (slo.target, slo.window_seconds, slo.threshold_ms, slo.environment, slo.service_id, slo.measure)


def _revision(tx: Tx, slo: Slo, actor: Actor) -> dict[str, Any]:
    return {
        "slo_id": slo.id,
        "at": tx.now,
        "target": slo.target,
        "window_seconds": slo.window_seconds,
        "threshold_ms": slo.threshold_ms,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
    }


def _note(tx: Tx, name: str, slos: Sequence[Slo], known: dict[tuple[UUID, str], Slo], actor: Actor) -> None:
    """One entry for a few; for a mass apply one entry per service would still be thousands, so one for all."""
    if len(slos) > 100:
        ledger.append(
            tx, name=name, actor=actor, subject=("slo", "many"), why=f"{len(slos)} SLOs by one apply",
            data={"count": len(slos)},
        )
        return
    for slo in slos:
        before = known.get((slo.operation_id, slo.name))
        data: dict[str, Any] = {"name": slo.name, "target": str(slo.target), "window_seconds": slo.window_seconds}
        if name == "slo.changed" and before is not None:
            data["before"] = {"target": str(before.target), "window_seconds": before.window_seconds}
        ledger.append(tx, name=name, actor=actor, subject=("slo", slo.id), data=data)
