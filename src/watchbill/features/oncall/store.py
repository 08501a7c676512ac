"""Tables of on-call, and the SQL that reads and writes them in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.oncall.model import Crew, Override, Span, TeamRotation
from watchbill.features.oncall.tables import oncall_override, oncall_record, rotation
from watchbill.runtime.db import Tx


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A team's rotation as it stands, with the span that its record says is running."""

    rotation: TeamRotation
    version: int
    phase: int
    phases: dict[str, int]
    effective_from: datetime
    running: Span | None


def rotations(tx: Tx, team_ids: Sequence[UUID] | None = None, *, lock: bool = False) -> dict[UUID, Stored]:
    """Rotations by team, in the order of team ids; ``lock`` holds them until commit, in that order."""
    wanted = sa.true() if team_ids is None else rotation.c.team_id == _any(team_ids)
    if lock:  # in a statement of its own: the next one sees what the lock's last holder has written
        tx.execute(sa.select(rotation.c.team_id).where(wanted).order_by(rotation.c.team_id).with_for_update())
    running = sa.and_(oncall_record.c.team_id == rotation.c.team_id, oncall_record.c.end_at.is_(None))
    query = (
        sa.select(
            rotation,
            oncall_record.c.start_at,
            oncall_record.c.planned_end_at,
            oncall_record.c.person_id,
            oncall_record.c.reason,
            oncall_record.c.note,
            oncall_record.c.override_id,
            oncall_record.c.crew,
        )
        .select_from(rotation.outerjoin(oncall_record, running))
        .where(wanted)
        .order_by(rotation.c.team_id)
    )
    return {row.team_id: _stored(row) for row in tx.execute(query)}


def holiday_calendars(tx: Tx) -> set[str]:
    """The public holidays that schedules go by."""
    named = rotation.c.spec["holidays"].astext
    return set(tx.execute(sa.select(named).where(named.is_not(None), named != "").distinct()).scalars())


def _stored(row: Any) -> Stored:
    document = {**row.spec, "team_id": row.team_id, "time_zone": row.time_zone}
    return Stored(
        rotation=msgspec.convert(document, TeamRotation),
        version=row.version,
        phase=row.phase,
        phases=row.phases if row.phases is not None else {"": row.phase},
        effective_from=row.effective_from,
        running=_span(row, row.planned_end_at) if row.start_at is not None else None,
    )


def _span(row: Any, end_at: datetime) -> Span:
    return Span(
        start_at=row.start_at,
        end_at=end_at,
        person_id=row.person_id,
        reason=row.reason,
        note=row.note,
        override_id=row.override_id,
        **_crew(row),
    )


