"""Callers' uploads."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningDelete

from retouch.ports import Cursor
from retouch.store.statements.terms import Query
from retouch.store.tables import files

insert_file = sa.insert(files)


def one_file(id: str, owner: str | None) -> Query:
    """One file, whoever's or this owner's."""
    query = sa.select(files).where(files.c.id == id)
    return query if owner is None else query.where(files.c.owner == owner)


def page_files(owner: str, limit: int, after: Cursor | None) -> Query:
    """A stretch of an owner's files, newest first."""
    age = (files.c.created_at, files.c.id)
    query = sa.select(files).where(files.c.owner == owner)
    if after is not None:
        query = query.where(sa.tuple_(*age) < (after.created_at, after.id))
    return query.order_by(*(column.desc() for column in age)).limit(limit)


def delete_file(id: str, owner: str | None) -> ReturningDelete[*tuple[Any, ...]]:
    """Forget a file and say what it was."""
    gone = sa.delete(files).where(files.c.id == id)
    if owner is not None:
        gone = gone.where(files.c.owner == owner)
    return gone.returning(files)


def expired_files(now: float, limit: int) -> Query:
    """Files past their expiry, oldest first."""
    f = files.c
    return sa.select(files).where(f.expires_at <= now).order_by(f.expires_at, f.id).limit(limit)
