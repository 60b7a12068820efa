"""Callers' keys."""

import sqlalchemy as sa

from retouch.store.statements.terms import Query
from retouch.store.tables import keys

insert_key = sa.insert(keys)
all_keys = sa.select(keys).order_by(keys.c.created_at, keys.c.id)


def live_key(prefix: str) -> Query:
    """The unrevoked key with a prefix."""
    return sa.select(keys).where(keys.c.prefix == prefix, keys.c.revoked_at.is_(None))


def revoke_key(id: str, at: float) -> sa.Update:
    """Revoke a key that is not revoked yet."""
    return sa.update(keys).where(keys.c.id == id, keys.c.revoked_at.is_(None)).values(revoked_at=at)
