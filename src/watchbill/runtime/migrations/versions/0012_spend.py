"""What a budget was spent on: incidents, changes, dependencies."""

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
