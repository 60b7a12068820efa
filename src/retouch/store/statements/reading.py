"""Statements that read predictions and their events."""

import sqlalchemy as sa

from retouch.ports import ONCE_WITHIN_S, Cursor, Filter
from retouch.store.statements.terms import NOW, Query, p, several
from retouch.store.tables import QUEUED, RUNNING, events, predictions

those: Query = sa.select(predictions).where(p.id.in_(several("ids")))
"""The predictions with these `ids`, whoever's."""


def twin(owner: str, fingerprint: str, within_s: float) -> Query:
    """The newest prediction of an owner with a fingerprint, not older than `within_s`."""
    return (
        sa.select(predictions)
        .where(p.owner == owner, p.fingerprint == fingerprint, p.created_at >= NOW - within_s)
        .order_by(p.created_at.desc(), p.id.desc())
        .limit(1)
    )


def first(once: str) -> Query:
    """What was added under `once`, while it counts."""
    return sa.select(predictions).where(p.once == once, p.created_at > NOW - ONCE_WITHIN_S)


statuses = sa.select(p.id, p.status).where(p.id.in_(several("ids")))
"""The status of each known one of `ids`."""

standings = sa.select(p.id, p.status, p.attempt).where(p.id.in_(several("ids")))
"""The status and attempt of each known one of `ids`."""


def page(owner: str | None, limit: int, after: Cursor | None, where: Filter) -> Query:
    """A stretch of the list, newest first."""
    query = sa.select(predictions).order_by(p.created_at.desc(), p.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(p.owner == owner)
    if after is not None:
        query = query.where(sa.tuple_(p.created_at, p.id) < (after.created_at, after.id))
    if where.intact:
        query = query.where(sa.not_(p.record_gone))
    if where.created_after is not None:
        query = query.where(p.created_at >= where.created_after)
    if where.created_before is not None:
        query = query.where(p.created_at < where.created_before)
    return query


def turn_of(id: str) -> sa.Select[int, float, int]:
    """Where a queued prediction stands."""
    return sa.select(p.priority, p.tag, p.seq).where(p.id == id, QUEUED)


def ahead(priority: int, tag: float, seq: int) -> sa.Select[int]:
    """How many stand before that turn: two ranges of the queue's index."""
    count = sa.select(sa.func.count()).select_from(predictions)
    sooner = count.where(QUEUED, p.priority > priority).scalar_subquery()
    same = count.where(
        QUEUED, p.priority == priority, sa.tuple_(p.tag, p.seq) < (tag, seq)
    ).scalar_subquery()
    return sa.select(sooner + same)


def history(id: str, after: int) -> Query:
    """A prediction's events after a seq."""
    e = events.c
    return sa.select(events).where(e.prediction_id == id, e.seq > after).order_by(e.seq)


depth = sa.select(
    *(
        sa.select(sa.func.count()).select_from(predictions).where(state).scalar_subquery()
        for state in (QUEUED, RUNNING)
    )
)
"""How many are queued and how many run, each from its own small index."""

oldest_wait = sa.select(NOW - sa.func.min(p.created_at)).where(QUEUED)
"""How long the longest waiting has waited; null without any."""
