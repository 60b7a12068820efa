"""A worker that is told to stop."""

import asyncio
from collections.abc import Sequence

from retouch.domain.errors import Busy
from retouch.domain.prediction import Fence, Move, Prediction, Status
from retouch.engine.families.toy import ToyFamily
from retouch.testing import MemoryStore
from retouch.worker import WorkerOptions
from tests.unit.worker.working import Gate, prediction, until, working


async def test_a_stop_lets_running_edits_finish() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(sleep=gate)) as worker:
        await asyncio.to_thread(gate.reached.wait, 30)
        worker.stop()
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.status is Status.SUCCEEDED


async def test_what_outlasts_the_drain_is_given_back_with_its_attempt() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())
    options = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=0.01, retry_s=0.01)

    async with working(store, family=ToyFamily(steps=10, sleep=gate), options=options) as worker:
        await asyncio.to_thread(gate.reached.wait, 30)
        worker.stop()

        async def is_queued() -> bool:
            found = await store.get("p")
            return found is not None and found.status is Status.QUEUED

        await until(store, is_queued)
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.attempt == 0
    assert (await store.events("p"))[-1].name == "requeued"


class SlowClaims(MemoryStore):
    """A store whose claims answer only when told, after they have happened."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed, self.answer = asyncio.Event(), asyncio.Event()

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        found = await super().claim(worker, limit=limit, lease_s=lease_s)
        if found:
            self.claimed.set()
            await self.answer.wait()
        return found


async def test_a_claim_under_way_at_the_stop_is_given_back() -> None:
    store = SlowClaims()
    await store.add(prediction())

    async with working(store) as worker:
        await asyncio.wait_for(store.claimed.wait(), 30)
        worker.stop()
        await asyncio.sleep(0)
        store.answer.set()

    found = await store.get("p")
    assert found is not None
    assert (found.status, found.attempt) == (Status.QUEUED, 0)


async def test_a_store_that_is_away_at_the_end_of_a_drain_does_not_break_it() -> None:
    class Away(MemoryStore):
        async def advance(
            self, id: str, move: Move, *, fence: Fence | None = None
        ) -> Prediction | None:
            raise Busy("the database cannot be reached")

    store, gate = Away(), Gate()
    await store.add(prediction())
    options = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=0.01, retry_s=0.01)

    async with working(store, family=ToyFamily(steps=10, sleep=gate), options=options) as worker:
        await asyncio.to_thread(gate.reached.wait, 30)
        worker.stop()
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.status is Status.RUNNING  # until its lease lapses
