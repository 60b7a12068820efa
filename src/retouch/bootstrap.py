"""The composition root: the only module that knows every concrete class.

Builds the ports from `Settings` and hands them to the services, the web app and the worker.
Nothing here imports torch; a family does, in the process that loads it.
"""

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from retouch import logs
from retouch.domain.edit import Edit
from retouch.domain.errors import BadInput, EngineFailed
from retouch.domain.picture import Picture
from retouch.folder import DataFolder
from retouch.ports import Broken, Finished, Job, Stepped
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.blobs.store import ObstoreBlobs
    from retouch.engine.engine import StepEngine
    from retouch.service.catalogue import Catalogue
    from retouch.service.keys import KeyRing
    from retouch.store import SqlStore

log = structlog.get_logger(__name__)

PRELOAD = "retouch.engine.families.flux1"
"""What the worker's fork server imports ahead of time: everything slow."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


# -- ports -----------------------------------------------------------------------------------------


@asynccontextmanager
async def open_store(settings: Settings) -> "AsyncIterator[SqlStore]":
    """The prediction table, its schema brought up to date."""
    from retouch.store import SqlStore, migrate

    if not settings.database:
        DataFolder(settings.data)
    await migrate(settings.database_url)
    store = SqlStore(settings.database_url)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@asynccontextmanager
async def open_keys(settings: Settings) -> "AsyncIterator[KeyRing]":
    """The callers' credentials."""
    from retouch.service.keys import KeyRing

    async with open_store(settings) as store:
        yield KeyRing(store, SystemClock())


def open_blobs(settings: Settings) -> "ObstoreBlobs":
    """Where pictures are kept."""
    from retouch.blobs.store import ObstoreBlobs

    return ObstoreBlobs.at(settings.blobs_url)


def build_catalogue(settings: Settings) -> "Catalogue":
    """Every public model name, served by the configured weights."""
    from retouch.protocols import DIALECTS
    from retouch.service.catalogue import Catalogue

    return Catalogue.build(DIALECTS, settings.weights)


def build_engine(settings: Settings) -> "StepEngine":
    """The engine with its weights loaded; imports torch. Raises WeightsError."""
    from retouch.engine.engine import StepEngine
    from retouch.engine.families import load_family

    family = load_family(settings.weights, device=settings.device, dtype=settings.dtype)
    return StepEngine(family, clock=SystemClock())


# -- the worker ------------------------------------------------------------------------------------


def work(settings: Settings, name: str = "", ready: "Connection[None, None] | None" = None) -> int:
    """Run one worker in this process until SIGTERM, or until its parent dies."""
    logs.configure(settings.log_level, settings.log_format)
    name = name or f"{platform.node()}-{os.getpid()}"
    engine = build_engine(settings)
    log.info("worker.loaded", worker=name, weights=engine.family.name)
    asyncio.run(_work(settings, name, engine, ready))
    return 0


async def _work(
    settings: Settings, name: str, engine: "StepEngine", ready: "Connection[None, None] | None"
) -> None:
    from retouch.images.decode import Limits
    from retouch.images.process import ProcessDecoder
    from retouch.net.fetch import FetchPolicy, GuardedFetcher
    from retouch.worker.process import run_until_told
    from retouch.worker.worker import Worker, WorkerOptions

    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    decoder = ProcessDecoder(limits, memory_bytes=settings.decode_memory_bytes)
    policy = FetchPolicy(
        allow=settings.allow_fetch,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )
    options = WorkerOptions(
        lease_s=settings.lease_s, beat_s=settings.beat_s, drain_s=settings.drain_s
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        stack.push_async_callback(decoder.stop)
        worker = Worker(
            name,
            store=store,
            blobs=open_blobs(settings),
            fetcher=GuardedFetcher(policy),
            decoder=decoder,
            engine=engine,
            options=options,
        )
        await run_until_told(worker, partial(ready.send, None) if ready else _nothing)


def _nothing() -> None:
    return


# -- one edit, here and now ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edited:
    """A finished picture file."""

    data: bytes
    width: int
    height: int
    logs: str


def edit_once(
    settings: Settings, edit: Edit, images: Sequence[Path], show: Callable[[int, int], None]
) -> Edited:
    """Make one edit without a server. Raises BadInput, InvalidEdit, EngineFailed, WeightsError."""
    from retouch.images.encode import encode

    logs.configure("warning", settings.log_format)
    pictures = tuple(_read_picture(path, settings) for path in images)
    picture, said = run_edit(build_engine(settings), edit, pictures, show)
    data = encode(picture, edit.output_format, edit.output_quality)
    return Edited(data, picture.width, picture.height, said)


def run_edit(
    engine: "StepEngine",
    edit: Edit,
    images: tuple[Picture, ...],
    show: Callable[[int, int], None] = lambda step, steps: None,
) -> tuple[Picture, str]:
    """Drive an engine through one edit: its first picture and its logs. Raises EngineFailed."""
    engine.add(Job("edit", edit, images))
    while not engine.idle:
        for event in engine.step():
            match event:
                case Stepped(_, progress):
                    show(progress.step, progress.steps)
                case Finished(_, pictures, _, said):
                    return pictures[0], said
                case Broken(_, error, _):
                    raise EngineFailed(error)
    raise EngineFailed("The engine stopped without a result.")


def _read_picture(path: Path, settings: Settings) -> Picture:
    from retouch.images.decode import Limits, decode_bytes

    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    try:
        return decode_bytes(path.read_bytes(), limits)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