class _Recorded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line of the record says beside its first person, as JSON."""

    others: tuple[UUID, ...] = ()
    layer: str = ""
    instead_of: UUID | None = None
    shadows: tuple[UUID, ...] = ()
    slots: tuple[Crew, ...] = ()


def _crew(row: Any) -> dict[str, Any]:
    if row.crew is None:
        return {}
    return msgspec.structs.asdict(msgspec.convert(row.crew, _Recorded))


def _crew_document(span: Span) -> dict[str, Any] | None:
    fields = {name: getattr(span, name) for name in _Recorded.__struct_fields__}
    document: dict[str, Any] = msgspec.to_builtins(_Recorded(**fields))
    return document or None


def rotation_document(spec: TeamRotation) -> dict[str, Any]:
    """The rotation as JSON, without what has its own column."""
    document: dict[str, Any] = msgspec.to_builtins(spec)
    del document["team_id"], document["time_zone"]
    return document


def put_rotations(tx: Tx, changed: Sequence[tuple[TeamRotation, int, dict[str, int] | None]]) -> None:
    """Insert or replace rotations with their phases (of a simple one, of layers); the version counts up by itself."""
    statement = insert(rotation).values(
        [
            {
                "team_id": spec.team_id,
                "version": 1,
                "spec": rotation_document(spec),
                "time_zone": spec.time_zone,
                "phase": phase,
                "phases": sa.null() if phases is None else phases,
                "effective_from": tx.now,
            }
            for spec, phase, phases in changed
        ]
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["team_id"],
            set_={
                "version": rotation.c.version + 1,
                "spec": statement.excluded.spec,
                "time_zone": statement.excluded.time_zone,
                "phase": statement.excluded.phase,
                "phases": statement.excluded.phases,
                "effective_from": statement.excluded.effective_from,
            },
        )
    )


def overrides(
    tx: Tx, team_ids: Iterable[UUID] | None, *, start_at: datetime, end_at: datetime | None = None
) -> list[Override]:
    """Overrides that count somewhere in the window, oldest made first."""
    until = sa.func.least(oncall_override.c.end_at, oncall_override.c.cancelled_at)
    query = sa.select(oncall_override).where(oncall_override.c.end_at > start_at, until > start_at)
    if team_ids is not None:
        query = query.where(oncall_override.c.team_id == _any(team_ids))
    if end_at is not None:
        query = query.where(oncall_override.c.start_at < end_at)
    rows = tx.execute(query.order_by(oncall_override.c.created_at, oncall_override.c.id))
    return [msgspec.convert(row, Override, from_attributes=True) for row in rows]


def override(tx: Tx, override_id: UUID) -> Override | None:
    """One override by id."""
    row = tx.execute(sa.select(oncall_override).where(oncall_override.c.id == override_id)).one_or_none()
    return None if row is None else msgspec.convert(row, Override, from_attributes=True)


def write_record(tx: Tx, ended: Mapping[UUID, Sequence[Span]], running: Mapping[UUID, Span | None]) -> None:
    """Replace each team's running line with the spans that ended and the one that runs now (None: none)."""
    teams = sorted(running)
    tx.execute(sa.delete(oncall_record).where(oncall_record.c.team_id == _any(teams), oncall_record.c.end_at.is_(None)))
    lines: list[dict[str, Any]] = []
    for team_id in teams:
        lines.extend(_line(team_id, span, span.end_at) for span in ended.get(team_id, ()))
        current = running[team_id]
        if current is not None:
            lines.append(_line(team_id, current, None))
    for begin in range(0, len(lines), 1000):
        tx.execute(sa.insert(oncall_record).values(lines[begin : begin + 1000]))


def _line(team_id: UUID, span: Span, end_at: datetime | None) -> dict[str, Any]:
    return {
        "team_id": team_id,
        "start_at": span.start_at,
        "end_at": end_at,
        "planned_end_at": span.end_at,
        "person_id": span.person_id,
        "reason": span.reason,
        "note": span.note,
        "override_id": span.override_id,
        "crew": sa.null() if (crew := _crew_document(span)) is None else crew,
    }


def recorded(
    tx: Tx, *, start_at: datetime, end_at: datetime, team_id: UUID | None = None, person_id: UUID | None = None
) -> dict[UUID, list[Span]]:
    """What was on call in the window, by the record, whole spans in order by team; the running one ends as planned."""
    until = sa.func.coalesce(oncall_record.c.end_at, oncall_record.c.planned_end_at)
    query = sa.select(oncall_record, until.label("until_at")).where(oncall_record.c.start_at < end_at, until > start_at)
    if team_id is not None:
        query = query.where(oncall_record.c.team_id == team_id)
    if person_id is not None:
        named = sa.cast(oncall_record.c.crew, sa.Text).contains(str(person_id))
        query = query.where(sa.or_(oncall_record.c.person_id == person_id, named))
    found: dict[UUID, list[Span]] = {}
    for row in tx.execute(query.order_by(oncall_record.c.start_at)):
        found.setdefault(row.team_id, []).append(_span(row, row.until_at))
    return found


def recorded_at(tx: Tx, *, team_id: UUID, at: datetime) -> tuple[Span, bool] | None:
    """The line of the record that covers or precedes ``at``, and whether it is still running."""
    row = tx.execute(
        sa.select(oncall_record)
        .where(oncall_record.c.team_id == team_id, oncall_record.c.start_at <= at)
        .order_by(oncall_record.c.start_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return _span(row, row.end_at or row.planned_end_at), row.end_at is None


def _any(team_ids: Iterable[UUID]) -> Any:
    return sa.any_(sa.literal(list(team_ids), sa.ARRAY(sa.Uuid)))
