"""Every statement the store makes, readable on its own.

A move is one guarded UPDATE: it names the states it may leave, and its row count says whether it
won. Times of claims, beats and moves are the database's own, so hosts may disagree about the time.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite compiles the same clause
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

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
    Kept,
    Move,
    Requeue,
    Status,
    Succeed,
)
from retouch.ports import (
    ONCE_WITHIN_S,
    Cursor,
    Delivered,
    DeliveryState,
    Enlisted,
    Filter,
    GiveUp,
    Outcome,
    Postpone,
    Retry,
)
from retouch.store.rows import text, to_json
from retouch.store.tables import (
    HAVING,
    HAVING_OWN,
    OWN_SPAN,
    PREVIEWED,
    QUEUED,
    RUNNING,
    UNFINISHED,
    WAITING,
    deliveries,
    events,
    files,
    keys,
    lanes,
    meters,
    predictions,
    roster,
    turns,
)

Query = sa.Select[*tuple[Any, ...]]
Moved = ReturningUpdate[*tuple[Any, ...]]

p, d = predictions.c, deliveries.c


class Now(sa.sql.expression.ColumnElement[float]):
    """The database's clock, UTC seconds since 1970, when the statement runs."""

    inherit_cache = True
    type = sa.Double()


@compiles(Now, "postgresql")
def _now_postgresql(element: Now, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(Now, "sqlite")
def _now_sqlite(element: Now, compiler: Any, **options: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42; a Julian day is exact to the millisecond.
    return "((julianday('now') - 2440587.5) * 86400.0)"


NOW = Now()
TURN = (p.priority.desc(), p.tag, p.seq)
"""Order of claim: priority, then fair tag, then age."""

# -- create --------------------------------------------------------------------------------------

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

# -- read ----------------------------------------------------------------------------------------


def those(ids: Collection[str]) -> Query:
    """These predictions, whoever's."""
    return sa.select(predictions).where(p.id.in_(list(ids)))


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


def statuses(ids: Collection[str]) -> sa.Select[str, str]:
    """The status of each known id."""
    return sa.select(p.id, p.status).where(p.id.in_(list(ids)))


def standings(ids: Collection[str]) -> sa.Select[str, str, int]:
    """The status and attempt of each known id."""
    return sa.select(p.id, p.status, p.attempt).where(p.id.in_(list(ids)))


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

# -- processes -----------------------------------------------------------------------------------


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


# -- moves ---------------------------------------------------------------------------------------


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
        .where(p.seq.in_(_once(gone)), RUNNING)
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
        .where(p.seq.in_(_once(late)), is_late)
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
        .where(p.seq.in_(_once(old.with_for_update(skip_locked=True))))
        .values(previews=None)
        .returning(p.id)
    )


def holders(ids: Collection[str]) -> sa.Select[str, str, str | None, int]:
    """Who holds each of these, and in what state they stand."""
    return sa.select(p.id, p.status, p.worker, p.attempt).where(p.id.in_(list(ids)))


def _once(rows: sa.Select[Any]) -> sa.Select[Any]:
    # As a plain subquery PostgreSQL may run it again and so exceed its LIMIT.
    chosen = rows.cte("chosen").prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(*chosen.columns)


def _effects(move: Move) -> Mapping[str, Any]:
    match move:
        case Requeue("abandoned" | "crashed" | "restarted" as reason):
            crashes = p.crashes + int(reason == "crashed")
            guilty = crashes >= MAX_CRASHES if reason == "crashed" else sa.false()
            spent = sa.or_(guilty, p.attempt >= ATTEMPTS[reason])
            why = _pick(guilty, WORKER_CRASHED, WORKER_LOST)
            return {
                "crashes": crashes,
                "status": _pick(spent, Status.FAILED.value, Status.QUEUED.value),
                "worker": None,
                "lease_until": None,
                "error": _pick(spent, why, p.error),
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
        case Fail(error, metrics, logs):
            return over | {"error": text(error), "metrics": to_json(metrics), "logs": text(logs)}
        case Cancel():
            return over
        case _:
            raise TypeError("only claim starts a prediction")


def _pick(condition: sa.ColumnElement[bool], yes: Any, no: Any) -> sa.Case[Any]:
    return sa.case((condition, yes), else_=no)


# -- retention -----------------------------------------------------------------------------------


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


# -- webhooks ------------------------------------------------------------------------------------

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
        .where(d.id.in_(_once(first)), WAITING)
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


# -- keys and files ------------------------------------------------------------------------------

insert_key = sa.insert(keys)
all_keys = sa.select(keys).order_by(keys.c.created_at, keys.c.id)
insert_file = sa.insert(files)


def live_key(prefix: str) -> Query:
    """The unrevoked key with a prefix."""
    return sa.select(keys).where(keys.c.prefix == prefix, keys.c.revoked_at.is_(None))


def revoke_key(id: str, at: float) -> sa.Update:
    """Revoke a key that is not revoked yet."""
    return sa.update(keys).where(keys.c.id == id, keys.c.revoked_at.is_(None)).values(revoked_at=at)


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
