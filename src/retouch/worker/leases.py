"""What a worker holds, renewed by beats until it is settled, given back or lost.

Every write is fenced by (worker, attempt): a worker that lost its lease writes nothing.
"""

import asyncio
from collections.abc import Sequence

import structlog

from retouch.domain.prediction import Fail, Fence, Move, Prediction, Requeue
from retouch.ports import Store, Tracer
from retouch.worker.held import Held
from retouch.worker.options import WorkerOptions
from retouch.worker.trace import RunTrace

log = structlog.get_logger(__name__)


class Leases:
    """The leases of the worker of this name. `empty` is set while it holds nothing."""

    def __init__(self, worker: str, store: Store, tracer: Tracer, options: WorkerOptions) -> None:
        self.worker = worker
        self._store, self._tracer, self._options = store, tracer, options
        self._held: dict[str, Held] = {}
        self.empty = asyncio.Event()
        self.empty.set()

    def hold(self, prediction: Prediction) -> Held:
        """Take what was claimed."""
        trace = RunTrace(self._tracer, prediction, self.worker)
        held = Held(prediction, Fence(self.worker, prediction.attempt), trace)
        self._held[prediction.id] = held
        self.empty.clear()
        return held

    def holds(self, held: Held) -> bool:
        """Whether this attempt is still ours, as far as we know."""
        return self._held.get(held.prediction.id) is held

    def all(self) -> Sequence[Held]:
        """Everything held now."""
        return list(self._held.values())

    async def beat(self) -> Sequence[Held]:
        """Renew every lease and publish progress; returns those that were cancelled or lost.

        These are no longer held: their attempts are to be dropped.
        """
        snapshot = dict(self._held)
        if not snapshot:
            return ()
        news = {id: held.news for id, held in snapshot.items()}
        beat = await self._store.beat(self.worker, news, lease_s=self._options.lease_s)
        dropped = []
        for id in beat.canceled | beat.lost:
            held = snapshot[id]
            log.info("prediction.dropped", canceled=id in beat.canceled, **held.facts)
            # It may have been claimed anew while the beat was under way: drop that attempt only.
            if self.holds(held):
                self._drop(held)
                dropped.append(held)
        return dropped

    async def publish(self, held: Held) -> None:
        """A beat of its own for one that has news; what it answers is the next beat's to see."""
        news, lease_s = {held.prediction.id: held.news}, self._options.lease_s
        await self._store.beat(self.worker, news, lease_s=lease_s)

    async def settle(self, held: Held, move: Move) -> None:
        """Write the move, however long the store is away, unless the lease is lost meanwhile."""
        prediction = held.prediction
        while self.holds(held):
            try:
                moved = await self._store.advance(prediction.id, move, fence=held.fence)
            except Exception:
                log.exception("prediction.settle_failed", **held.facts)
                await asyncio.sleep(self._options.retry_s)
                continue
            name = type(move).__name__.lower()
            log.info("prediction.moved", move=name, won=moved is not None, **held.facts)
            held.trace.end(name, move.failure.error if isinstance(move, Fail) else "")
            self._forget(held)

    async def give_back(self, held: Held) -> None:
        """Requeue it with its attempt; when the store is away its lease lapses instead."""
        id, move = held.prediction.id, Requeue("interrupted")
        try:
            await self._store.advance(id, move, fence=held.fence)
        except Exception:
            log.exception("prediction.give_back_failed", **held.facts)
        self._drop(held)

    def _drop(self, held: Held) -> None:
        held.trace.end("dropped")
        self._forget(held)

    def _forget(self, held: Held) -> None:
        if self.holds(held):  # a beat may have been first
            del self._held[held.prediction.id]
        if not self._held:
            self.empty.set()
