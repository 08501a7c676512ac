"""Deployments watched in Kubernetes, and recoveries judged by burn."""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
