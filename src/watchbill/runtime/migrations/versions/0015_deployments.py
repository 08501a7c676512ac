"""Deployments watched in Kubernetes, and recoveries judged by burn."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE deployment_watch (
        cluster TEXT NOT NULL,
        namespace TEXT NOT NULL,
        holder TEXT,
        lease UUID,
        leased_until TIMESTAMP WITH TIME ZONE,
        resource_version TEXT,
        began_at TIMESTAMP WITH TIME ZONE NOT NULL,
        listed_at TIMESTAMP WITH TIME ZONE,
        heard_at TIMESTAMP WITH TIME ZONE,
        trouble TEXT,
        trouble_code TEXT,
        trouble_since_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_deployment_watch PRIMARY KEY (cluster, namespace)
    )
    """,
    """
    CREATE TABLE deployment (
        cluster TEXT NOT NULL,
        uid TEXT NOT NULL,
        scope TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        generation BIGINT NOT NULL,
        revision BIGINT,
        template TEXT NOT NULL,
        templates JSONB NOT NULL,
        state TEXT NOT NULL,
        service TEXT NOT NULL,
        environment TEXT NOT NULL,
        change_id UUID,
        started_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_deployment PRIMARY KEY (cluster, uid),
        CONSTRAINT ck_deployment_state CHECK (state IN ('settled', 'rolling', 'failed')),
        CONSTRAINT fk_deployment_change_id FOREIGN KEY(change_id) REFERENCES change (id)
    )
    """,
    "CREATE INDEX ix_deployment_change_id ON deployment (change_id)",
    """
    CREATE TABLE change_alias (
        integration_id UUID NOT NULL,
        external_id TEXT NOT NULL,
        change_id UUID NOT NULL,
        CONSTRAINT pk_change_alias PRIMARY KEY (integration_id, external_id),
        CONSTRAINT fk_change_alias_integration_id FOREIGN KEY(integration_id) REFERENCES integration (id),
        CONSTRAINT fk_change_alias_change_id FOREIGN KEY(change_id) REFERENCES change (id)
    )
    """,
    "CREATE INDEX ix_change_alias_change_id ON change_alias (change_id)",
)


def upgrade() -> None:
    """Expand only: new tables, new nullable columns."""
    for statement in _STATEMENTS:
        op.execute(statement)
