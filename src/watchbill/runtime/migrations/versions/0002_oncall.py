"""Layered schedules, swaps, time off and holidays."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE rotation ADD COLUMN phases jsonb",
    "ALTER TABLE oncall_record ADD COLUMN crew jsonb",
    """
    ALTER TABLE oncall_override
        ADD COLUMN slot text NOT NULL DEFAULT 'primary',
        ADD COLUMN kind text NOT NULL DEFAULT 'override',
        ADD COLUMN instead_of uuid CONSTRAINT fk_oncall_override_instead_of REFERENCES person (id),
        ADD COLUMN swap_id uuid
    """,
    """
    CREATE TABLE oncall_swap (
        id uuid CONSTRAINT pk_oncall_swap PRIMARY KEY,
        team_id uuid NOT NULL CONSTRAINT fk_oncall_swap_team_id REFERENCES team (id),
        slot text NOT NULL,
        from_person uuid NOT NULL CONSTRAINT fk_oncall_swap_from_person REFERENCES person (id),
        to_person uuid CONSTRAINT fk_oncall_swap_to_person REFERENCES person (id),
        start_at timestamptz NOT NULL,
        end_at timestamptz NOT NULL,
        back_start_at timestamptz,
        back_end_at timestamptz,
        note text NOT NULL,
        state text NOT NULL CONSTRAINT ck_oncall_swap_state CHECK (
            state IN ('open', 'accepted', 'declined', 'withdrawn', 'expired', 'undone')
        ),
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        decided_by uuid CONSTRAINT fk_oncall_swap_decided_by REFERENCES person (id),
        decided_at timestamptz,
        CONSTRAINT ck_oncall_swap_order CHECK (start_at < end_at AND back_start_at < back_end_at)
    )
    """,
    "CREATE INDEX ix_oncall_swap_team_id_created_at ON oncall_swap (team_id, created_at)",
    "CREATE INDEX ix_oncall_swap_open ON oncall_swap (expires_at) WHERE state = 'open'",
    """
    CREATE TABLE time_off (
        id uuid CONSTRAINT pk_time_off PRIMARY KEY,
        person_id uuid NOT NULL CONSTRAINT fk_time_off_person_id REFERENCES person (id),
        start_at timestamptz NOT NULL,
        end_at timestamptz NOT NULL,
        note text NOT NULL,
        calendar text,
        created_at timestamptz NOT NULL,
        CONSTRAINT ck_time_off_order CHECK (start_at < end_at)
    )
    """,
    "CREATE INDEX ix_time_off_person_id_end_at ON time_off (person_id, end_at)",
    """
    CREATE TABLE oncall_person (
        person_id uuid CONSTRAINT pk_oncall_person PRIMARY KEY
            CONSTRAINT fk_oncall_person_person_id REFERENCES person (id),
        holidays text NOT NULL
    )
    """,
    """
    CREATE TABLE public_holiday (
        calendar text,
        day date,
        name text NOT NULL,
        CONSTRAINT pk_public_holiday PRIMARY KEY (calendar, day)
    )
    """,
    """
    CREATE TABLE calendar_feed (
        id uuid CONSTRAINT pk_calendar_feed PRIMARY KEY,
        hash bytea NOT NULL CONSTRAINT uq_calendar_feed_hash UNIQUE,
        owner_id uuid NOT NULL CONSTRAINT fk_calendar_feed_owner_id REFERENCES person (id),
        kind text NOT NULL CONSTRAINT ck_calendar_feed_kind CHECK (kind IN ('person', 'team', 'schedule')),
        team_id uuid CONSTRAINT fk_calendar_feed_team_id REFERENCES team (id),
        slot text,
        created_at timestamptz NOT NULL,
        used_at timestamptz,
        revoked_at timestamptz,
        CONSTRAINT ck_calendar_feed_subject CHECK ((kind = 'person') = (team_id IS NULL))
    )
    """,
    "CREATE INDEX ix_calendar_feed_owner_id ON calendar_feed (owner_id)",
)


def upgrade() -> None:
    """What stands stays valid: new columns are empty or have the value of a simple rotation."""
    for statement in _STATEMENTS:
        op.execute(statement)
