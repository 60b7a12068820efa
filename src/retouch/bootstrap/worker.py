"""The worker: the engine with its weights, and all that a prediction passes around it.

What a worker needs but for its model family is imported here and not later, so that a fork server
which has imported this module gives birth to workers that need not import anything.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from multiprocessing.connection import Connection

import structlog

from retouch import logs
from retouch.blobs.store import ObstoreBlobs  # noqa: F401  imported for the forks
from retouch.bootstrap.engine import build_engine
from retouch.bootstrap.parts import CLOCK, open_blobs, open_store, open_tracer, read_words
from retouch.domain.errors import RetouchError
from retouch.engine.calibration import Calibration, calibrate
from retouch.engine.engine import StepEngine
from retouch.images.decode import ImageLimits
from retouch.images.process import ProcessDecoder
from retouch.net.chat import ChatUpsampler
from retouch.net.fetch import FetchPolicy, GuardedFetcher
from retouch.ports import Family, ProcessKind, Upsampler
from retouch.service.enlistment import Enlistment
from retouch.service.meters import WorkerMeters
from retouch.service.safety import Safety
from retouch.service.words import WordList  # noqa: F401  imported for the forks
from retouch.settings import Settings, SettingsError
from retouch.store import SqlStore  # noqa: F401  imported for the forks
from retouch.worker.options import WorkerOptions
from retouch.worker.process import run_until_told
from retouch.worker.watchdog import Watchdog
from retouch.worker.worker import Worker

log = structlog.get_logger(__name__)


def work(
    settings: Settings,
    name: str = "",
    learned: Calibration | None = None,
    ready: "Connection[Calibration | None, None] | None" = None,
) -> int:
    """Run one worker in this process until SIGTERM, or until its parent dies.

    What an earlier worker `learned` of the same device is not measured again; what this one goes
    by is sent on `ready` once it claims. Raises WeightsError and SettingsError; where somebody
    listens on `ready` they are a line of the log and the exit status 1, for there is a supervisor.
    """
    logs.configure(settings.log_level, settings.log_format, for_good=True)
    name = name or f"{platform.node()}-{os.getpid()}"

    def measure(family: Family) -> Calibration:
        nonlocal learned
        learned = learned or _measure(settings, family)
        return learned

    try:
        engine = build_engine(settings, measure)
        log.info("worker.loaded", worker=name, weights=engine.family.name)
        safety = build_safety(settings)
    except (RetouchError, SettingsError) as error:
        if ready is None:
            raise
        log.error("worker.cannot_start", reason=str(error))  # noqa: TRY400  the reason is enough
        sys.exit(1)
    tell = partial(ready.send, learned) if ready else _nothing
    asyncio.run(_work(settings, name, engine, safety, tell))
    return 0


def _measure(settings: Settings, family: Family) -> Calibration:
    with Watchdog(settings.step_floor_s).over(None):
        return calibrate(family, CLOCK)


async def _work(
    settings: Settings, name: str, engine: StepEngine, safety: Safety, ready: Callable[[], None]
) -> None:
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    meters = WorkerMeters(engine.free_bytes)
    decoder = ProcessDecoder(
        limits, memory_bytes=settings.decode_memory_bytes, on_death=meters.decoder_died
    )
    policy = FetchPolicy(
        allow=settings.allow_fetch,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )
    options = WorkerOptions(
        lease_s=settings.lease_s,
        beat_s=settings.beat_s,
        drain_s=settings.drain_s,
        max_pixels=settings.max_images_pixels,
    )
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer())
        store = await stack.enter_async_context(open_store(settings, on_moved=meters.moved))
        enlistment = Enlistment(name, ProcessKind.WORKER, roster=store, meters=meters)
        await enlistment.start()
        stack.push_async_callback(enlistment.stop)
        stack.push_async_callback(decoder.stop)
        worker = Worker(
            name,
            store=store,
            blobs=open_blobs(settings),
            fetcher=GuardedFetcher(policy),
            decoder=decoder,
            engine=engine,
            watchdog=Watchdog(settings.step_floor_s),
            safety=safety,
            upsampler=build_upsampler(settings),
            options=options,
            on_step=meters.stepped,
            tracer=tracer,
        )
        await run_until_told(worker, ready)


def _nothing() -> None:
    return


def build_safety(settings: Settings) -> Safety:
    """The configured checks; imports torch if one is a classifier.

    Raises SettingsError for a list of words that cannot be read, and WeightsError.
    """
    prompts = read_words(settings)
    if not settings.safety_classifier:
        return Safety(prompts)
    from retouch.engine.families.classifier import ImageClassifier

    return Safety(prompts, ImageClassifier.load(settings.safety_classifier))


def build_upsampler(settings: Settings) -> Upsampler | None:
    """The client that elaborates prompts; None when that is off."""
    if not settings.upsampling_url:
        return None
    return ChatUpsampler(
        settings.upsampling_url,
        model=settings.upsampling_model,
        key=settings.upsampling_key,
        timeout_s=settings.upsampling_timeout_s,
    )
