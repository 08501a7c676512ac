"""The first schema: every feature's tables, and the ledger's partitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx, metadata
from watchbill.runtime.migrations.stores import import_stores

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    import_stores()
    connection = op.get_bind()
    _complete(metadata).create_all(connection)
    op.execute("CREATE TABLE ledger_entry_default PARTITION OF ledger_entry DEFAULT")
    now = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    ledger.ensure_partitions(Tx(connection, now))


def _complete(declared: sa.MetaData) -> sa.MetaData:
    """A copy in which a table that another refers to, and nobody declares yet, is there with its id only."""
    assert due.due_row.metadata is declared  # noqa: S101  the runtime's own tables are on the same metadata
    copy = sa.MetaData(naming_convention=declared.naming_convention)
    for table in declared.tables.values():
        table.to_metadata(copy)
    wanted = {key.target_fullname.split(".")[0] for table in copy.tables.values() for key in table.foreign_keys}
    for name in sorted(wanted - set(copy.tables)):
        sa.Table(name, copy, sa.Column("id", sa.Uuid, primary_key=True))
    return copy
