"""`SqlStore`: predictions, webhooks, keys and files on SQLite or PostgreSQL.

Each verb is one transaction of the statements in `statements`. Every verb raises `Busy` when the
database stays away; after a `Busy` that came out of a commit, look before doing it again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from retouch.domain.grant import NO_LIMITS, Limits
from retouch.domain.prediction import (
    Event,
    Fence,
    Kept,
    Loss,
    Move,
    Prediction,
    Progress,
    Requeue,
    Start,
    Status,
)
from retouch.ports import Beat, Cursor, File, Files, Filter, Key, Keys, Store
from retouch.store import rows
from retouch.store.admission import Admission
from retouch.store.batch import Batcher, Looks
from retouch.store.database import Database, Sqlite, open_database
from retouch.store.inserts import insert
from retouch.store.moves import CREATED, claimable, delivery_of, erased, event_of
from retouch.store.outbox import SqlOutbox
from retouch.store.roster import SqlRoster
from retouch.store.schema import check
from retouch.store.statements import (
    creating,
    files,
    keys,
    moving,
    reading,
    retention,
    terms,
    webhooks,
)
from retouch.store.tables import events, predictions
from retouch.store.wakeups import Bell, PostgresBell, SqliteBell

_Adding = tuple[rows.Values, Limits]


class SqlStore(SqlOutbox, SqlRoster, Store, Keys, Files):
    """The store on `sqlite:///path` or `postgresql://user@host/name`."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        on_moved: Callable[[Sequence[Prediction]], None] = lambda _: None,
    ) -> None:
        """`pool_size` bounds the connections for reads and writes together.

        `on_moved` is told what this store's moves made, once they are on disk; it must not raise.
        """
        self._on_moved = on_moved
        database = open_database(url, pool_size=pool_size + 1)  # one more listens
        self._database: Database = database
        self._bell: Bell = (
            SqliteBell(database) if isinstance(database, Sqlite) else PostgresBell(database)
        )
        self._adding: Batcher[_Adding] = Batcher(self._add)
        self._looking: Looks[str, rows.AnyRow] = Looks(self._look)
        self._admission = Admission()

    async def start(self) -> None:
        await check(self._database)
        await self._bell.start()

    async def stop(self) -> None:
        await self._adding.stop()
        await self._looking.stop()
        await self._bell.stop()
        await self._database.dispose()

    # -- predictions -----------------------------------------------------------------------------

    async def add(
        self,
        prediction: Prediction,
        *,
        fingerprint: str | None = None,
        once: str | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        values = rows.prediction_values(prediction, fingerprint, once)
        await self._adding.submit((values, limits))

    async def first(self, once: str) -> tuple[Prediction, str | None] | None:
        found = await self._all(reading.first(once))
        return (rows.prediction_of(found[0]), found[0].fingerprint) if found else None

    async def twin(self, owner: str, fingerprint: str, *, within_s: float) -> Prediction | None:
        return await self._prediction(reading.twin(owner, fingerprint, within_s))

    async def get(self, id: str, *, owner: str | None = None) -> Prediction | None:
        row = await self._looking.get(id)
        found = None if row is None else rows.prediction_of(row)
        return found if found is not None and owner in (None, found.owner) else None

    async def statuses(self, ids: Collection[str]) -> Mapping[str, str]:
        found = await self._all(reading.statuses, ids=list(ids)) if ids else ()
        return {row.id: row.status for row in found}

    async def standings(self, ids: Collection[str]) -> Mapping[str, tuple[Status, int]]:
        found = await self._all(reading.standings, ids=list(ids)) if ids else ()
        return {row.id: (Status(row.status), row.attempt) for row in found}

    async def page(
        self,
        owner: str | None,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = Filter(),  # noqa: B008  frozen
    ) -> Sequence[Prediction]:
        found = await self._all(reading.page(owner, limit, after, where))
        return [rows.prediction_of(row) for row in found]

    async def position(self, id: str) -> int | None:
        def count(connection: sa.Connection) -> int | None:
            turn = connection.execute(reading.turn_of(id)).one_or_none()
            if turn is None:
                return None
            ahead = reading.ahead(turn.priority, turn.tag, turn.seq)
            return connection.execute(ahead).scalar_one()

        return await self._database.read(count)

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        def start(connection: sa.Connection) -> list[Prediction]:
            held = connection.execute(moving.suspicion(worker)).scalar_one()
            first = connection.execute(moving.candidates(limit)).all()
            chosen = [first[n].seq for n in claimable(held, [row.crashes for row in first])]
            if not chosen:
                return []
            taken = connection.execute(moving.claim(worker, chosen, lease_s)).all()
            started = sorted(taken, key=lambda row: (-row.priority, row.tag, row.seq))
            moved = [(rows.prediction_of(row), row.started_at) for row in started]
            _record(connection, Start(worker), moved)
            lanes: dict[int, float] = {row.priority: row.tag for row in started}
            if lanes:
                connection.execute(
                    creating.raise_lane,
                    [{"priority": lane, "tag": lanes[lane]} for lane in sorted(lanes)],
                )
            return [prediction for prediction, _ in moved]

        # A look first: an idle worker takes no write lock, of which SQLite has one.
        if not await self._all(moving.anything_queued):
            return []
        return self._told(await self._database.write(start))

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        statement = moving.advance(id, move, fence)
        moved = self._told(await self._database.write(lambda c: _move(c, statement, move)))
        return moved[0] if moved else None

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        if not held:
            return Beat()
        renewals = [
            {
                "held": id,
                "by": worker,
                "since": attempt,
                "lease_s": lease_s,
                "at_step": progress and progress.step,
                "of_steps": progress and progress.steps,
                "shown": (progress and progress.previews) or None,
            }
            for id, (attempt, progress) in sorted(held.items())
        ]

        def renew(connection: sa.Connection) -> Sequence[rows.AnyRow]:
            connection.execute(moving.renew, renewals)
            return connection.execute(moving.holders, {"ids": list(held)}).all()

        found = {row.id: row for row in await self._database.write(renew)}
        self._bell.ring()
        return _verdict(worker, held, found)

    async def release(
        self, worker: str | None = None, *, loss: Loss = "abandoned"
    ) -> Sequence[Prediction]:
        move = Requeue(loss)
        statement = moving.release(worker, move)
        return self._told(await self._database.write(lambda c: _move(c, statement, move)))

    async def expire(self) -> Sequence[Prediction]:
        moved = list[Prediction]()
        for move, is_late in moving.OVERDUE:
            if await self._all(moving.anything_overdue(is_late)):
                write = partial(_move, statement=moving.expire(move, is_late), move=move)
                moved += self._told(await self._database.write(write))
        return moved

    async def outdated(
        self, kept: Kept, *, keep_s: float | None, now: float, limit: int
    ) -> Sequence[Prediction]:
        def find(connection: sa.Connection) -> list[rows.AnyRow]:
            found = list[rows.AnyRow]()
            if keep_s is not None:
                found += connection.execute(retention.outdated(kept, now - keep_s, limit)).all()
            for span_s in _own_spans(connection, kept):
                if len(found) == limit:
                    break
                own = retention.outdated_by_own(kept, span_s, now - span_s, limit - len(found))
                found += connection.execute(own).all()
            return found

        return [rows.prediction_of(row) for row in await self._database.read(find)]

    async def erase(self, ids: Collection[str], kept: Kept) -> int:
        def forget(connection: sa.Connection) -> int:
            found = connection.execute(retention.erasable(ids, kept)).all()
            for row in found:
                left = rows.left_values(erased(rows.prediction_of(row), kept))
                connection.execute(retention.keep_only(row.id, kept, left))
            if found and kept is Kept.RECORD:
                gone = [row.id for row in found]
                connection.execute(retention.forget_events(gone))
                connection.execute(retention.forget_deliveries(gone))
            return len(found)

        return await self._database.write(forget)

    async def drop_previews(self, *, ended_for_s: float, limit: int) -> Sequence[str]:
        dropping = moving.drop_previews(ended_for_s, limit)

        def drop(connection: sa.Connection) -> list[str]:
            return [row.id for row in connection.execute(dropping)]

        if not await self._all(moving.anything_previewed):
            return []
        return await self._database.write(drop)

    async def events(self, id: str, *, after: int = 0) -> Sequence[Event]:
        return [rows.event_of_row(row) for row in await self._all(reading.history(id, after))]

    async def changed(self, timeout_s: float) -> None:
        await self._bell.wait(timeout_s)

    async def depth(self) -> Mapping[str, int]:
        ((queued, running),) = await self._all(reading.depth)
        return {Status.QUEUED.value: queued, Status.RUNNING.value: running}

    async def oldest_wait_s(self) -> float | None:
        ((oldest_s,),) = await self._all(reading.oldest_wait)
        return None if oldest_s is None else max(0.0, oldest_s)

    # -- keys and files --------------------------------------------------------------------------

    async def add_key(self, key: Key) -> None:
        values = rows.key_values(key)
        await self._insert(keys.insert_key, values, f"a key {key.id!r} or one with its prefix")

    async def find_key(self, prefix: str) -> Key | None:
        found = await self._all(keys.live_key(prefix))
        return rows.key_of(found[0]) if found else None

    async def list_keys(self) -> Sequence[Key]:
        return [rows.key_of(row) for row in await self._all(keys.all_keys)]

    async def revoke_key(self, id: str, at: float) -> bool:
        result = await self._database.write(lambda c: c.execute(keys.revoke_key(id, at)))
        return result.rowcount == 1

    async def add_file(self, file: File) -> None:
        await self._insert(files.insert_file, rows.file_values(file), f"file {file.id!r}")

    async def get_file(self, id: str, *, owner: str | None = None) -> File | None:
        found = await self._all(files.one_file(id, owner))
        return rows.file_of(found[0]) if found else None

    async def page_files(
        self, owner: str, *, limit: int, after: Cursor | None = None
    ) -> Sequence[File]:
        found = await self._all(files.page_files(owner, limit, after))
        return [rows.file_of(row) for row in found]

    async def delete_file(self, id: str, *, owner: str | None = None) -> File | None:
        def delete(connection: sa.Connection) -> rows.AnyRow | None:
            return connection.execute(files.delete_file(id, owner)).one_or_none()

        row = await self._database.write(delete)
        return None if row is None else rows.file_of(row)

    async def expired_files(self, now: float, *, limit: int) -> Sequence[File]:
        return [rows.file_of(row) for row in await self._all(files.expired_files(now, limit))]

    # -- details ---------------------------------------------------------------------------------

    async def _all(self, query: terms.Query, **values: Any) -> Sequence[rows.AnyRow]:
        def fetch(connection: sa.Connection) -> Sequence[rows.AnyRow]:
            return connection.execute(query, values).all()

        return await self._database.read(fetch)

    async def _prediction(self, query: terms.Query) -> Prediction | None:
        found = await self._all(query)
        return rows.prediction_of(found[0]) if found else None

    async def _look(self, ids: Collection[str]) -> Mapping[str, rows.AnyRow]:
        return {row[rows.ID]: row for row in await self._all(reading.those, ids=list(ids))}

    def _told(self, moved: list[Prediction]) -> list[Prediction]:
        if moved:
            self._bell.tell()
            self._on_moved(moved)
        return moved

    async def _insert(self, statement: sa.Insert, values: rows.Values, what: str) -> None:
        try:
            await self._database.write(lambda c: c.execute(statement, values))
        except IntegrityError as error:
            raise ValueError(f"{what} exists already") from error

    async def _add(self, batch: Sequence[_Adding]) -> Mapping[int, Exception]:
        wanted = [(values["owner"], limits) for values, limits in batch]

        def admit(connection: sa.Connection) -> Mapping[int, Exception]:
            refused = self._admission.refusals(connection, wanted)
            admitted = [values for place, (values, _) in enumerate(batch) if place not in refused]
            if admitted:
                _insert_predictions(connection, admitted)
            return refused

        try:
            refused = await self._database.write(admit)
        except IntegrityError as error:
            raise ValueError(f"prediction {batch[0][0]['id']!r} or its once exists") from error
        if len(refused) < len(batch):
            self._bell.tell()
        return refused


def _own_spans(connection: sa.Connection, kept: Kept) -> Iterator[float]:
    """The times of their own that predictions still keep this for, the shortest first."""
    span_s = connection.execute(retention.next_span(kept, 0.0)).scalar_one()
    while span_s is not None:
        yield span_s
        span_s = connection.execute(retention.next_span(kept, span_s)).scalar_one()


def _insert_predictions(connection: sa.Connection, batch: Sequence[rows.Values]) -> None:
    once = [values["once"] for values in batch if values["once"] is not None]
    if once:
        connection.execute(creating.forget_once, {"lapsed": once})
    insert(connection, predictions, _tagged(connection, batch))
    created = [rows.event_values(v["id"], CREATED, v["created_at"], {}) for v in batch]
    insert(connection, events, created)


def _tagged(connection: sa.Connection, batch: Sequence[rows.Values]) -> list[rows.Values]:
    """The batch with each one's fair tag, by start-time fair queueing: the virtual clock or
    where its owner's last one ends, whichever is later. It ends its cost after it starts."""
    whose = sorted({(values["priority"], values["owner"]) for values in batch})
    lanes: dict[int, float] = {
        row.priority: row.tag for row in connection.execute(creating.lane_tags)
    }
    found_turns = connection.execute(creating.turn_tags, {"whose": whose})
    ends = {(row.priority, row.owner): row.tag for row in found_turns}
    tagged = []
    for values in batch:
        turn = (values["priority"], values["owner"])
        tag = max(lanes.get(turn[0], 0.0), ends.get(turn, 0.0))
        ends[turn] = tag + values["cost"]
        tagged.append({**values, "tag": tag})
    earliest = [
        {"priority": lane, "owner": owner, "tag": ends[lane, owner]} for lane, owner in whose
    ]
    connection.execute(creating.raise_turn, earliest)
    return tagged


def _move(connection: sa.Connection, statement: terms.Moved, move: Move) -> list[Prediction]:
    """Make a guarded move and record it; the predictions that it really moved."""
    found = connection.execute(statement).all()
    moved = [(rows.prediction_of(row), row.moved_at) for row in found]
    _record(connection, move, moved)
    return [prediction for prediction, _ in moved]


def _record(
    connection: sa.Connection, move: Move, moved: Sequence[tuple[Prediction, float]]
) -> None:
    lines, told = [], []
    for prediction, at in moved:
        name, data = event_of(move, prediction)
        lines.append(rows.event_values(prediction.id, name, at, data))
        delivery = delivery_of(prediction, at)
        if delivery is not None:
            told.append(rows.delivery_values(delivery))
    if lines:
        insert(connection, events, lines)
    if told:
        connection.execute(webhooks.insert_deliveries, told)


def _verdict(
    worker: str, held: Mapping[str, tuple[int, Progress | None]], found: Mapping[str, Any]
) -> Beat:
    canceled: set[str] = set()
    lost: set[str] = set()
    for id, (attempt, _) in held.items():
        row = found.get(id)
        mine = (Status.RUNNING, worker, attempt)
        if row is not None and (row.status, row.worker, row.attempt) == mine:
            continue
        (canceled if row is not None and row.status == Status.CANCELED else lost).add(id)
    return Beat(frozenset(canceled), frozenset(lost))
