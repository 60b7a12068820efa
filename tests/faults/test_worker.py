"""A worker while the store and the blobs fail: every prediction ends once, with its picture."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import BlobImage, Edit
from retouch.domain.picture import Picture
from retouch.domain.prediction import FINAL, Prediction, Status, Webhook
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.ports import Blobs, Store
from retouch.testing import FakeClock, MemoryStore
from retouch.worker import Worker, WorkerOptions
from tests.faults.wrappers import Fault, Nth, faulty

LEASE_S = 10.0
OPTIONS = WorkerOptions(
    lease_s=LEASE_S, beat_s=0.01, poll_s=0.01, drain_s=5, retry_s=0.005, blob_tries=9
)
VERBS = ("claim", "advance", "beat", "changed", "open", "put")
FAULTS = [
    (verb, fault, nth, times)
    for verb in VERBS
    for fault in Fault
    for nth in (1, 2)
    for times in (1, 4)
]
IDS = ("a", "b", "c")
FINAL_NAMES = {status.value for status in FINAL}


class Decoder:
    """Knows one picture."""

    async def decode(self, data: bytes) -> Picture:
        assert data == b"picture"
        return Picture(1, 1, b"\x10\x20\x30")

    async def fetch(self, url: str, what: str = "image") -> bytes:
        raise AssertionError("nothing here has a URL")


@asynccontextmanager
async def working(store: Any, blobs: Any) -> AsyncIterator[Worker]:
    worker = Worker(
        "w",
        store=store,
        blobs=blobs,
        fetcher=Decoder(),
        decoder=Decoder(),
        engine=StepEngine(ToyFamily(), clock=FakeClock()),
        options=OPTIONS,
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 30)


async def over(store: MemoryStore, timeout_s: float) -> bool:
    async def look() -> None:
        while any((await store.depth()).values()):
            await store.changed(0.02)

    try:
        await asyncio.wait_for(look(), timeout_s)
    except TimeoutError:
        return False
    return True


async def lapse(store: MemoryStore, clock: FakeClock, worker: Worker, plan: Nth) -> None:
    """Let the leases lapse of what nobody renews: there are beats between the two halves."""
    for _ in range(2):
        clock.advance(LEASE_S * 0.6)
        beats = plan.calls["beat"]
        while not worker._leases.empty.is_set() and plan.calls["beat"] < beats + 2:
            await store.changed(0.01)
    await store.release()


@pytest.mark.parametrize(("verb", "fault", "nth", "times"), FAULTS)
async def test_every_prediction_ends_once_with_its_picture(
    verb: str, fault: Fault, nth: int, times: int
) -> None:
    clock, plan = FakeClock(), Nth(verb, fault, nth, times)
    store, blobs = MemoryStore(clock), ObstoreBlobs.at("memory:///")
    for id in IDS:
        await blobs.put(f"inputs/{id}/0", b"picture")
        await store.add(made(id))

    async with (
        working(faulty(store, plan, Store), faulty(blobs, plan, Blobs)) as worker,
        asyncio.timeout(60),
    ):
        while not await over(store, timeout_s=0.25):
            await lapse(store, clock, worker, plan)

    assert plan.struck or verb in ("beat", "changed")  # it may be over before the second
    for id in IDS:
        found = await store.get(id)
        assert found is not None
        assert found.status is Status.SUCCEEDED, found
        names = [event.name for event in await store.events(id)]
        assert sum(name in FINAL_NAMES for name in names) == 1, names
        assert [it.key for it in found.outputs] == [f"{id}/{found.attempt}/0.png"]
        assert (await blobs.open(found.outputs[0].key)).startswith(b"\x89PNG")
    told = [it.id for it in await store.list_deliveries(limit=99)]
    assert sorted(told) == [f"{id}-succeeded" for id in IDS]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("verb", ["claim", "advance", "beat"])
async def test_a_drain_ends_whatever_the_store_does(verb: str, fault: Fault) -> None:
    clock, plan = FakeClock(), Nth(verb, fault, nth=1, times=1_000)
    store = MemoryStore(clock)
    await store.add(made("a", images=()))

    async with working(faulty(store, plan, Store), ObstoreBlobs.at("memory:///")) as worker:
        async with asyncio.timeout(30):
            while not plan.calls["claim"]:
                await store.changed(0.01)
        worker.stop()

    found = await store.get("a")
    assert found is not None
    assert found.status is not Status.FAILED


def made(id: str, images: tuple[BlobImage, ...] | None = None) -> Prediction:
    pictures = (BlobImage(f"inputs/{id}/0"),) if images is None else images
    return Prediction(
        id=id,
        owner="ada",
        protocol="replicate",
        model="m",
        input={},
        edit=Edit(prompt="x", images=pictures, seed=1),
        created_at=0.0,
        webhook=Webhook(url="http://h/", tells=FINAL, origin="http://o"),
    )
