"""Tables of runners, runs and the switch, and the SQL over them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from watchbill.features.rollback.model import BUSY, DONE, Rehearsal, Run, Runner, Switch
from watchbill.runtime.db import Instant, Tx, metadata

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id")),
    sa.Column("executors", ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant),
    sa.Column("revoked_at", Instant),
)

run_number_sequence = sa.Sequence("rollback_run_number_seq", metadata=metadata, data_type=sa.BigInteger)

run = sa.Table(
    "rollback_run",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "number",
        sa.BigInteger,
        run_number_sequence,
        server_default=run_number_sequence.next_value(),
        nullable=False,
        unique=True,
    ),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id")),
    sa.Column("change_id", sa.Uuid),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("executor", sa.Text, nullable=False),
    sa.Column("plan", JSONB, nullable=False),
    sa.Column("runner_name", sa.Text),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("version", sa.Text),
    sa.Column("previous_version", sa.Text),
    sa.Column("confidence", sa.Double),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_by_kind", sa.Text, nullable=False),
    sa.Column("requested_by_id", sa.Text, nullable=False),
    sa.Column("timeout_seconds", sa.Integer, nullable=False),
    sa.Column("verify_seconds", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("claimed_by", sa.Uuid, sa.ForeignKey("runner.id")),
    sa.Column("lease", sa.Uuid),
    sa.Column("lease_until", Instant),
    sa.Column("started_at", Instant),
    sa.Column("finished_at", Instant),
    sa.Column("verify_until", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("end_reason", sa.Text),
    sa.Column("exit_code", sa.Integer),
    sa.Column("output", sa.Text, nullable=False, server_default=""),
    sa.Column("output_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("cancel_requested", sa.Text),
    sa.Column("verification", JSONB(none_as_null=True)),
    sa.CheckConstraint("mode IN ('automatic', 'button', 'rehearsal', 'dry_run')", name="mode"),
    # One at a time for each service, and automation once for each incident, whoever asks and however fast.
    sa.Index(
        "uq_rollback_run_busy",
        "service_id",
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running') AND mode <> 'dry_run'"),
    ),
    sa.Index("uq_rollback_run_automatic", "incident_id", unique=True, postgresql_where=sa.text("mode = 'automatic'")),
    sa.Index("ix_rollback_run_service", "service_id", "created_at"),
    sa.Index("ix_rollback_run_incident", "incident_id", postgresql_where=sa.text("incident_id IS NOT NULL")),
    sa.Index("ix_rollback_run_queued", "created_at", postgresql_where=sa.text("state = 'queued'")),
)

switch = sa.Table(
    "automation_switch",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("automation", sa.Boolean, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

RUNNER = tuple(column for column in runner.c if column.name != "hash")


def to_run(row: Any) -> Run:
    return msgspec.convert(row, Run, from_attributes=True)


def to_runner(row: Any) -> Runner:
    return msgspec.convert(row, Runner, from_attributes=True)


def insert_run(tx: Tx, one: Run) -> Run:
    """Write a new run; the database gives its number."""
    columns = {name: value for name, value in msgspec.structs.asdict(one).items() if name != "number"}
    columns["verification"] = msgspec.to_builtins(one.verification)
    number = tx.execute(sa.insert(run).values(**columns).returning(run.c.number)).scalar_one()
    return msgspec.structs.replace(one, number=number)


def change_run(tx: Tx, one: Run, **values: Any) -> Run:
    """Write columns of a locked run."""
    plain = {
        name: msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
        for name, value in values.items()
    }
    tx.execute(sa.update(run).where(run.c.id == one.id).values(**plain))
    return msgspec.structs.replace(one, **values)


def run_by_id(tx: Tx, *, id: UUID, lock: bool = False) -> Run | None:
    query = sa.select(run).where(run.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return to_run(row) if row else None


def run_by_number(tx: Tx, *, number: int) -> Run | None:
    row = tx.execute(sa.select(run).where(run.c.number == number)).one_or_none()
    return to_run(row) if row else None


def runs(tx: Tx, *, service_id: UUID | None = None, incident_id: UUID | None = None, limit: int = 100) -> list[Run]:
    """Newest first."""
    query = sa.select(run)
    if service_id is not None:
        query = query.where(run.c.service_id == service_id)
    if incident_id is not None:
        query = query.where(run.c.incident_id == incident_id)
    return [to_run(row) for row in tx.execute(query.order_by(run.c.number.desc()).limit(limit))]


def runs_of_change(tx: Tx, *, change_id: UUID) -> list[Run]:
    """Every run that was to undo this change, newest first."""
    return [
        to_run(row)
        for row in tx.execute(
            sa.select(run).where(run.c.change_id == change_id).order_by(run.c.number.desc()).limit(50)
        )
    ]


def busy_run(tx: Tx, *, service_id: UUID) -> Run | None:
    """The run that holds the service."""
    row = tx.execute(
        sa.select(run).where(run.c.service_id == service_id, run.c.state.in_(BUSY), run.c.mode != "dry_run")
    ).first()
    return to_run(row) if row else None


def lock_queued(tx: Tx, *, team_id: UUID | None, runner_name: str, executors: list[str]) -> list[Run]:
    """Queued runs that this runner may take, oldest first; those another runner is taking now are left to it."""
    service = sa.table("service", sa.column("id"), sa.column("team_id"))
    query = (
        sa.select(run)
        .join(service, service.c.id == run.c.service_id)
        .where(
            run.c.state == "queued",
            run.c.executor == sa.any_(sa.cast(executors, ARRAY(sa.Text))),
            sa.or_(run.c.runner_name.is_(None), run.c.runner_name == runner_name),
        )
    )
    if team_id is not None:
        query = query.where(service.c.team_id == team_id)
    rows = tx.execute(query.order_by(run.c.created_at, run.c.id).limit(1).with_for_update(of=run, skip_locked=True))
    return [to_run(row) for row in rows]


def automatic_since(tx: Tx, *, since: datetime) -> list[UUID]:
    """Services that automation began to roll back since then."""
    query = sa.select(run.c.service_id).distinct().where(run.c.mode == "automatic", run.c.created_at >= since)
    return list(tx.execute(query).scalars())


def last_exercise(tx: Tx, *, service_id: UUID) -> Rehearsal | None:
    """The newest run of the service that its executor finished well."""
    row = tx.execute(
        sa.select(run)
        .where(
            run.c.service_id == service_id,
            run.c.mode != "dry_run",
            run.c.finished_at.is_not(None),
            run.c.state.in_(DONE),
        )
        .order_by(run.c.finished_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    found = to_run(row)
    return Rehearsal(at=row.finished_at, took_seconds=found.took_seconds or 0.0, mode=found.mode)


def read_switch(tx: Tx) -> Switch:
    """On until somebody switches it off."""
    row = tx.execute(sa.select(switch).where(switch.c.id == 1)).one_or_none()
    if row is None:
        return Switch(automation=True, why="", changed_at=None)
    return Switch(automation=row.automation, why=row.why, changed_at=row.changed_at)
