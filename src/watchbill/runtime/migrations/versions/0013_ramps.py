"""Watched ramps of load, and what they found."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE capacity_ramp (
    id UUID NOT NULL CONSTRAINT pk_capacity_ramp PRIMARY KEY,
    service_id UUID NOT NULL CONSTRAINT fk_capacity_ramp_service_id_service REFERENCES service (id),
    operation TEXT NOT NULL,
    environment TEXT NOT NULL,
    replicas INTEGER,
    step_seconds INTEGER NOT NULL,
    latency_ms DOUBLE PRECISION,
    save BOOLEAN NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    steps JSONB NOT NULL,
    fit JSONB,
    capacity DOUBLE PRECISION
);
CREATE INDEX ix_capacity_ramp_service_id_started_at ON capacity_ramp (service_id, started_at);
CREATE UNIQUE INDEX uq_capacity_ramp_watching ON capacity_ramp (service_id) WHERE state = 'watching';
"""


def upgrade() -> None:
    """Expand only: a new table."""
    op.execute(_UP)
