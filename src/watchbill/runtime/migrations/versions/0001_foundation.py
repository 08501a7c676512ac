"""The first schema: every feature's tables, written out, and the ledger's partitions."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    for statement in Path(__file__).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)
    now = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    ledger.ensure_partitions(Tx(connection, now))
