"""Statements that find outdated parts of predictions and forget them."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from retouch.domain.prediction import Kept
from retouch.store.statements.terms import Query, d, p
from retouch.store.tables import (
    HAVING,
    HAVING_OWN,
    OWN_SPAN,
    UNFINISHED,
    deliveries,
    events,
    predictions,
)


def outdated(kept: Kept, before: float, limit: int) -> Query:
    """What was over by then, still has this and has no time of its own, oldest first."""
    old = sa.select(predictions).where(HAVING[kept], p.completed_at <= before)
    return old.order_by(p.completed_at).limit(limit)


def next_span(kept: Kept, after: float) -> sa.Select[float | None]:
    """The shortest of predictions' own times for this that is longer; one look at an index."""
    return sa.select(sa.func.min(OWN_SPAN[kept])).where(HAVING_OWN[kept], OWN_SPAN[kept] > after)


def outdated_by_own(kept: Kept, span_s: float, before: float, limit: int) -> Query:
    """What keeps this for exactly so long and was over by then, oldest first."""
    own = sa.select(predictions).where(HAVING_OWN[kept], OWN_SPAN[kept] == span_s)
    return own.where(p.completed_at <= before).order_by(p.completed_at).limit(limit)


def erasable(ids: Collection[str], kept: Kept) -> Query:
    """Those of these that are over and of which this is not gone, locked in one order."""
    gone = {Kept.INPUTS: p.inputs_gone, Kept.OUTPUTS: p.outputs_gone, Kept.RECORD: p.record_gone}
    over = sa.not_(UNFINISHED)
    found = sa.select(predictions).where(p.id.in_(sorted(ids)), over, ~gone[kept])
    return found.order_by(p.id).with_for_update()


def keep_only(id: str, kept: Kept, left: Mapping[str, Any]) -> sa.Update:
    """Write what is left of a prediction; with its record everything else goes."""
    gone: dict[str, Any] = {f"{kept}_gone": True}
    if kept is Kept.RECORD:
        gone |= {f"{other}_gone": True for other in Kept} | {"fingerprint": None, "once": None}
    return sa.update(predictions).where(p.id == id).values({**left, **gone})


def forget_events(ids: Collection[str]) -> sa.Delete:
    """Drop these predictions' events."""
    return sa.delete(events).where(events.c.prediction_id.in_(list(ids)))


def forget_deliveries(ids: Collection[str]) -> sa.Delete:
    """Drop what their webhooks were told or were to be told."""
    return sa.delete(deliveries).where(d.prediction_id.in_(list(ids)))
