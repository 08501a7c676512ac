"""What is left out of a budget, and the policy that acts on what remains."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE slo_exclusion (
        id UUID NOT NULL,
        service_id UUID NOT NULL,
        slo_id UUID,
        environment TEXT NOT NULL,
        start_at TIMESTAMP WITH TIME ZONE NOT NULL,
        end_at TIMESTAMP WITH TIME ZONE NOT NULL,
        reason TEXT NOT NULL,
        needs_second TEXT,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        actor_kind TEXT NOT NULL,
        actor_id TEXT NOT NULL,
        first_by UUID,
        second_by UUID,
        second_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        revoked_kind TEXT,
        revoked_id TEXT,
        revoke_reason TEXT,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        counted_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_slo_exclusion PRIMARY KEY (id),
        CONSTRAINT ck_slo_exclusion_span CHECK (start_at < end_at),
        CONSTRAINT ck_slo_exclusion_two_people CHECK (second_by IS NULL OR second_by <> first_by),
        CONSTRAINT fk_slo_exclusion_service_id FOREIGN KEY(service_id) REFERENCES service (id),
        CONSTRAINT fk_slo_exclusion_slo_id FOREIGN KEY(slo_id) REFERENCES slo (id),
        CONSTRAINT fk_slo_exclusion_first_by FOREIGN KEY(first_by) REFERENCES person (id),
        CONSTRAINT fk_slo_exclusion_second_by FOREIGN KEY(second_by) REFERENCES person (id)
    )
    """,
    """
    CREATE INDEX ix_slo_exclusion_changed_at ON slo_exclusion (changed_at)
    """,
    """
    CREATE INDEX ix_slo_exclusion_service_id ON slo_exclusion (service_id, start_at)
    """,
    """
    CREATE TABLE slo_policy (
        owner_kind TEXT NOT NULL,
        owner_id UUID NOT NULL,
        policy JSONB NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_slo_policy PRIMARY KEY (owner_kind, owner_id),
        CONSTRAINT ck_slo_policy_owner_kind CHECK (owner_kind IN ('team', 'service'))
    )
    """,
    """
    CREATE TABLE slo_crossing (
        id UUID NOT NULL,
        slo_id UUID NOT NULL,
        threshold NUMERIC NOT NULL,
        direction TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        told BOOLEAN NOT NULL,
        remaining NUMERIC NOT NULL,
        actions JSONB NOT NULL,
        cause TEXT NOT NULL,
        why TEXT NOT NULL,
        target NUMERIC NOT NULL,
        window_seconds INTEGER NOT NULL,
        reviewed_at TIMESTAMP WITH TIME ZONE,
        reviewed_by UUID,
        review TEXT,
        CONSTRAINT pk_slo_crossing PRIMARY KEY (id),
        CONSTRAINT ck_slo_crossing_direction CHECK (direction IN ('down', 'up')),
        CONSTRAINT fk_slo_crossing_slo_id FOREIGN KEY(slo_id) REFERENCES slo (id),
        CONSTRAINT fk_slo_crossing_reviewed_by FOREIGN KEY(reviewed_by) REFERENCES person (id)
    )
    """,
    """
    CREATE INDEX ix_slo_crossing_slo_id ON slo_crossing (slo_id, threshold, at)
    """,
    "ALTER TABLE slo_state ADD COLUMN excluded_seconds INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE slo_state ADD COLUMN excluded_bad BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE slo_state ADD COLUMN excluded_total BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE slo_state ADD COLUMN budget_without NUMERIC",
    "ALTER TABLE slo_series ADD COLUMN excluded_bad BIGINT[]",
    "ALTER TABLE slo_series ADD COLUMN excluded_total BIGINT[]",
)


def upgrade() -> None:
    """Expand only: new tables, new columns that are null or have a default."""
    for statement in _STATEMENTS:
        op.execute(statement)
