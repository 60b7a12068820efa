"""Storing what was made while the blobs are away."""

from retouch.domain.failure import FailureKind
from retouch.domain.prediction import Status
from retouch.testing import MemoryStore
from tests.unit.worker.working import DictBlobs, ended, prediction, working


async def test_a_failing_blob_store_is_tried_again() -> None:
    store = MemoryStore()
    await store.add(prediction())

    async with working(store, DictBlobs(failures=3)):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED


async def test_a_blob_store_that_stays_away_fails_the_prediction() -> None:
    store = MemoryStore()
    await store.add(prediction())

    async with working(store, DictBlobs(failures=1000)):
        done = await ended(store)

    assert done.failure is not None
    assert done.failure.kind is FailureKind.UNAVAILABLE
    assert done.failure.error == "The finished picture could not be stored. Please try again."
