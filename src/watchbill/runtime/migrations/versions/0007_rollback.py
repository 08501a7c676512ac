"""Runners, rollbacks, verdicts, rankings of suspects, and the evidence that is shown with an incident."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "CREATE SEQUENCE rollback_run_number_seq AS BIGINT",
    """
    CREATE TABLE runner (
        id UUID NOT NULL,
        name TEXT NOT NULL,
        hash BYTEA NOT NULL,
        team_id UUID,
        executors TEXT[] NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_seen_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_runner PRIMARY KEY (id),
        CONSTRAINT uq_runner_name UNIQUE (name),
        CONSTRAINT uq_runner_hash UNIQUE (hash),
        CONSTRAINT fk_runner_team_id FOREIGN KEY(team_id) REFERENCES team (id)
    )
    """,
    """
    CREATE TABLE rollback_run (
        id UUID NOT NULL,
        number BIGINT DEFAULT nextval('rollback_run_number_seq') NOT NULL,
        service_id UUID NOT NULL,
        incident_id UUID,
        change_id UUID,
        mode TEXT NOT NULL,
        state TEXT NOT NULL,
        executor TEXT NOT NULL,
        plan JSONB NOT NULL,
        runner_name TEXT,
        environment TEXT NOT NULL,
        version TEXT,
        previous_version TEXT,
        confidence DOUBLE PRECISION,
        reason TEXT NOT NULL,
        requested_by_kind TEXT NOT NULL,
        requested_by_id TEXT NOT NULL,
        timeout_seconds INTEGER NOT NULL,
        verify_seconds INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        claimed_by UUID,
        lease UUID,
        lease_until TIMESTAMP WITH TIME ZONE,
        started_at TIMESTAMP WITH TIME ZONE,
        finished_at TIMESTAMP WITH TIME ZONE,
        verify_until TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        end_reason TEXT,
        exit_code INTEGER,
        output TEXT DEFAULT '' NOT NULL,
        output_bytes BIGINT DEFAULT '0' NOT NULL,
        cancel_requested TEXT,
        CONSTRAINT pk_rollback_run PRIMARY KEY (id),
        CONSTRAINT ck_rollback_run_mode CHECK (mode IN ('automatic', 'button', 'rehearsal', 'dry_run')),
        CONSTRAINT uq_rollback_run_number UNIQUE (number),
        CONSTRAINT fk_rollback_run_service_id FOREIGN KEY(service_id) REFERENCES service (id),
        CONSTRAINT fk_rollback_run_incident_id FOREIGN KEY(incident_id) REFERENCES incident (id),
        CONSTRAINT fk_rollback_run_claimed_by FOREIGN KEY(claimed_by) REFERENCES runner (id)
    )
    """,
    "CREATE INDEX ix_rollback_run_incident ON rollback_run (incident_id) WHERE incident_id IS NOT NULL",
    "CREATE INDEX ix_rollback_run_queued ON rollback_run (created_at) WHERE state = 'queued'",
    "CREATE INDEX ix_rollback_run_service ON rollback_run (service_id, created_at)",
    "CREATE UNIQUE INDEX uq_rollback_run_automatic ON rollback_run (incident_id) WHERE mode = 'automatic'",
    """
    CREATE UNIQUE INDEX uq_rollback_run_busy ON rollback_run (service_id)
        WHERE state IN ('queued', 'running') AND mode <> 'dry_run'
    """,
    """
    CREATE TABLE automation_switch (
        id SMALLINT NOT NULL,
        automation BOOLEAN NOT NULL,
        why TEXT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_automation_switch PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE suspect_ranking (
        incident_id UUID NOT NULL,
        ranked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        looks INTEGER DEFAULT '0' NOT NULL,
        found JSONB NOT NULL,
        verdicts JSONB NOT NULL,
        CONSTRAINT pk_suspect_ranking PRIMARY KEY (incident_id),
        CONSTRAINT fk_suspect_ranking_incident_id FOREIGN KEY(incident_id) REFERENCES incident (id)
    )
    """,
    """
    CREATE TABLE verdict (
        id UUID NOT NULL,
        service_id UUID NOT NULL,
        environment TEXT NOT NULL,
        answer TEXT NOT NULL,
        found JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_verdict PRIMARY KEY (id),
        CONSTRAINT fk_verdict_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    "CREATE INDEX ix_verdict_service ON verdict (service_id, created_at)",
    """
    CREATE TABLE incident_evidence (
        incident_id UUID NOT NULL,
        source TEXT NOT NULL,
        lines JSONB NOT NULL,
        written_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_incident_evidence PRIMARY KEY (incident_id, source),
        CONSTRAINT fk_incident_evidence_incident_id FOREIGN KEY(incident_id) REFERENCES incident (id)
    )
    """,
)


def upgrade() -> None:
    """New tables only: an older Watchbill does not notice."""
    for statement in _STATEMENTS:
        op.execute(statement)
