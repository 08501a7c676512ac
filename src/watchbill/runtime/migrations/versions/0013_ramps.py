"""Watched ramps of load, and what they found."""

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
