"""Statements on the roster of processes that are up."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite compiles the same clause

from retouch.ports import Enlisted
from retouch.store.statements.terms import NOW
from retouch.store.tables import roster


def enlist(process: Enlisted) -> sa.Insert:
    """Record that a process is up, and its figures."""
    insert = upsert(roster).values(
        name=process.name, kind=process.kind.value, seen_at=NOW, figures=process.figures
    )
    new = {column: insert.excluded[column] for column in ("kind", "seen_at", "figures")}
    return insert.on_conflict_do_update(index_elements=["name"], set_=new)


def strike(name: str) -> sa.Delete:
    """Forget a process."""
    return sa.delete(roster).where(roster.c.name == name)


def strike_silent(for_s: float) -> sa.Delete:
    """Forget the processes not heard for so long."""
    return sa.delete(roster).where(roster.c.seen_at < NOW - for_s)


def enlisted(within_s: float) -> sa.Select[str, str, str]:
    """The processes heard lately."""
    lately = roster.c.seen_at >= NOW - within_s
    return sa.select(roster.c.name, roster.c.kind, roster.c.figures).where(lately).order_by("name")
