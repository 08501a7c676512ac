"""Use-cases that change who will be on call. What was on call is recorded first, and never changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import identity
from watchbill.features.oncall import holidays, logic, plans, store
from watchbill.features.oncall.cadence import cadence
from watchbill.features.oncall.layers import handoffs_of
from watchbill.features.oncall.model import PRIMARY, Override, OverrideKind, TeamRotation
from watchbill.features.oncall.recording import close_record, record_plans
from watchbill.features.oncall.tables import oncall_override
from watchbill.features.oncall.tables import rotation as rotation_table
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

LONGEST_OVERRIDE = timedelta(days=366)


def set_rotations(tx: Tx, *, rotations: Sequence[TeamRotation], actor: ledger.Actor) -> frozenset[UUID]:
    """Give each team its rotation; returns the teams whose rotation changed. Hundreds at once are fast.

    Whoever is on call stays on call where the new rotation still has them and does not set ``starts_at``.

    Raises:
        Invalid: a rotation that cannot be followed; nothing is changed.
    """
    wanted = {spec.team_id: spec for spec in sorted(rotations, key=lambda spec: spec.team_id)}
    for spec in wanted.values():
        check_rotation(spec)
    holidays.ensure(tx, calendars={spec.holidays for spec in wanted.values()} - {""})
    before = plans.load(tx, list(wanted), lock=True)
    changed = [
        spec for team_id, spec in wanted.items() if team_id not in before or before[team_id].stored.rotation != spec
    ]
    if not changed:
        return frozenset()
    record_plans(tx, {spec.team_id: before[spec.team_id] for spec in changed if spec.team_id in before})
    store.put_rotations(tx, [(spec, *_phases(spec, before.get(spec.team_id), tx.now)) for spec in changed])
    after = plans.load(tx, [spec.team_id for spec in changed])
    record_plans(tx, after)
    ledger.append_many(
        tx,
        actor=actor,
        entries=[
            ledger.NewEntry(
                name="rotation.changed" if spec.team_id in before else "rotation.set",
                subject=("team", spec.team_id),
                team_id=spec.team_id,
                data={
                    "version": after[spec.team_id].stored.version,
                    "time_zone": spec.time_zone,
                    **store.rotation_document(spec),
                },
            )
            for spec in changed
        ],
    )
    return frozenset(spec.team_id for spec in changed)


def set_rotation(tx: Tx, *, team_id: UUID, spec: TeamRotation, actor: ledger.Actor) -> bool:
    """`set_rotations` for one team; True when it changed.

    Raises:
        Invalid: the rotation cannot be followed, or is another team's.
    """
    if spec.team_id != team_id:
        raise Invalid("the rotation names another team", field="team_id")
    return bool(set_rotations(tx, rotations=[spec], actor=actor))


def check_rotation(spec: TeamRotation) -> None:
    """Raise unless the schedule can be followed.

    Raises:
        Invalid: every problem of the first layer that has one, each with its field.
    """
    if not spec.layers:
        cadence(spec.every, spec.handoff, spec.starts_at, spec.time_zone)
        return
    for position, layer in enumerate(spec.layers):
        try:
            handoffs_of(layer)
        except Invalid as invalid:
            placed = [
                msgspec.structs.replace(problem, field=f"layers[{position}].{problem.field}")
                for problem in invalid.problems
            ]
            raise Invalid(str(invalid.problem.message), code="rotation_invalid", problems=placed) from invalid


def _phases(spec: TeamRotation, before: plans.Plan | None, now: datetime) -> tuple[int, dict[str, int] | None]:
    """The phase of a simple rotation, and those of layers."""
    if spec.layers:
        if before is None:
            return 0, {}
        was = before.stored
        return 0, logic.phases_that_keep(spec, before=was.rotation, phases=was.phases, at=now)
    if before is None:
        return 0, None
    turns = logic.calculator(before.stored.rotation, phases=before.stored.phases, holidays=before.holidays)
    kept = logic.phase_that_keeps(
        spec, current=turns.at(now).person_id, previous_order=before.stored.rotation.members, at=now
    )
    return kept, None


def remove_rotations(tx: Tx, *, team_ids: Iterable[UUID], actor: ledger.Actor) -> frozenset[UUID]:
    """End the rotations of teams that are gone; their record stays. Returns the teams that had one."""
    before = plans.load(tx, list(team_ids), lock=True)
    close_record(tx, before)
    for team_id in before:
        tx.execute(sa.delete(rotation_table).where(rotation_table.c.team_id == team_id))
        ledger.append(tx, name="rotation.removed", actor=actor, subject=("team", team_id), team_id=team_id)
    return frozenset(before)


def add_override(
    tx: Tx,
    *,
    team_id: UUID,
    person_id: UUID,
    start_at: datetime,
    end_at: datetime,
    actor: ledger.Actor,
    reason: str = "",
    slot: str = PRIMARY,
    kind: OverrideKind = "override",
    instead_of: UUID | None = None,
    swap_id: UUID | None = None,
) -> Override:
    """Put a person on call for the team, whoever's turn it is. A start in the past becomes now.

    With ``instead_of`` only that person is relieved, where they are on call.

    Raises:
        Invalid: it ends before it starts or in the past, is longer than 366 days, or the person has left.
        NotFound: no such person.
        Conflict: the team has no rotation to override.
    """
    made = draft_override(
        tx,
        team_id=team_id,
        person_id=person_id,
        start_at=start_at,
        end_at=end_at,
        actor=actor,
        reason=reason,
        slot=slot,
        kind=kind,
        instead_of=instead_of,
        swap_id=swap_id,
    )
    before = plans.load(tx, [team_id], lock=True)
    _check_slot(before.get(team_id), slot)
    record_plans(tx, before)
    tx.execute(sa.insert(oncall_override).values(msgspec.structs.asdict(made)))
    record_plans(tx, plans.load(tx, [team_id]))
    _say(tx, "oncall.override_added", made, actor)
    return made


def draft_override(
    tx: Tx,
    *,
    team_id: UUID,
    person_id: UUID,
    start_at: datetime,
    end_at: datetime,
    actor: ledger.Actor,
    reason: str = "",
    slot: str = PRIMARY,
    kind: OverrideKind = "override",
    instead_of: UUID | None = None,
    swap_id: UUID | None = None,
) -> Override:
    """An override as `add_override` would make it, checked but not written: for a preview.

    Raises:
        Invalid, NotFound: as `add_override` does.
    """
    start_at = max(start_at, tx.now)
    if end_at <= start_at:
        hint = "who was on call is recorded and stays; choose an end after the start and after now"
        raise Invalid("the override would end before it starts", field="to", hint=hint)
    if end_at - start_at > LONGEST_OVERRIDE:
        raise Invalid("the override is longer than 366 days", field="to", hint="change the rotation instead")
    if len(reason) > 500:
        raise Invalid("the reason is longer than 500 characters", field="reason", hint="say it shorter")
    person = identity.people(tx, ids=[person_id]).get(person_id)
    if person is None:
        raise NotFound("there is no such person", field="person")
    if not person.active:
        raise Invalid(f"{person.login} is not active", field="person", hint="name somebody who can be paged")
    return Override(
        id=new_id(),
        team_id=team_id,
        person_id=person_id,
        start_at=start_at,
        end_at=end_at,
        reason=reason,
        created_by=f"{actor.kind}:{actor.id}",
        created_at=tx.now,
        slot=slot,
        kind=kind,
        instead_of=instead_of,
        swap_id=swap_id,
    )


def _check_slot(plan: plans.Plan | None, slot: str) -> None:
    if plan is None:
        hint = "apply a manifest of kind Team first"
        raise Conflict("the team has no rotation to override", code="no_rotation", hint=hint)
    if slot not in plan.calculator.slots:
        hint = f"slots: {', '.join(plan.calculator.slots)}"
        raise Invalid(f"the schedule has no slot '{slot}'", field="slot", hint=hint)


def cancel_override(tx: Tx, *, override_id: UUID, actor: ledger.Actor) -> Override:
    """End an override now; the part of it that has been stays as it was. Cancelling twice changes nothing.

    Raises:
        NotFound: no such override.
        Conflict: it is over.
    """
    found = store.override(tx, override_id)
    if found is None:
        raise NotFound("there is no such override", field="override")
    before = plans.load(tx, [found.team_id], lock=True)
    found = store.override(tx, override_id) or found  # as it stands now that the team's line is locked
    if found.cancelled_at is not None:
        return found
    if found.end_at <= tx.now:
        raise Conflict("the override is over", code="override_over", hint="who was on call is recorded and stays")
    record_plans(tx, before)
    tx.execute(sa.update(oncall_override).where(oncall_override.c.id == override_id).values(cancelled_at=tx.now))
    record_plans(tx, plans.load(tx, [found.team_id]))
    _say(tx, "oncall.override_cancelled", found, actor)
    return store.override(tx, override_id) or found


def override_by_id(tx: Tx, *, override_id: UUID) -> Override:
    """One override.

    Raises:
        NotFound: there is none.
    """
    found = store.override(tx, override_id)
    if found is None:
        raise NotFound("there is no such override", field="override")
    return found


def _say(tx: Tx, name: str, override: Override, actor: ledger.Actor) -> None:
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("team", override.team_id),
        team_id=override.team_id,
        why=override.reason,
        data={
            "override_id": str(override.id),
            "person_id": str(override.person_id),
            "from": override.start_at.isoformat(),
            "to": override.end_at.isoformat(),
            **({"slot": override.slot} if override.slot != PRIMARY else {}),
            **({"instead_of": str(override.instead_of)} if override.instead_of else {}),
        },
    )
