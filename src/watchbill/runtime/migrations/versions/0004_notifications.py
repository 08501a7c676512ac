"""Personal notification rules, verified contact methods, test pages."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    ALTER TABLE contact_method
        ADD COLUMN proved_at timestamptz,
        ADD COLUMN tried_at timestamptz,
        ADD COLUMN tried_error text
    """,
    """
    CREATE TABLE contact_code (
        contact_method_id uuid CONSTRAINT pk_contact_code PRIMARY KEY
            CONSTRAINT fk_contact_code_contact_method_id REFERENCES contact_method (id) ON DELETE CASCADE,
        hash bytea NOT NULL,
        tries integer NOT NULL DEFAULT 0,
        sent_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE personal_rule (
        person_id uuid CONSTRAINT pk_personal_rule PRIMARY KEY
            CONSTRAINT fk_personal_rule_person_id REFERENCES person (id),
        rule jsonb NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE reach_test (
        id uuid CONSTRAINT pk_reach_test PRIMARY KEY,
        person_id uuid NOT NULL CONSTRAINT fk_reach_test_person_id REFERENCES person (id),
        state text NOT NULL CONSTRAINT ck_reach_test_state CHECK (state IN ('open', 'answered', 'unanswered')),
        started_at timestamptz NOT NULL,
        answer_by timestamptz NOT NULL,
        answered_at timestamptz,
        channel text
    )
    """,
    "CREATE INDEX ix_reach_test_person_id_started_at ON reach_test (person_id, started_at)",
    """
    CREATE TABLE web_push_key (
        id smallint CONSTRAINT pk_web_push_key PRIMARY KEY CONSTRAINT ck_web_push_key_one CHECK (id = 1),
        private_key text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE team_channel (
        id uuid CONSTRAINT pk_team_channel PRIMARY KEY,
        team_id uuid NOT NULL CONSTRAINT fk_team_channel_team_id REFERENCES team (id),
        name text NOT NULL,
        channel text NOT NULL,
        address text NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT uq_team_channel_team_id_name UNIQUE (team_id, name)
    )
    """,
    """
    CREATE TABLE channel_throttle (
        channel text CONSTRAINT pk_channel_throttle PRIMARY KEY,
        per_second double precision NOT NULL,
        burst integer NOT NULL,
        next_at timestamptz NOT NULL,
        CONSTRAINT ck_channel_throttle_positive CHECK (per_second > 0 AND burst > 0)
    )
    """,
    """
    ALTER TABLE notification
        ALTER COLUMN person_id DROP NOT NULL,
        ADD COLUMN team_channel_id uuid,
        ADD COLUMN sending_at timestamptz,
        ADD COLUMN about uuid,
        ADD COLUMN bundle_id uuid
    """,
    "CREATE INDEX ix_notification_storm ON notification (address, sending_at) WHERE sending_at IS NOT NULL",
    "CREATE INDEX ix_notification_bundle ON notification (bundle_id) WHERE bundle_id IS NOT NULL",
    "CREATE INDEX ix_notification_waiting ON notification (address) WHERE state = 'queued' AND sending_at IS NULL",
)


def upgrade() -> None:
    """Rules, codes, tests of reach, team channels, throttles, and what a storm bundles."""
    for statement in _STATEMENTS:
        op.execute(statement)
