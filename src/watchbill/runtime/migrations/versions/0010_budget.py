"""What is left out of a budget, and the policy that acts on what remains."""

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
