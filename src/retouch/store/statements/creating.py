"""Statements that write a create, and that read the queue before it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite compiles the same clause

from retouch.ports import ONCE_WITHIN_S
from retouch.store.statements.terms import NOW, p, several
from retouch.store.tables import UNFINISHED, lanes, meters, predictions, turns

lane_tags = sa.select(lanes.c.priority, lanes.c.tag)
"""The virtual clock of each priority, of which there are few."""

turn_tags = (
    sa.select(turns.c.priority, turns.c.owner, turns.c.tag)
    .where(sa.tuple_(turns.c.priority, turns.c.owner).in_(several("whose")))
    .order_by(turns.c.priority, turns.c.owner)
    .with_for_update()
)
"""The next tag of each (priority, owner) in `whose`, locked in one order so that two batches
never wait for each other."""

highest_seq = sa.select(sa.func.coalesce(sa.func.max(p.seq), 0))
"""How far rows are numbered: one look at the end of the primary key."""


unfinished_of = (
    sa.select(p.owner, sa.func.count().label("total"))
    .where(UNFINISHED, p.owner.in_(several("owners")))
    .group_by(p.owner)
)
"""How many predictions of each of `owners` are not over: a stretch of a small index."""

spent_by = sa.select(meters.c.owner, meters.c.spent_until).where(
    meters.c.owner.in_(several("owners"))
)
"""When each of `owners` has spent its creates."""


def lock(number: int) -> sa.Select[Any]:
    """PostgreSQL: hold what this number stands for until the transaction ends."""
    return sa.select(sa.func.pg_advisory_xact_lock(sa.cast(number, sa.BigInteger)))


now = sa.select(NOW)


forget_once = (
    sa.update(predictions)
    .where(p.once.in_(several("lapsed")), p.created_at <= NOW - ONCE_WITHIN_S)
    .values(once=None)
)
"""Free those of `lapsed` whose time is over."""


def _set_meter() -> sa.Insert:
    insert = upsert(meters)
    spent = {"spent_until": insert.excluded.spent_until}
    return insert.on_conflict_do_update(index_elements=["owner"], set_=spent)


set_meter = _set_meter()


def _raise_tag(table: sa.Table, *key: str) -> sa.Insert:
    insert = upsert(table)
    tag = insert.excluded.tag
    return insert.on_conflict_do_update(
        index_elements=list(key), set_={"tag": tag}, where=table.c.tag < tag
    )


raise_lane = _raise_tag(lanes, "priority")
raise_turn = _raise_tag(turns, "priority", "owner")
