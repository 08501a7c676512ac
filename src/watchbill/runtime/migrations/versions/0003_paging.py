"""Escalation targets, holds, snoozes, hand-overs and merges."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    ALTER TABLE page
        ADD COLUMN tier smallint,
        ADD COLUMN held_because text,
        ADD COLUMN snoozed boolean NOT NULL DEFAULT false,
        ADD COLUMN handover_to uuid CONSTRAINT fk_page_handover_to REFERENCES person (id),
        ADD COLUMN handover_by uuid CONSTRAINT fk_page_handover_by REFERENCES person (id),
        ADD COLUMN handover_until timestamptz
    """,
    "ALTER TABLE notification ADD COLUMN watching boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE round_robin (
        team_id uuid CONSTRAINT pk_round_robin PRIMARY KEY
            CONSTRAINT fk_round_robin_team_id REFERENCES team (id),
        taken bigint NOT NULL
    )
    """,
    "ALTER TABLE incident ADD COLUMN merged_into uuid CONSTRAINT fk_incident_merged_into REFERENCES incident (id)",
    "CREATE INDEX ix_incident_merged_into ON incident (merged_into) WHERE merged_into IS NOT NULL",
    """
    CREATE TABLE incident_merge (
        incident_id uuid CONSTRAINT pk_incident_merge PRIMARY KEY
            CONSTRAINT fk_incident_merge_incident_id REFERENCES incident (id),
        into_id uuid NOT NULL CONSTRAINT fk_incident_merge_into_id REFERENCES incident (id),
        merged_at timestamptz NOT NULL,
        moved jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE silence (
        id uuid CONSTRAINT pk_silence PRIMARY KEY,
        kind text NOT NULL CONSTRAINT ck_silence_kind CHECK (kind IN ('silence', 'maintenance')),
        matchers jsonb NOT NULL,
        service_id uuid CONSTRAINT fk_silence_service_id REFERENCES service (id),
        team_id uuid CONSTRAINT fk_silence_team_id REFERENCES team (id),
        reason text NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        CONSTRAINT ck_silence_order CHECK (starts_at <= ends_at)
    )
    """,
    "CREATE INDEX ix_silence_ends_at ON silence (ends_at)",
    """
    CREATE TABLE alert_flapping (
        integration_id uuid CONSTRAINT fk_alert_flapping_integration_id REFERENCES integration (id),
        identity text,
        history jsonb NOT NULL,
        flapping boolean NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT pk_alert_flapping PRIMARY KEY (integration_id, identity)
    )
    """,
    "CREATE INDEX ix_alert_flapping_seen_at ON alert_flapping (seen_at)",
)


def upgrade() -> None:
    """What stands stays valid: an open page of before is not held, not snoozed and not being handed over."""
    for statement in _STATEMENTS:
        op.execute(statement)
