"""Previews: stored, told, and left out where they cannot be."""

import asyncio

from retouch.domain.edit import Edit
from retouch.domain.prediction import PREVIEW, Cancel, Status
from retouch.engine.families.toy import ToyFamily
from retouch.testing import MemoryStore
from tests.unit.worker.working import DictBlobs, Gate, ended, prediction, working


async def test_previews_are_stored_and_told_before_the_result() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, steps=8, previews=3)))

    async with working(store, blobs):
        done = await ended(store)

    assert done.progress is not None
    assert done.progress.previews == 3
    for n in range(3):
        assert blobs.kept[done.preview_key(n)].startswith(b"\x89PNG")
    assert [output.key for output in done.outputs] == ["p/1/0.png"]


async def test_previews_that_cannot_be_stored_are_left_out() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, steps=8, previews=3)))

    async with working(store, DictBlobs(failures=2)):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    assert done.progress is not None
    assert done.progress.previews == 1


class SlowPuts(DictBlobs):
    """Blobs whose puts wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, data: bytes) -> None:
        self.began.set()
        await self.goes_on.wait()
        await super().put(key, data)


async def test_a_preview_of_what_was_cancelled_meanwhile_leaves_nothing() -> None:
    store, blobs = MemoryStore(), SlowPuts()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, previews=1)))
    gate = Gate()
    gate.opened.set()

    async with working(store, blobs, ToyFamily(sleep=gate)) as worker:
        await asyncio.wait_for(blobs.began.wait(), 30)
        await store.advance("p", Cancel("me"))
        await asyncio.wait_for(worker._leases.empty.wait(), 30)
        blobs.goes_on.set()

    assert not [key for key in blobs.kept if PREVIEW in key]
