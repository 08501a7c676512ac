"""The table of evidence."""

from __future__ import annotations

import sqlalchemy as sa

from watchbill.runtime.db import Instant, metadata

evidence_line = sa.Table(
    "evidence_line",
    metadata,
    sa.Column("service_name", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("dependency", sa.Text, primary_key=True),
    sa.Column("primitive", sa.Text, primary_key=True),
    sa.Column("setting", sa.Text, primary_key=True),
    sa.Column("used_at", Instant),
    sa.Column("reported_at", Instant, nullable=False),
    sa.Column("first_at", Instant, nullable=False),
    sa.Column("senseless", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_evidence_line_reported_at", "reported_at"),
)
"""By names, not ids: a service may tell before its manifest is applied, and a dependency need not be in the catalog."""
