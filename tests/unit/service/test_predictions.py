"""Waiting: one follower for everybody, and nobody left hanging."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from retouch.domain.edit import Edit
from retouch.domain.prediction import Cancel, Prediction
from retouch.service.predictions import Predictions
from retouch.testing import MemoryStore


class CountingStore(MemoryStore):
    """Counts the queries waiters cost."""

    looks = 0

    async def statuses(self, ids: Collection[str]) -> Mapping[str, str]:
        self.looks += 1
        if self.looks == 1 and self.breaks:
            raise OSError("the database is away")
        return await super().statuses(ids)

    breaks = False


async def queued(store: MemoryStore, id: str) -> str:
    edit = Edit(prompt="x")
    await store.add(
        Prediction(id=id, owner="me", protocol="p", model="m", input={}, edit=edit, created_at=0.0)
    )
    return id


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
async def predictions(store: CountingStore) -> AsyncIterator[Predictions]:
    predictions = Predictions(store, poll_s=30.0)  # so that only wake-ups can be quick
    await predictions.start()
    yield predictions
    await predictions.stop()


async def test_a_wait_ends_with_the_prediction(
    store: CountingStore, predictions: Predictions
) -> None:
    id = await queued(store, "a")
    waiting = asyncio.create_task(predictions.wait(id, 60))
    await asyncio.sleep(0)

    await store.advance(id, Cancel("owner"))

    assert await asyncio.wait_for(waiting, 20) is True


async def test_a_wait_for_what_is_over_or_unknown_ends_at_once(
    store: CountingStore, predictions: Predictions
) -> None:
    await store.advance(await queued(store, "a"), Cancel("owner"))

    assert await asyncio.wait_for(predictions.wait("a", 60), 20) is True
    assert await asyncio.wait_for(predictions.wait("nothing", 60), 20) is True


async def test_a_wait_has_an_end(store: CountingStore, predictions: Predictions) -> None:
    assert await predictions.wait(await queued(store, "a"), 0.01) is False


async def test_a_hundred_waiters_cost_one_query_a_change(
    store: CountingStore, predictions: Predictions
) -> None:
    ids = [await queued(store, str(n)) for n in range(100)]
    waiting = [asyncio.create_task(predictions.wait(id, 60)) for id in ids]
    while not store.looks:  # noqa: ASYNC110  all wait by then; a store tells nobody
        await asyncio.sleep(0)
    before = store.looks

    await store.advance(ids[0], Cancel("owner"))

    assert await asyncio.wait_for(waiting[0], 20) is True
    assert store.looks - before <= 2
    for task in waiting[1:]:
        task.cancel()


async def test_a_store_that_is_away_for_a_moment_is_asked_again(store: CountingStore) -> None:
    store.breaks = True
    predictions = Predictions(store, poll_s=0.01)
    await predictions.start()
    await store.advance(await queued(store, "a"), Cancel("owner"))

    assert await asyncio.wait_for(predictions.wait("a", 60), 30) is True
    await predictions.stop()


async def test_a_stopping_server_lets_everybody_go(
    store: CountingStore, predictions: Predictions
) -> None:
    id = await queued(store, "a")
    waiting = asyncio.create_task(predictions.wait(id, 60))
    await asyncio.sleep(0)

    predictions.release()

    assert await asyncio.wait_for(waiting, 20) is False
    assert await asyncio.wait_for(predictions.wait(id, 60), 30) is False


async def test_a_stopping_server_can_wait_until_nobody_is_held(
    store: CountingStore, predictions: Predictions
) -> None:
    id = await queued(store, "a")
    waiting = asyncio.create_task(predictions.wait(id, 60))
    await asyncio.sleep(0)

    await predictions.unwatched(0.01)
    still = not waiting.done()
    await store.advance(id, Cancel("owner"))
    await asyncio.wait_for(predictions.unwatched(60), 30)

    assert still
    assert await waiting is True
