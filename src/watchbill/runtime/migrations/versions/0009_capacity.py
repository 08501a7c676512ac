"""Demand, capacity and forecasts."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE capacity_day (
        service_id UUID NOT NULL,
        operation TEXT NOT NULL,
        kind TEXT NOT NULL,
        day_at TIMESTAMP WITH TIME ZONE NOT NULL,
        mean DOUBLE PRECISION[] NOT NULL,
        peak DOUBLE PRECISION[] NOT NULL,
        CONSTRAINT pk_capacity_day PRIMARY KEY (service_id, operation, kind, day_at),
        CONSTRAINT fk_capacity_day_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    """
    CREATE TABLE capacity_forecast (
        service_id UUID NOT NULL,
        operation TEXT NOT NULL,
        kind TEXT NOT NULL,
        made_at TIMESTAMP WITH TIME ZONE NOT NULL,
        data JSONB NOT NULL,
        CONSTRAINT pk_capacity_forecast PRIMARY KEY (service_id, operation, kind),
        CONSTRAINT fk_capacity_forecast_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    """
    CREATE TABLE capacity_state (
        service_id UUID NOT NULL,
        made_at TIMESTAMP WITH TIME ZONE NOT NULL,
        headroom DOUBLE PRECISION,
        finding TEXT,
        data JSONB NOT NULL,
        CONSTRAINT pk_capacity_state PRIMARY KEY (service_id),
        CONSTRAINT fk_capacity_state_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    """
    CREATE TABLE capacity_curve (
        service_id UUID NOT NULL,
        fit JSONB NOT NULL,
        points JSONB NOT NULL,
        latency_ms DOUBLE PRECISION,
        capacity DOUBLE PRECISION NOT NULL,
        saved_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_capacity_curve PRIMARY KEY (service_id),
        CONSTRAINT fk_capacity_curve_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    """
    CREATE TABLE capacity_journey (
        service_id UUID NOT NULL,
        operation TEXT NOT NULL,
        measured_at TIMESTAMP WITH TIME ZONE NOT NULL,
        traces INTEGER NOT NULL,
        fanouts JSONB NOT NULL,
        CONSTRAINT pk_capacity_journey PRIMARY KEY (service_id, operation),
        CONSTRAINT fk_capacity_journey_service_id FOREIGN KEY(service_id) REFERENCES service (id)
    )
    """,
    """
    CREATE TABLE capacity_sign_off (
        team_id UUID NOT NULL,
        event TEXT NOT NULL,
        service_id UUID NOT NULL,
        signed_by UUID NOT NULL,
        signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        note TEXT NOT NULL,
        headroom DOUBLE PRECISION,
        CONSTRAINT pk_capacity_sign_off PRIMARY KEY (team_id, event, service_id),
        CONSTRAINT fk_capacity_sign_off_team_id FOREIGN KEY(team_id) REFERENCES team (id),
        CONSTRAINT fk_capacity_sign_off_service_id FOREIGN KEY(service_id) REFERENCES service (id),
        CONSTRAINT fk_capacity_sign_off_signed_by FOREIGN KEY(signed_by) REFERENCES person (id)
    )
    """,
    """
    CREATE TABLE capacity_night (
        one BOOLEAN NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE NOT NULL,
        done_for TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_capacity_night PRIMARY KEY (one),
        CONSTRAINT ck_capacity_night_one CHECK (one)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
