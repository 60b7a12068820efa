"""The prediction table: the queue and the only truth. `SqlStore` runs on SQLite and PostgreSQL."""

from retouch.store.schema import migrate
from retouch.store.snapshot import snapshot
from retouch.store.sql import SqlStore

__all__ = ["SqlStore", "migrate", "snapshot"]
