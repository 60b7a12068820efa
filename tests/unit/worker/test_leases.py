"""Beats, leases and claims that cross each other."""

import asyncio
from collections.abc import Mapping, Sequence

from retouch.domain.prediction import Fence, Move, Prediction, Progress, Requeue, Status
from retouch.engine.families.toy import ToyFamily
from retouch.ports import Beat
from retouch.testing import MemoryStore
from tests.unit.worker.working import DictBlobs, Gate, ended, prediction, until, working


async def test_progress_is_published_by_the_beat() -> None:
    store, gate = MemoryStore(), Gate()
    steps = iter(range(1000))

    def sleep(delay_s: float) -> None:
        if next(steps) >= 2:
            gate(delay_s)

    await store.add(prediction())

    async def two_of_four() -> bool:
        found = await store.get("p")
        return found is not None and found.progress == Progress(2, 4)

    async with working(store, family=ToyFamily(steps=4, sleep=sleep)):
        await until(store, two_of_four)
        gate.opened.set()
        await ended(store)


async def test_a_lost_lease_means_the_result_is_not_written() -> None:
    store, gate, blobs = MemoryStore(), Gate(), DictBlobs()
    await store.add(prediction())

    async with working(store, blobs, ToyFamily(steps=1, sleep=gate)) as worker:
        await asyncio.to_thread(gate.reached.wait, 30)
        worker.stop()  # or it would claim the prediction again
        await store.release("w")
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert (found.status, found.attempt) == (Status.QUEUED, 1)


class SlowBeats(MemoryStore):
    """A store whose beats answer once something was claimed while they were under way."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.claims, self.left = asyncio.Event(), total

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        found = await super().claim(worker, limit=limit, lease_s=lease_s)
        self.left -= len(found)
        if found:
            self.claims.set()
        return found

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        self.claims.clear()
        answer = await super().beat(worker, held, lease_s=lease_s)
        if self.left:
            await asyncio.wait_for(self.claims.wait(), 30)
        return answer


async def test_what_is_claimed_while_a_beat_is_under_way_is_not_dropped() -> None:
    store = SlowBeats(40)
    for n in range(40):
        await store.add(prediction(f"p{n}"))

    async with working(store):
        done = [await ended(store, f"p{n}") for n in range(40)]

    assert {(p.status, p.attempt) for p in done} == {(Status.SUCCEEDED, 1)}


async def test_a_prediction_claimed_again_by_the_same_worker_finishes_once() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(steps=3, sleep=gate)):
        await asyncio.to_thread(gate.reached.wait, 30)
        await store.advance("p", Requeue("abandoned"))
        gate.opened.set()
        done = await ended(store)

    assert (done.status, done.attempt) == (Status.SUCCEEDED, 2)
    names = [event.name for event in await store.events("p")]
    assert names == ["created", "started", "requeued", "started", "succeeded"]


class TellingBeats(MemoryStore):
    """A store where a finished prediction is noticed by a beat before its worker hears of it."""

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        self.beaten, self.heard = asyncio.Event(), asyncio.Event()
        moved = await super().advance(id, move, fence=fence)
        await self.beaten.wait()
        asyncio.get_running_loop().call_later(0.01, self.heard.set)
        return moved

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        answer = await super().beat(worker, held, lease_s=lease_s)
        if answer.lost:
            self.beaten.set()
        return answer


async def test_a_beat_that_is_first_to_see_the_end_does_no_harm() -> None:
    store = TellingBeats()

    async with working(store):
        for id in ("p", "q"):
            await store.add(prediction(id))
            done = await ended(store, id)
            await asyncio.wait_for(store.heard.wait(), 30)

            assert done.status is Status.SUCCEEDED
