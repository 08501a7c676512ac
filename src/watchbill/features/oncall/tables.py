"""Tables of on-call."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.runtime.db import Instant, metadata

rotation = sa.Table(
    "rotation",
    metadata,
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("spec", JSONB, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("effective_from", Instant, nullable=False),
    sa.Column("phases", JSONB),  # by layer; null: a simple rotation, whose phase is its own column
    sa.CheckConstraint("version >= 1", name="version"),
)

oncall_override = sa.Table(
    "oncall_override",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), nullable=False),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("start_at", Instant, nullable=False),
    sa.Column("end_at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("cancelled_at", Instant),
    sa.Column("slot", sa.Text, nullable=False, server_default="primary"),
    sa.Column("kind", sa.Text, nullable=False, server_default="override"),
    sa.Column("instead_of", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("swap_id", sa.Uuid),
    sa.CheckConstraint("start_at < end_at", name="order"),
    sa.Index("ix_oncall_override_team_id_end_at", "team_id", "end_at"),
    sa.Index("ix_oncall_override_person_id", "person_id"),
)

oncall_record = sa.Table(
    "oncall_record",
    metadata,
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), primary_key=True),
    sa.Column("start_at", Instant, primary_key=True),
    sa.Column("end_at", Instant),  # null: still running, as far as was seen
    sa.Column("planned_end_at", Instant, nullable=False),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id")),  # null: nobody was on call
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("override_id", sa.Uuid, sa.ForeignKey("oncall_override.id")),
    sa.Column("crew", JSONB),  # the others on call at once, other slots, shadows; null: nobody else
    sa.CheckConstraint("end_at > start_at", name="order"),
    sa.Index("uq_oncall_record_running", "team_id", unique=True, postgresql_where=sa.text("end_at IS NULL")),
    sa.Index("ix_oncall_record_person_id_start_at", "person_id", "start_at"),
)

oncall_swap = sa.Table(
    "oncall_swap",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id"), nullable=False),
    sa.Column("slot", sa.Text, nullable=False),
    sa.Column("from_person", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("to_person", sa.Uuid, sa.ForeignKey("person.id")),  # null: whoever of the team takes it
    sa.Column("start_at", Instant, nullable=False),
    sa.Column("end_at", Instant, nullable=False),
    sa.Column("back_start_at", Instant),  # what from_person takes over in return
    sa.Column("back_end_at", Instant),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("decided_by", sa.Uuid, sa.ForeignKey("person.id")),
    sa.Column("decided_at", Instant),
    sa.CheckConstraint("state IN ('open', 'accepted', 'declined', 'withdrawn', 'expired', 'undone')", name="state"),
    sa.CheckConstraint("start_at < end_at AND back_start_at < back_end_at", name="order"),
    sa.Index("ix_oncall_swap_team_id_created_at", "team_id", "created_at"),
    sa.Index("ix_oncall_swap_open", "expires_at", postgresql_where=sa.text("state = 'open'")),
)

time_off = sa.Table(
    "time_off",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("start_at", Instant, nullable=False),
    sa.Column("end_at", Instant, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("calendar", sa.Text),  # the name of the calendar it was imported from; null: entered by hand
    sa.Column("created_at", Instant, nullable=False),
    sa.CheckConstraint("start_at < end_at", name="order"),
    sa.Index("ix_time_off_person_id_end_at", "person_id", "end_at"),
)

oncall_person = sa.Table(
    "oncall_person",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("holidays", sa.Text, nullable=False),
)

public_holiday = sa.Table(
    "public_holiday",
    metadata,
    sa.Column("calendar", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)

calendar_feed = sa.Table(
    "calendar_feed",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("owner_id", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("team_id", sa.Uuid, sa.ForeignKey("team.id")),
    sa.Column("slot", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.CheckConstraint("kind IN ('person', 'team', 'schedule')", name="kind"),
    sa.CheckConstraint("(kind = 'person') = (team_id IS NULL)", name="subject"),
    sa.Index("ix_calendar_feed_owner_id", "owner_id"),
)
