"""What a create writes, and what has to be known of the queue before."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite compiles the same clause

from retouch.ports import ONCE_WITHIN_S
from retouch.store.statements.terms import NOW, p
from retouch.store.tables import UNFINISHED, events, lanes, meters, predictions, turns

insert_predictions = sa.insert(predictions)
insert_events = sa.insert(events)


def lane_tags(priorities: Collection[int]) -> sa.Select[int, float]:
    """The virtual clock of each priority."""
    return sa.select(lanes.c.priority, lanes.c.tag).where(lanes.c.priority.in_(list(priorities)))


def turn_tags(whose: Collection[tuple[int, str]]) -> sa.Select[int, str, float]:
    """The next tag of each (priority, owner), locked in one order so that two batches never
    wait for each other."""
    return (
        sa.select(turns.c.priority, turns.c.owner, turns.c.tag)
        .where(sa.tuple_(turns.c.priority, turns.c.owner).in_(list(whose)))
        .order_by(turns.c.priority, turns.c.owner)
        .with_for_update()
    )


highest_seq = sa.select(sa.func.coalesce(sa.func.max(p.seq), 0))
"""How far rows are numbered: one look at the end of the primary key."""


def unfinished_of(owners: Collection[str]) -> sa.Select[str, int]:
    """How many predictions of each of these owners are not over: a stretch of a small index."""
    mine = sa.select(p.owner, sa.func.count().label("total"))
    return mine.where(UNFINISHED, p.owner.in_(sorted(owners))).group_by(p.owner)


def spent_by(owners: Collection[str]) -> sa.Select[str, float]:
    """When each of these owners has spent its creates."""
    m = meters.c
    return sa.select(m.owner, m.spent_until).where(m.owner.in_(sorted(owners)))


def lock(number: int) -> sa.Select[Any]:
    """PostgreSQL: hold what this number stands for until the transaction ends."""
    return sa.select(sa.func.pg_advisory_xact_lock(sa.cast(number, sa.BigInteger)))


now = sa.select(NOW)


def forget_once(lapsed: Collection[str]) -> sa.Update:
    """Free those of these whose time is over."""
    over = p.created_at <= NOW - ONCE_WITHIN_S
    return sa.update(predictions).where(p.once.in_(list(lapsed)), over).values(once=None)


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
