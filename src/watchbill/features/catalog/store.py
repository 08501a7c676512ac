"""Tables of the catalog."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from watchbill.runtime.db import Instant, metadata

_LIVE = sa.text("removed_at IS NULL")

team = sa.Table(
    "team",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("former_names", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("spec", JSONB, nullable=False),
    sa.Column("spec_hash", sa.Text, nullable=False),
    sa.Column("fallback", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("removed_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("uq_team_name", "name", unique=True, postgresql_where=_LIVE),
    sa.Index("uq_team_fallback", "fallback", unique=True, postgresql_where=sa.text("fallback AND removed_at IS NULL")),
)

team_member = sa.Table(
    "team_member",
    metadata,
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.CheckConstraint("role IN ('lead', 'member', 'shadow')", name="role"),
    sa.Index("ix_team_member_person_id", "person_id"),
)

service = sa.Table(
    "service",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("former_names", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
    sa.Column("telemetry_name", sa.Text, nullable=False),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), nullable=False),
    sa.Column("tier", sa.SmallInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("spec", JSONB, nullable=False),
    sa.Column("spec_hash", sa.Text, nullable=False),
    sa.Column("removed_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.CheckConstraint("tier BETWEEN 1 AND 4", name="tier"),
    sa.Index("uq_service_name", "name", unique=True, postgresql_where=_LIVE),
    sa.Index("ix_service_team_id", "team_id"),
    sa.Index("ix_service_telemetry_name", "telemetry_name", postgresql_where=_LIVE),
    sa.Index("ix_service_former_names", "former_names", postgresql_using="gin"),
)

operation = sa.Table(
    "operation",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("match", JSONB, nullable=False),
    sa.Column("environment", sa.Text, nullable=False, server_default="production"),
    sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    sa.Column("removed_at", Instant),
    sa.UniqueConstraint("service_id", "name"),
)

service_dependency = sa.Table(
    "service_dependency",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("depends_on_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Index("ix_service_dependency_depends_on_id", "depends_on_id"),
)

manifest_source = sa.Table(
    "manifest_source",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("applied_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

team_channel = sa.Table(
    "team_channel",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.UniqueConstraint("team_id", "name"),
)
"""Where a whole team is told: a chat channel, a webhook. Not in manifests: an address may be a secret."""
