"""Evidence the primitives emit, as readiness reads it."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE evidence_line (
        service_name TEXT NOT NULL,
        environment TEXT NOT NULL,
        dependency TEXT NOT NULL,
        primitive TEXT NOT NULL,
        setting TEXT NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        reported_at TIMESTAMP WITH TIME ZONE NOT NULL,
        first_at TIMESTAMP WITH TIME ZONE NOT NULL,
        senseless BOOLEAN DEFAULT false NOT NULL,
        CONSTRAINT pk_evidence_line PRIMARY KEY (service_name, environment, dependency, primitive, setting)
    )
    """,
    "CREATE INDEX ix_evidence_line_reported_at ON evidence_line (reported_at)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _STATEMENTS:
        op.execute(statement)
