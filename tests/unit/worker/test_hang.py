"""A device that hangs, for real: processes, a database file, the supervisor."""

import asyncio
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import Edit
from retouch.domain.prediction import Loss, Prediction, Status
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.net.fetch import FetchPolicy, GuardedFetcher
from retouch.store import SqlStore, migrate
from retouch.testing import FakeClock
from retouch.worker import Supervisor, Worker
from retouch.worker.process import Nursery, run_until_told
from retouch.worker.watchdog import EXITCODE, Watchdog


class NoDecoder:
    async def decode(self, data: bytes) -> None:
        raise AssertionError("these edits have no pictures")


def work(folder: Path, learned: None, ready: "Connection[None, None]") -> None:
    """A worker whose device hangs in the very first step it is ever given."""
    asyncio.run(_work(folder, ready))


async def _work(folder: Path, ready: "Connection[None, None]") -> None:
    first = folder / "hung"
    # Only who is to hang is ended soon: a busy machine may keep anybody waiting for that long.
    patience_s = 60.0 if first.exists() else 0.5

    def step(_delay_s: float) -> None:
        if not first.exists():
            first.touch()
            import ctypes

            ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock

    store = SqlStore(f"sqlite:///{folder}/db")
    await store.start()
    worker = Worker(
        "w",
        store=store,
        blobs=ObstoreBlobs.at(f"file://{folder}/blobs"),
        fetcher=GuardedFetcher(FetchPolicy()),
        decoder=NoDecoder(),
        engine=StepEngine(ToyFamily(sleep=step), clock=FakeClock()),
        watchdog=Watchdog(floor_s=patience_s, unknown=1),
    )
    await run_until_told(worker, partial(ready.send, None))
    await store.stop()


async def test_a_hung_worker_is_ended_and_its_prediction_done_by_the_next(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db"
    await migrate(url)
    store = SqlStore(url)
    await store.start()
    edit = Edit(prompt="go", seed=1)
    named = {"id": "p", "owner": "me", "protocol": "test", "model": "a/b", "input": {}}
    await store.add(Prediction(**named, edit=edit, created_at=0.0))
    codes: list[int | None] = []

    async def release(loss: Loss) -> None:
        codes.append(supervisor.child and supervisor.child.exitcode)
        await store.release("w", loss=loss)

    nursery = Nursery(work, tmp_path, preload=["retouch.engine.families.toy"])
    supervisor = Supervisor(nursery.spawn, release, clock=FakeClock())
    await supervisor.start()
    try:
        async with asyncio.timeout(60):
            while not (found := await store.get("p")) or not found.status.is_final:
                await store.changed(0.1)
    finally:
        await supervisor.stop()
        await store.stop()

    assert found.status is Status.SUCCEEDED
    assert found.attempt == 2
    assert EXITCODE in codes
