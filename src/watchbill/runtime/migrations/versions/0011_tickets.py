"""Tickets of slow burns, in the places a team works in; how each source of counts is."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE ticket (
        id UUID NOT NULL,
        alert_id UUID NOT NULL,
        integration_id UUID NOT NULL,
        identity TEXT NOT NULL,
        team_id UUID NOT NULL,
        title TEXT NOT NULL,
        place JSONB NOT NULL,
        state TEXT NOT NULL,
        marker TEXT NOT NULL,
        ref TEXT,
        url TEXT,
        said JSONB,
        comments INTEGER DEFAULT 0 NOT NULL,
        tried_at TIMESTAMP WITH TIME ZONE,
        attempts INTEGER DEFAULT 0 NOT NULL,
        failing_at TIMESTAMP WITH TIME ZONE,
        told_at TIMESTAMP WITH TIME ZONE,
        error TEXT,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE,
        closed_at TIMESTAMP WITH TIME ZONE,
        looked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_ticket PRIMARY KEY (id),
        CONSTRAINT fk_ticket_team_id FOREIGN KEY(team_id) REFERENCES team (id),
        CONSTRAINT uq_ticket_alert_id UNIQUE (alert_id),
        CONSTRAINT ck_ticket_state
            CHECK (state IN ('wanted', 'open', 'closed', 'closed_outside', 'gone', 'dropped', 'failed'))
    )
    """,
    "CREATE INDEX ix_ticket_identity ON ticket (integration_id, identity, created_at)",
    "CREATE INDEX ix_ticket_team_id ON ticket (team_id, created_at)",
    "CREATE INDEX ix_ticket_failing ON ticket (failing_at) WHERE failing_at IS NOT NULL",
    """
    CREATE TABLE ticket_pause (
        connection TEXT NOT NULL,
        until_at TIMESTAMP WITH TIME ZONE NOT NULL,
        why TEXT NOT NULL,
        CONSTRAINT pk_ticket_pause PRIMARY KEY (connection)
    )
    """,
    """
    CREATE TABLE slo_source (
        name TEXT NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE,
        down_at TIMESTAMP WITH TIME ZONE,
        error TEXT,
        CONSTRAINT pk_slo_source PRIMARY KEY (name)
    )
    """,
)


def upgrade() -> None:
    """Expand only: new tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
