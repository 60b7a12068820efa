"""Run by Alembic, on the connection and in the transaction that `retouch.store.schema` opened."""

from alembic import context

from retouch.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
