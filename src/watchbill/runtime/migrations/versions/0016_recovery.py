"""How the recovery after a rollback is judged, and what was seen."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: one new nullable column; a run without it is judged by its alerts."""
    op.execute("ALTER TABLE rollback_run ADD COLUMN verification JSONB")
