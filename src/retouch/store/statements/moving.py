"""Claims, beats and every other move of a prediction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from retouch.domain.prediction import (
    ARRIVES,
    ATTEMPTS,
    LEAVES,
    MAX_CRASHES,
    NOT_STARTED,
    WORKER_CRASHED,
    WORKER_LOST,
    Cancel,
    Fail,
    Fence,
    Move,
    Requeue,
    Status,
    Succeed,
)
from retouch.store.rows import failure_values, text, to_json
from retouch.store.statements.terms import NOW, TURN, Moved, Query, p, run_once, several
from retouch.store.tables import PREVIEWED, QUEUED, RUNNING, UNFINISHED, predictions

anything_queued = sa.select(p.seq).where(QUEUED).limit(1)
"""A row if a claim may find something."""


def suspicion(worker: str) -> sa.Select[int]:
    """The most crashes of anything a worker holds; no number when it holds nothing."""
    return sa.select(sa.func.max(p.crashes)).where(RUNNING, p.worker == worker)


def candidates(limit: int) -> sa.Select[int, int]:
    """The first `limit` in the queue. Rows another claimer has locked are stepped over."""
    return (
        sa.select(p.seq, p.crashes)
        .where(QUEUED)
        .order_by(*TURN)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def claim(worker: str, chosen: Collection[int], lease_s: float) -> Moved:
    """Start what was chosen of the candidates, in their transaction."""
    return (
        sa.update(predictions)
        .where(p.seq.in_(list(chosen)), QUEUED)
        .values(
            status=Status.RUNNING,
            worker=worker,
            attempt=p.attempt + 1,
            lease_until=NOW + lease_s,
            started_at=NOW,
            start_by=None,
        )
        .returning(predictions)
    )


def advance(id: str, move: Move, fence: Fence | None) -> Moved:
    """Make a move from the states it may leave and, when fenced, only by the holder."""
    guarded = sa.update(predictions).where(p.id == id, p.status.in_(LEAVES[type(move)]))
    if fence is not None:
        guarded = guarded.where(RUNNING, p.worker == fence.worker, p.attempt == fence.attempt)
    return guarded.values(_effects(move)).returning(predictions, NOW.label("moved_at"))


def release(worker: str | None, move: Requeue) -> Moved:
    """Give up what a worker holds, or every lapsed lease.

    A lapsed row that is locked is being renewed or finished right now, so it is left alone.
    """
    gone = sa.select(p.seq).where(RUNNING).order_by(p.worker, p.id)
    if worker is None:
        gone = gone.where(p.lease_until <= NOW).with_for_update(skip_locked=True)
    else:
        gone = gone.where(p.worker == worker).with_for_update()
    return (
        sa.update(predictions)
        .where(p.seq.in_(run_once(gone)), RUNNING)
        .values(_effects(move))
        .returning(predictions, NOW.label("moved_at"))
    )


OVERDUE: Sequence[tuple[Move, sa.ColumnElement[bool]]] = (
    (Cancel("deadline"), sa.and_(UNFINISHED, p.deadline <= NOW)),
    (Fail(NOT_STARTED), sa.and_(QUEUED, p.start_by <= NOW)),
)
"""What becomes of predictions whose time has passed: the move, and what it is made of."""


def anything_overdue(is_late: sa.ColumnElement[bool]) -> Query:
    """A row if `expire` may find something."""
    return sa.select(p.seq).where(is_late).limit(1)


def expire(move: Move, is_late: sa.ColumnElement[bool]) -> Moved:
    """Make this move of what is late. A locked row is being moved; its turn comes again."""
    late = sa.select(p.seq).where(is_late).with_for_update(skip_locked=True)
    return (
        sa.update(predictions)
        .where(p.seq.in_(run_once(late)), is_late)
        .values(_effects(move))
        .returning(predictions, NOW.label("moved_at"))
    )


renew = (
    sa.update(predictions)
    .where(
        p.id == sa.bindparam("held"),
        p.worker == sa.bindparam("by"),
        p.attempt == sa.bindparam("since"),
        RUNNING,
    )
    .values(
        lease_until=NOW + sa.bindparam("lease_s", type_=sa.Double),
        step=sa.func.coalesce(sa.bindparam("at_step", type_=sa.Integer), p.step),
        steps=sa.func.coalesce(sa.bindparam("of_steps", type_=sa.Integer), p.steps),
        previews=sa.func.coalesce(sa.bindparam("shown", type_=sa.Integer), p.previews),
    )
)
"""Renew one lease and publish its progress, by the holder of that attempt only."""


anything_previewed = sa.select(p.seq).where(PREVIEWED, p.completed_at.is_not(None)).limit(1)
"""A row if `drop_previews` may find something, now or before long."""


def drop_previews(ended_for_s: float, limit: int) -> Moved:
    """Forget the previews of what ended so long ago."""
    old = sa.select(p.seq).where(PREVIEWED, p.completed_at <= NOW - ended_for_s).limit(limit)
    return (
        sa.update(predictions)
        .where(p.seq.in_(run_once(old.with_for_update(skip_locked=True))))
        .values(previews=None)
        .returning(p.id)
    )


holders = sa.select(p.id, p.status, p.worker, p.attempt).where(p.id.in_(several("ids")))
"""Who holds each of `ids`, and in what state they stand."""


def _effects(move: Move) -> Mapping[str, Any]:
    match move:
        case Requeue("abandoned" | "crashed" | "restarted" as reason):
            crashes = p.crashes + int(reason == "crashed")
            guilty = crashes >= MAX_CRASHES if reason == "crashed" else sa.false()
            spent = sa.or_(guilty, p.attempt >= ATTEMPTS[reason])
            why = WORKER_CRASHED, WORKER_LOST
            return {
                "crashes": crashes,
                "status": _pick(spent, Status.FAILED.value, Status.QUEUED.value),
                "worker": None,
                "lease_until": None,
                "failure": _pick(spent, _pick(guilty, *(it.kind.value for it in why)), p.failure),
                "error": _pick(spent, _pick(guilty, *(it.error for it in why)), p.error),
                "metrics": _pick(spent, "{}", p.metrics),
                "logs": _pick(spent, "", p.logs),
                "step": _pick(spent, p.step, None),
                "steps": _pick(spent, p.steps, None),
                "previews": _pick(spent, p.previews, None),
                "started_at": _pick(spent, p.started_at, None),
                "completed_at": _pick(spent, NOW, None),
            }
        case Requeue("interrupted"):
            return {
                "status": Status.QUEUED,
                "worker": None,
                "lease_until": None,
                "attempt": p.attempt - 1,
                "step": None,
                "steps": None,
                "previews": None,
                "started_at": None,
            }
    over = {
        "status": ARRIVES[type(move)],
        "worker": None,
        "lease_until": None,
        "completed_at": NOW,
    }
    match move:
        case Succeed(outputs, metrics, logs):
            found = {"outputs": to_json(outputs), "metrics": to_json(metrics), "logs": text(logs)}
            return over | found
        case Fail(failure, metrics, logs):
            found = {"metrics": to_json(metrics), "logs": text(logs)}
            return over | failure_values(failure) | found
        case Cancel():
            return over
        case _:
            raise TypeError("only claim starts a prediction")


def _pick(condition: sa.ColumnElement[bool], yes: Any, no: Any) -> sa.Case[Any]:
    return sa.case((condition, yes), else_=no)
