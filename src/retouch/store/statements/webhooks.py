"""Deliveries: due, tried, sent again."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite compiles the same clause

from retouch.ports import Delivered, DeliveryState, GiveUp, Outcome, Postpone, Retry
from retouch.store.rows import text
from retouch.store.statements.terms import NOW, Moved, Query, d, run_once
from retouch.store.tables import WAITING, deliveries

insert_deliveries = upsert(deliveries).on_conflict_do_nothing(index_elements=["id"])
anything_due = sa.select(d.id).where(WAITING, d.due_at <= NOW).limit(1)
"""A row if `due` may find something."""


def due(limit: int, lease_s: float, sender: str) -> Moved:
    """Claim the deliveries that have been due longest. Locked ones are stepped over."""
    first = (
        sa.select(d.id)
        .where(WAITING, d.due_at <= NOW)
        .order_by(d.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (
        sa.update(deliveries)
        .where(d.id.in_(run_once(first)), WAITING)
        .values(attempt=d.attempt + 1, due_at=NOW + lease_s, sender=sender)
        .returning(deliveries)
    )


def release_deliveries(sender: str) -> sa.Update:
    """Make due what a sender has claimed and not settled."""
    claimed = sa.update(deliveries).where(WAITING, d.due_at > NOW, d.sender == sender)
    return claimed.values(due_at=NOW, sender="")


def settle(id: str, attempt: int, outcome: Outcome) -> sa.Update:
    """Record how an attempt ended, while it is the current one."""
    current = sa.update(deliveries).where(d.id == id, d.attempt == attempt, WAITING)
    match outcome:
        case Delivered(note):
            return current.values(sender="", state=DeliveryState.DELIVERED, note=text(note))
        case GiveUp(note):
            return current.values(sender="", state=DeliveryState.GIVEN_UP, note=text(note))
        case Retry(in_s, note):
            return current.values(sender="", due_at=NOW + in_s, note=text(note))
        case Postpone(in_s):
            return current.values(sender="", due_at=NOW + in_s, attempt=d.attempt - 1)


def newest_deliveries(limit: int) -> Query:
    """What was told last."""
    return sa.select(deliveries).order_by(d.created_at.desc(), d.id.desc()).limit(limit)


def replay(id: str) -> Moved:
    """Make a delivery due now, as if it had never been tried."""
    return (
        sa.update(deliveries)
        .where(d.id == id)
        .values(state=DeliveryState.WAITING, attempt=0, due_at=NOW, sender="")
        .returning(deliveries)
    )
