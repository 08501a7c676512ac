"""Tables of rankings and verdicts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from watchbill.features.suspects.model import Ranking, Verdict
from watchbill.runtime.db import Instant, Tx, metadata

ranking = sa.Table(
    "suspect_ranking",
    metadata,
    sa.Column("incident_id", sa.Uuid, sa.ForeignKey("incident.id"), primary_key=True),
    sa.Column("ranked_at", Instant, nullable=False),
    sa.Column("looks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("found", JSONB, nullable=False),
    sa.Column("verdicts", JSONB, nullable=False),
)

verdict = sa.Table(
    "verdict",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("found", JSONB, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("ix_verdict_service", "service_id", "created_at"),
)


def write_ranking(tx: Tx, *, found: Ranking, looks: int, verdicts: dict[UUID, Verdict]) -> None:
    """Keep the newest ranking of an incident, with the verdicts it rests on by change."""
    values: dict[str, Any] = {
        "ranked_at": found.ranked_at,
        "looks": looks,
        "found": msgspec.to_builtins(found),
        "verdicts": {str(id): msgspec.to_builtins(each) for id, each in verdicts.items()},
    }
    statement = insert(ranking).values(incident_id=found.incident_id, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["incident_id"], set_=values))


def read_ranking(tx: Tx, *, incident_id: UUID) -> tuple[Ranking, int, dict[UUID, Verdict]] | None:
    """The newest ranking, how often telemetry was looked at for it, and its verdicts."""
    row = tx.execute(sa.select(ranking).where(ranking.c.incident_id == incident_id)).one_or_none()
    if row is None:
        return None
    verdicts = {UUID(id): msgspec.convert(each, Verdict) for id, each in row.verdicts.items()}
    return msgspec.convert(row.found, Ranking), row.looks, verdicts


class StoredVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that somebody asked for, as it was given."""

    id: UUID
    service_id: UUID
    environment: str
    created_at: datetime
    verdict: Verdict


def insert_verdict(tx: Tx, *, id: UUID, service_id: UUID, environment: str, found: Verdict) -> None:
    tx.execute(
        sa.insert(verdict).values(
            id=id,
            service_id=service_id,
            environment=environment,
            answer=found.answer,
            found=msgspec.to_builtins(found),
            created_at=tx.now,
        )
    )


def keep_verdict(tx: Tx, *, id: UUID, service_id: UUID, environment: str, found: Verdict) -> str | None:
    """Write the newest verdict under this id; returns the answer of the one before it."""
    before: str | None = tx.execute(sa.select(verdict.c.answer).where(verdict.c.id == id).with_for_update()).scalar()
    values = {"answer": found.answer, "found": msgspec.to_builtins(found), "created_at": tx.now}
    statement = insert(verdict).values(id=id, service_id=service_id, environment=environment, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    return before


def verdicts_of(tx: Tx, *, service_id: UUID, limit: int = 20) -> list[StoredVerdict]:
    """Newest first."""
    rows = tx.execute(
        sa.select(verdict).where(verdict.c.service_id == service_id).order_by(verdict.c.created_at.desc()).limit(limit)
    )
    return [
        StoredVerdict(
            id=row.id,
            service_id=row.service_id,
            environment=row.environment,
            created_at=row.created_at,
            verdict=msgspec.convert(row.found, Verdict),
        )
        for row in rows
    ]
