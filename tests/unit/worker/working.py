"""A worker on the in-memory store and the toy family, and fakes for its edges."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from retouch.domain.edit import Edit
from retouch.domain.errors import BadInput, Busy, NotFound
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Picture
from retouch.domain.prediction import Prediction
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.ports import Decoder
from retouch.service.safety import Safety
from retouch.testing import FakeClock, MemoryStore
from retouch.worker import Worker, WorkerOptions

OPTIONS = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=5, retry_s=0.01, blob_tries=4)
PIXEL = Picture(1, 1, b"\x10\x20\x30")


class DictBlobs:
    """Blobs in a dictionary; `failures` puts fail first."""

    def __init__(self, failures: int = 0) -> None:
        self.kept: dict[str, bytes] = {}
        self.failures = failures

    async def put(self, key: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise Busy("no room")
        self.kept[key] = data

    async def open(self, key: str) -> bytes:
        if key not in self.kept:
            raise NotFound("blob", key)
        return self.kept[key]

    async def size(self, key: str) -> int:
        return len(await self.open(key))

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def list(self, prefix: str) -> Sequence[str]:
        return [key for key in self.kept if key.startswith(prefix)]


class Edges:
    """A fetcher and a decoder that know one good picture."""

    async def fetch(self, url: str, what: str = "image") -> bytes:
        if "bad" in url:
            words = f"The {what} URL could not be fetched: the server answered 404."
            raise BadInput(FailureKind.UNFETCHED, words)
        return b"picture"

    async def decode(self, data: bytes) -> Picture:
        if data != b"picture":
            raise BadInput(FailureKind.UNREADABLE, "The input image could not be decoded.")
        return PIXEL


@dataclass
class Gate:
    """Holds the engine's thread inside a step until opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _delay_s: float) -> None:
        self.reached.set()
        assert self.opened.wait(30)


def prediction(id: str = "p", edit: Edit | None = None) -> Prediction:
    return Prediction(
        id=id,
        owner="me",
        protocol="test",
        model="a/b",
        input={},
        edit=edit or Edit(prompt="go", seed=1),
        created_at=0.0,
    )


@asynccontextmanager
async def working(
    store: MemoryStore,
    blobs: DictBlobs | None = None,
    family: ToyFamily | None = None,
    options: WorkerOptions = OPTIONS,
    engine: StepEngine | None = None,
    safety: Safety | None = None,
    decoder: Decoder | None = None,
    edges: Edges | None = None,
) -> AsyncIterator[Worker]:
    edges = edges or Edges()
    worker = Worker(
        "w",
        store=store,
        blobs=blobs or DictBlobs(),
        fetcher=edges,
        decoder=decoder or edges,
        engine=engine or StepEngine(family or ToyFamily(), clock=FakeClock()),
        safety=safety,
        options=options,
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 30)


async def until(store: MemoryStore, holds: Callable[[], Awaitable[bool]]) -> None:
    async def look() -> None:
        while not await holds():
            await store.changed(0.02)

    await asyncio.wait_for(look(), 30)


async def ended(store: MemoryStore, id: str = "p") -> Prediction:
    async def is_final() -> bool:
        found = await store.get(id)
        return found is not None and found.status.is_final

    await until(store, is_final)
    found = await store.get(id)
    assert found is not None
    return found
