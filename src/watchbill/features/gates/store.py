"""Tables of the gate: overrides, and the last answer given for each service and environment."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.runtime.db import Instant, metadata

gate_override = sa.Table(
    "gate_override",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("version", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("signed_by", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("withdrawn_at", Instant),
    sa.Index("ix_gate_override_service_id", "service_id", "expires_at"),
)

gate_answer = sa.Table(
    "gate_answer",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("version", sa.Text),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("proceed", sa.Boolean, nullable=False),
    sa.Column("reasons", JSONB, nullable=False),
    sa.Column("answered_at", Instant, nullable=False),
    sa.CheckConstraint("answer IN ('go', 'no-go', 'unknown')", name="answer"),
)
