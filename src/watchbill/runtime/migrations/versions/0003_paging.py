"""Round robin, holds, snoozes, hand-overs and merges."""

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
)


def upgrade() -> None:
    """What stands stays valid: an open page of before is not held, not snoozed and not being handed over."""
    for statement in _STATEMENTS:
        op.execute(statement)
