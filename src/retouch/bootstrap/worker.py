"""The worker: the engine with its weights, and all that a prediction passes around it."""

import asyncio
import os
import platform
from contextlib import AsyncExitStack
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from retouch import logs
from retouch.bootstrap.engine import build_engine
from retouch.bootstrap.parts import CLOCK, open_blobs, open_store, open_tracer
from retouch.ports import Family, Upsampler
from retouch.service.safety import Safety
from retouch.settings import Settings, SettingsError

if TYPE_CHECKING:
    from retouch.engine.calibration import Calibration
    from retouch.engine.engine import StepEngine

log = structlog.get_logger(__name__)


def work(settings: Settings, name: str = "", ready: "Connection[None, None] | None" = None) -> int:
    """Run one worker in this process until SIGTERM, or until its parent dies."""
    logs.configure(settings.log_level, settings.log_format, for_good=True)
    name = name or f"{platform.node()}-{os.getpid()}"
    engine = build_engine(settings, partial(_measure, settings))
    log.info("worker.loaded", worker=name, weights=engine.family.name)
    safety = build_safety(settings)
    asyncio.run(_work(settings, name, engine, safety, ready))
    return 0


def _measure(settings: Settings, family: Family) -> "Calibration":
    from retouch.engine.calibration import calibrate
    from retouch.worker.watchdog import Watchdog

    with Watchdog(settings.step_floor_s).over(None):
        return calibrate(family, CLOCK)


async def _work(
    settings: Settings,
    name: str,
    engine: "StepEngine",
    safety: Safety,
    ready: "Connection[None, None] | None",
) -> None:
    from retouch.images.decode import Limits
    from retouch.images.process import ProcessDecoder
    from retouch.net.fetch import FetchPolicy, GuardedFetcher
    from retouch.service.enlistment import Enlistment
    from retouch.service.meters import WorkerMeters
    from retouch.worker.process import run_until_told
    from retouch.worker.watchdog import Watchdog
    from retouch.worker.worker import Worker, WorkerOptions

    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
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
        lease_s=settings.lease_s, beat_s=settings.beat_s, drain_s=settings.drain_s
    )
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer())
        store = await stack.enter_async_context(open_store(settings, on_moved=meters.moved))
        enlistment = Enlistment(name, roster=store, meters=meters)
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
        await run_until_told(worker, partial(ready.send, None) if ready else _nothing)


def _nothing() -> None:
    return


def build_safety(settings: Settings) -> Safety:
    """The configured checks; imports torch if one is a classifier.

    Raises SettingsError for a list of words that cannot be read, and WeightsError.
    """
    from retouch.service.words import WordList

    match settings.safety_words:
        case "built-in":
            prompts: WordList | None = WordList.built_in()
        case "none":
            prompts = None
        case path:
            try:
                prompts = WordList.read(Path(path))
            except (OSError, ValueError) as error:
                raise SettingsError(f"setting 'safety_words' is {path!r}: {error}") from None
    if not settings.safety_classifier:
        return Safety(prompts)
    from retouch.engine.families.classifier import ImageClassifier

    return Safety(prompts, ImageClassifier.load(settings.safety_classifier))


def build_upsampler(settings: Settings) -> Upsampler | None:
    """What elaborates prompts, None when that is off."""
    from retouch.net.chat import ChatUpsampler

    if not settings.upsampling_url:
        return None
    return ChatUpsampler(
        settings.upsampling_url,
        model=settings.upsampling_model,
        key=settings.upsampling_key,
        timeout_s=settings.upsampling_timeout_s,
    )
