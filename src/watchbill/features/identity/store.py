"""Tables of people, their contact methods, tokens and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from watchbill.runtime.db import Instant, metadata

_ROLES = "role IN ('viewer', 'responder', 'admin')"

person = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("login", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email", sa.Text),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("password_hash", sa.Text),
    sa.Column("invited_at", Instant),
    sa.Column("erased_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.CheckConstraint(_ROLES, name="role"),
)

contact_method = sa.Table(
    "contact_method",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("verified_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("proved_at", Instant),
    sa.Column("tried_at", Instant),
    sa.Column("tried_error", sa.Text),
    sa.UniqueConstraint("person_id", "channel", "address"),
)

contact_code = sa.Table(
    "contact_code",
    metadata,
    sa.Column("contact_method_id", sa.Uuid, sa.ForeignKey("contact_method.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("sent_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)

personal_rule = sa.Table(
    "personal_rule",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("rule", JSONB, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

reach_test = sa.Table(
    "reach_test",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("answer_by", Instant, nullable=False),
    sa.Column("answered_at", Instant),
    sa.Column("channel", sa.Text),
    sa.CheckConstraint("state IN ('open', 'answered', 'unanswered')", name="state"),
    sa.Index("ix_reach_test_person_id_started_at", "person_id", "started_at"),
)

web_push_key = sa.Table(
    "web_push_key",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("private_key", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.CheckConstraint("id = 1", name="one"),
)

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("team_id", sa.Uuid),  # a team of the catalog, which lies above this feature: no foreign key
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_used_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.CheckConstraint(_ROLES, name="role"),
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("person.id"), index=True),
    sa.Column("token_id", sa.Uuid, sa.ForeignKey("token.id"), index=True),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, index=True),
    sa.CheckConstraint("num_nonnulls(person_id, token_id) = 1", name="one_owner"),
)

PERSON = (
    person.c.id,
    person.c.login,
    person.c.name,
    person.c.email,
    person.c.time_zone,
    person.c.role,
    person.c.active,
    person.c.invited_at,
    person.c.erased_at,
    person.c.created_at,
    person.c.password_hash.is_not(None).label("has_password"),
)
"""The columns of a `Person`: everything but the password's hash."""

TOKEN = tuple(column for column in token.c if column.name != "hash")
"""The columns of a `Token`: everything but the secret's hash."""
