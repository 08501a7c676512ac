"""Tables of capacity, and the SQL that carries the observer's counts into days of demand."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from watchbill.runtime.db import Instant, metadata

capacity_day = sa.Table(
    "capacity_day",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("day_at", Instant, primary_key=True),
    sa.Column("mean", ARRAY(sa.Float), nullable=False),
    sa.Column("peak", ARRAY(sa.Float), nullable=False),
)
"""One UTC day of one demand: the mean of each hour, and its busiest bucket; NULL in the array is a gap."""

capacity_forecast = sa.Table(
    "capacity_forecast",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("data", JSONB, nullable=False),
)
capacity_state = sa.Table(
    "capacity_state",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("headroom", sa.Float),
    sa.Column("finding", sa.Text),
    sa.Column("data", JSONB, nullable=False),
)
capacity_curve = sa.Table(
    "capacity_curve",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("fit", JSONB, nullable=False),
    sa.Column("points", JSONB, nullable=False),
    sa.Column("latency_ms", sa.Float),
    sa.Column("capacity", sa.Float, nullable=False),
    sa.Column("saved_at", Instant, nullable=False),
)
capacity_journey = sa.Table(
    "capacity_journey",
    metadata,
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("measured_at", Instant, nullable=False),
    sa.Column("traces", sa.Integer, nullable=False),
    sa.Column("fanouts", JSONB, nullable=False),
)
capacity_sign_off = sa.Table(
    "capacity_sign_off",
    metadata,
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), primary_key=True),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("signed_by", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("signed_at", Instant, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("headroom", sa.Float),
)
capacity_ramp = sa.Table(
    "capacity_ramp",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("replicas", sa.Integer),
    sa.Column("step_seconds", sa.Integer, nullable=False),
    sa.Column("latency_ms", sa.Float),
    sa.Column("save", sa.Boolean, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("steps", JSONB, nullable=False),
    sa.Column("fit", JSONB(none_as_null=True)),
    sa.Column("capacity", sa.Float),
    sa.Index("ix_capacity_ramp_service_id_started_at", "service_id", "started_at"),
)
sa.Index(
    "uq_capacity_ramp_watching",
    capacity_ramp.c.service_id,
    unique=True,
    postgresql_where=sa.text("state = 'watching'"),
)
"""A watched ramp of load; one at a time for a service."""

capacity_night = sa.Table(
    "capacity_night",
    metadata,
    sa.Column("one", sa.Boolean, sa.CheckConstraint("one", name="one"), primary_key=True),
    sa.Column("leased_until", Instant, nullable=False),
    sa.Column("done_for", Instant),
)
"""The lease that makes one worker do a night, and the UTC day whose night was done last."""

ROLL_UP = sa.text(
    """
    INSERT INTO capacity_day (service_id, operation, kind, day_at, mean, peak)
    SELECT picked.service_id, picked.operation, 'rate', days.day_at,
           array_agg(seen.mean ORDER BY hours.h), array_agg(seen.peak ORDER BY hours.h)
    FROM (
        SELECT DISTINCT ON (slo.operation_id) slo.id, slo.service_id, operation.name AS operation
        FROM slo JOIN operation ON operation.id = slo.operation_id AND operation.removed_at IS NULL
        WHERE slo.removed_at IS NULL ORDER BY slo.operation_id, slo.name
    ) AS picked
    CROSS JOIN (SELECT generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz) - interval '1 day',
                                       interval '1 day') AS day_at) AS days
    CROSS JOIN generate_series(0, 23) AS hours (h)
    LEFT JOIN (
        SELECT slo_id, hour_at,
            (SELECT sum(t) FROM unnest(total) AS t) / 3600.0 AS mean,
            (SELECT max(t) FROM unnest(total) AS t)::float / bucket_seconds AS peak
        FROM slo_series WHERE hour_at >= :since AND hour_at < :until
    ) AS seen ON seen.slo_id = picked.id AND seen.hour_at = days.day_at + hours.h * interval '1 hour'
    GROUP BY picked.service_id, picked.operation, days.day_at
    HAVING count(seen.mean) > 0
    ON CONFLICT (service_id, operation, kind, day_at) DO UPDATE SET mean = excluded.mean, peak = excluded.peak
    """
)
"""Whole UTC days of [since, until) from the hours that the observer wrote; an hour without a row is a gap."""
