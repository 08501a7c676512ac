"""What Alembic runs: always on the connection that `watchbill.runtime.migrate` hands over, never from an ini file."""

from alembic import context

from watchbill.runtime.db import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
