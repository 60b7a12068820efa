"""The store in memory."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retouch.domain.grant import NO_LIMITS, Limits
from retouch.domain.prediction import (
    LEAVES,
    NOT_STARTED,
    Cancel,
    Event,
    Fail,
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
from retouch.ports import ONCE_WITHIN_S, Beat, Clock, Cursor, Filter, Store
from retouch.store.admission import Tally
from retouch.store.moves import CREATED, claimable, delivery_of, erased, event_of, moved
from retouch.testing.clock import FakeClock
from retouch.testing.files import MemoryFiles
from retouch.testing.keys import MemoryKeys
from retouch.testing.outbox import MemoryOutbox
from retouch.testing.roster import MemoryRoster


@dataclass(slots=True)
class _Row:
    """A prediction and what only the store knows of it."""

    prediction: Prediction
    seq: int
    tag: float
    fingerprint: str | None
    once: str | None
    lease_until: float = 0.0
    gone: frozenset[Kept] = frozenset()

    @property
    def turn(self) -> tuple[int, float, int]:
        """Where it stands in the queue: the smallest is claimed first."""
        return (-self.prediction.priority, self.tag, self.seq)


class MemoryStore(MemoryOutbox, MemoryRoster, MemoryKeys, MemoryFiles, Store):
    """Predictions in a dictionary, and everything else that a database keeps.

    No method awaits while it changes anything, so each verb is atomic on one event loop.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        clock = clock or FakeClock()
        MemoryOutbox.__init__(self, clock)
        MemoryRoster.__init__(self, clock)
        MemoryKeys.__init__(self)
        MemoryFiles.__init__(self)
        self._rows: dict[str, _Row] = {}
        self._events: list[Event] = []
        self._seq = itertools.count(1)
        self._event_seq = itertools.count(1)
        self._lanes: dict[int, float] = {}
        self._ends: dict[tuple[int, str], float] = {}
        self._spent: dict[str, float] = {}

    async def add(
        self,
        prediction: Prediction,
        *,
        fingerprint: str | None = None,
        once: str | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        refusal = self._tally().refusal(prediction.owner, limits) if limits != NO_LIMITS else None
        if refusal is not None:
            raise refusal
        if prediction.id in self._rows or (once is not None and await self.first(once)):
            raise ValueError(f"prediction {prediction.id!r} or its once exists")
        lane, turn = prediction.priority, (prediction.priority, prediction.owner)
        tag = max(self._lanes.get(lane, 0.0), self._ends.get(turn, 0.0))
        self._ends[turn] = tag + prediction.cost
        self._rows[prediction.id] = _Row(prediction, next(self._seq), tag, fingerprint, once)
        self._record(prediction, CREATED, prediction.created_at, {})

    async def first(self, once: str) -> tuple[Prediction, str | None] | None:
        since = self._clock.now() - ONCE_WITHIN_S
        for row in self._rows.values():
            if row.once == once and row.prediction.created_at > since:
                return row.prediction, row.fingerprint
        return None

    async def twin(self, owner: str, fingerprint: str, *, within_s: float) -> Prediction | None:
        since = self._clock.now() - within_s
        return next(
            (
                row.prediction
                for row in sorted(self._rows.values(), key=_age, reverse=True)
                if row.prediction.owner == owner
                and row.fingerprint == fingerprint
                and row.prediction.created_at >= since
            ),
            None,
        )

    async def get(self, id: str, *, owner: str | None = None) -> Prediction | None:
        row = self._rows.get(id)
        if row is None or owner not in (None, row.prediction.owner):
            return None
        return row.prediction

    async def statuses(self, ids: Collection[str]) -> Mapping[str, str]:
        return {id: self._rows[id].prediction.status.value for id in ids if id in self._rows}

    async def standings(self, ids: Collection[str]) -> Mapping[str, tuple[Status, int]]:
        found = [self._rows[id].prediction for id in ids if id in self._rows]
        return {it.id: (it.status, it.attempt) for it in found}

    async def page(
        self,
        owner: str | None,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = Filter(),  # noqa: B008  frozen
    ) -> Sequence[Prediction]:
        newest_first = sorted(self._rows.values(), key=_age, reverse=True)
        kept = [
            row.prediction
            for row in newest_first
            if owner in (None, row.prediction.owner)
            and (after is None or _age(row) < (after.created_at, after.id))
            and _passes(row.prediction, where)
            and not (where.intact and Kept.RECORD in row.gone)
        ]
        return kept[:limit]

    async def position(self, id: str) -> int | None:
        row = self._rows.get(id)
        if row is None or row.prediction.status is not Status.QUEUED:
            return None
        return sum(other.turn < row.turn for other in self._standing(Status.QUEUED))

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        first = sorted(self._standing(Status.QUEUED), key=lambda row: row.turn)[:limit]
        mine = (it for it in self._standing(Status.RUNNING) if it.prediction.worker == worker)
        held = max((row.prediction.crashes for row in mine), default=None)
        rows = [first[n] for n in claimable(held, [row.prediction.crashes for row in first])]
        for row in rows:
            lane = row.prediction.priority
            self._lanes[lane] = max(self._lanes.get(lane, 0.0), row.tag)
            row.lease_until = self._clock.now() + lease_s
            self._apply(row, Start(worker))
        return [row.prediction for row in rows]

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        if isinstance(move, Start):
            raise TypeError("only claim starts a prediction")
        row = self._rows.get(id)
        if row is None or row.prediction.status not in LEAVES[type(move)]:
            return None
        if fence is not None and not _holds(row.prediction, fence.worker, fence.attempt):
            return None
        return self._apply(row, move)

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        canceled, lost = set(), set()
        for id, (attempt, progress) in held.items():
            row = self._rows.get(id)
            if row is not None and _holds(row.prediction, worker, attempt):
                row.lease_until = self._clock.now() + lease_s
                if progress is not None:
                    row.prediction = _at(row.prediction, progress)
            elif row is not None and row.prediction.status is Status.CANCELED:
                canceled.add(id)
            else:
                lost.add(id)
        return Beat(frozenset(canceled), frozenset(lost))

    async def release(
        self, worker: str | None = None, *, loss: Loss = "abandoned"
    ) -> Sequence[Prediction]:
        now, move = self._clock.now(), Requeue(loss)
        gone = [
            row
            for row in self._standing(Status.RUNNING)
            if (row.lease_until <= now if worker is None else row.prediction.worker == worker)
        ]
        return [self._apply(row, move) for row in gone]

    async def expire(self) -> Sequence[Prediction]:
        now = self._clock.now()
        standing = [*self._standing(Status.QUEUED), *self._standing(Status.RUNNING)]
        late = [row for row in standing if _is_past(row.prediction.deadline, now)]
        canceled = [self._apply(row, Cancel("deadline")) for row in late]
        waiting = self._standing(Status.QUEUED)
        late = [row for row in waiting if _is_past(row.prediction.start_by, now)]
        return canceled + [self._apply(row, Fail(NOT_STARTED)) for row in late]

    async def outdated(
        self, kept: Kept, *, keep_s: float | None, now: float, limit: int
    ) -> Sequence[Prediction]:
        def is_past(it: Prediction) -> bool:
            # For ever is 0 where a prediction says it, and None where the caller does.
            span_s = (it.keep_s[kept] or None) if kept in it.keep_s else keep_s
            if it.completed_at is None or span_s is None:
                return False
            return it.completed_at <= now - span_s

        old = [
            row.prediction
            for row in self._rows.values()
            if is_past(row.prediction)
            and kept not in row.gone
            and (kept is not Kept.OUTPUTS or row.prediction.outputs)
        ]
        return sorted(old, key=lambda it: it.completed_at or 0.0)[:limit]

    async def erase(self, ids: Collection[str], kept: Kept) -> int:
        return sum(self._erase(id, kept) for id in ids)

    def _erase(self, id: str, kept: Kept) -> bool:
        row = self._rows.get(id)
        if row is None or kept in row.gone or not row.prediction.status.is_final:
            return False
        row.prediction = erased(row.prediction, kept)
        row.gone |= frozenset(Kept) if kept is Kept.RECORD else {kept}
        if kept is Kept.RECORD:
            row.fingerprint = row.once = None
            self._events = [event for event in self._events if event.prediction_id != id]
            for told in [it.id for it in self._deliveries.values() if it.prediction_id == id]:
                del self._deliveries[told]
        return True

    async def drop_previews(self, *, ended_for_s: float, limit: int) -> Sequence[str]:
        until = self._clock.now() - ended_for_s
        found: list[str] = []
        for row in self._rows.values():
            it = row.prediction
            ended = it.completed_at is not None and it.completed_at <= until
            if ended and it.progress is not None and it.progress.previews and len(found) < limit:
                row.prediction = replace(it, progress=replace(it.progress, previews=0))
                found.append(it.id)
        return found

    async def events(self, id: str, *, after: int = 0) -> Sequence[Event]:
        return [event for event in self._events if event.prediction_id == id and event.seq > after]

    async def changed(self, timeout_s: float) -> None:
        bell = self._bell
        try:
            async with asyncio.timeout(timeout_s):
                await bell.wait()
        except TimeoutError:
            return

    async def depth(self) -> Mapping[str, int]:
        return {
            status.value: len(self._standing(status)) for status in Status if not status.is_final
        }

    async def oldest_wait_s(self) -> float | None:
        waiting = [row.prediction.created_at for row in self._standing(Status.QUEUED)]
        return max(0.0, self._clock.now() - min(waiting)) if waiting else None

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    def _tally(self) -> Tally:
        queued = self._standing(Status.QUEUED)
        unfinished = [*queued, *self._standing(Status.RUNNING)]
        in_flight = Counter(row.prediction.owner for row in unfinished)
        return Tally(self._clock.now(), len(queued), dict(in_flight), self._spent)

    def _standing(self, status: Status) -> list[_Row]:
        return [row for row in self._rows.values() if row.prediction.status is status]

    def _apply(self, row: _Row, move: Move) -> Prediction:
        now = self._clock.now()
        row.prediction = moved(row.prediction, move, now)
        name, data = event_of(move, row.prediction)
        delivery = delivery_of(row.prediction, now)
        if delivery is not None:
            self._deliveries.setdefault(delivery.id, delivery)
        self._record(row.prediction, name, now, data)
        return row.prediction

    def _record(
        self, prediction: Prediction, name: str, at: float, data: Mapping[str, Any]
    ) -> None:
        self._events.append(Event(next(self._event_seq), prediction.id, name, at, data))
        self._ring()


def _is_past(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now


def _at(prediction: Prediction, progress: Progress) -> Prediction:
    kept = prediction.progress.previews if prediction.progress else 0
    return replace(prediction, progress=replace(progress, previews=progress.previews or kept))


def _age(row: _Row) -> tuple[float, str]:
    return (row.prediction.created_at, row.prediction.id)


def _holds(prediction: Prediction, worker: str, attempt: int) -> bool:
    return (prediction.status, prediction.worker, prediction.attempt) == (
        Status.RUNNING,
        worker,
        attempt,
    )


def _passes(prediction: Prediction, where: Filter) -> bool:
    return (where.created_after is None or prediction.created_at >= where.created_after) and (
        where.created_before is None or prediction.created_at < where.created_before
    )
