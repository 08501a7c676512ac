"""The change ledger and the gate."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE change (
        id uuid CONSTRAINT pk_change PRIMARY KEY,
        service_id uuid CONSTRAINT fk_change_service_id REFERENCES service (id),
        service_name text NOT NULL,
        environment text NOT NULL,
        kind text NOT NULL CONSTRAINT ck_change_kind CHECK (
            kind IN ('deploy', 'flag', 'config', 'schema', 'rollback')
        ),
        state text NOT NULL CONSTRAINT ck_change_state CHECK (
            state IN ('started', 'finished', 'failed', 'cancelled', 'rolled_back')
        ),
        title text NOT NULL,
        version text,
        previous_version text,
        commits jsonb NOT NULL,
        author text,
        approver text,
        reversible text NOT NULL CONSTRAINT ck_change_reversible CHECK (reversible IN ('yes', 'no', 'unknown')),
        is_fix boolean NOT NULL,
        started_at timestamptz NOT NULL,
        finished_at timestamptz,
        last_at timestamptz NOT NULL,
        start_seen boolean NOT NULL,
        source text NOT NULL,
        integration_id uuid NOT NULL CONSTRAINT fk_change_integration_id REFERENCES integration (id),
        external_id text NOT NULL,
        links jsonb NOT NULL,
        inferred boolean NOT NULL,
        note text NOT NULL,
        committed_at timestamptz,
        rolled_back_by uuid CONSTRAINT fk_change_rolled_back_by REFERENCES change (id),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT uq_change_integration_id_external_id UNIQUE (integration_id, external_id)
    )
    """,
    "CREATE INDEX ix_change_last_at ON change (last_at)",
    "CREATE INDEX ix_change_service ON change (service_id, environment, last_at)",
    "CREATE INDEX ix_change_service_name ON change (service_name, environment, last_at)",
    """
    CREATE TABLE gate_override (
        id uuid CONSTRAINT pk_gate_override PRIMARY KEY,
        service_id uuid NOT NULL CONSTRAINT fk_gate_override_service_id REFERENCES service (id),
        environment text NOT NULL,
        version text,
        reason text NOT NULL,
        signed_by uuid NOT NULL CONSTRAINT fk_gate_override_signed_by REFERENCES person (id),
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        withdrawn_at timestamptz
    )
    """,
    "CREATE INDEX ix_gate_override_service_id ON gate_override (service_id, expires_at)",
    """
    CREATE TABLE gate_answer (
        service_id uuid CONSTRAINT fk_gate_answer_service_id REFERENCES service (id),
        environment text,
        version text,
        answer text NOT NULL CONSTRAINT ck_gate_answer_answer CHECK (answer IN ('go', 'no-go', 'unknown')),
        proceed boolean NOT NULL,
        reasons jsonb NOT NULL,
        answered_at timestamptz NOT NULL,
        CONSTRAINT pk_gate_answer PRIMARY KEY (service_id, environment)
    )
    """,
)


def upgrade() -> None:
    """New tables only."""
    for statement in _STATEMENTS:
        op.execute(statement)
