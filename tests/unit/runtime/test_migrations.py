"""The schema that migrations make is the schema that the code declares."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import SetupError
from watchbill.runtime import ledger, migrate
from watchbill.runtime.db import Database, metadata
from watchbill.runtime.migrations.stores import import_stores


def test_the_migrated_schema_is_what_the_stores_declare(db: Database) -> None:
    import_stores()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _parents: (
                    kind != "table" or not str(name).startswith("ledger_entry_")
                )
            },
        )
        assert compare_metadata(context, metadata) == []


def test_an_empty_database_is_refused_until_it_is_migrated(empty_database_url: str) -> None:
    with pytest.raises(SetupError, match=r"the database schema is empty; this Watchbill needs"):
        migrate.require_schema(empty_database_url)
    assert migrate.upgrade(empty_database_url) == (None, migrate.head())
    assert migrate.upgrade(empty_database_url) == (migrate.head(), migrate.head())
    migrate.require_schema(empty_database_url)


def test_a_newer_schema_is_tolerated(database_url: str) -> None:
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        migrate.require_schema(database_url)
        assert migrate.upgrade(database_url) == ("9999", "9999")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :head"), {"head": migrate.head()})
        engine.dispose()


def test_entries_written_before_their_partition_move_into_it(database_url: str) -> None:
    clock = VirtualClock(datetime(2031, 7, 15, tzinfo=UTC))
    db = Database(database_url, clock=clock)
    try:
        with db.transaction() as tx:
            ledger.append(tx, name="thing.done", actor=ledger.system("test"), subject=("thing", 1))
        with db.transaction() as tx:
            assert ledger.ensure_partitions(tx, months_ahead=0) == ["ledger_entry_2031_07"]
            assert ledger.ensure_partitions(tx, months_ahead=0) == []
            assert [entry.name for entry in ledger.entries(tx)] == ["thing.done"]
            assert tx.execute(sa.text("SELECT count(*) FROM ledger_entry_2031_07")).scalar() == 1
            tx.execute(sa.text("DROP TABLE ledger_entry_2031_07"))
    finally:
        db.dispose()
