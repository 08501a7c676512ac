"""Evidence the primitives emit, as readiness reads it."""

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
